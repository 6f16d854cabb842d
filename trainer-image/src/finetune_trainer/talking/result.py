"""What is talked with: a published result and its base model, as folders of this machine."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune_trainer import base_model, config, errors, model_cache, outcome
from finetune_trainer.layout import Layout
from finetune_trainer.prepared import BaseModelFacts
from finetune_trainer.storage import Item, Moving

LEFT = (".finetune/", "merged/", "tensorboard/", "wandb/")
"""Parts of an output that nobody needs to talk with the result."""

Told = Callable[[str], object]


@dataclass(frozen=True, kw_only=True)
class Result:
    """A result and its base."""

    folder: Path
    name: str
    """The job's."""
    full: bool
    """All weights were trained: there is no adapter."""
    base: str | Path
    """A folder, or the Hub's name."""
    revision: str | None = None
    """Of the base, where it is the Hub's."""
    advice: str
    """What to do where the models cannot be loaded."""
    trust_remote_code: bool = False


def here(folder: Path, *, base: str, revision: str | None) -> Result:
    """The result in `folder`, with its base model at `base`, a folder or the Hub's name."""
    advice = "--base DIR or --base hf://ORG/NAME says where the base model is"
    return _of(folder, base=base, revision=revision, advice=advice)


def of_run(run: config.Run, layout: Layout, told: Told) -> Result:
    """The result of the job `run`, fetched to scratch with the job's own keys, and its base from the model cache or its source.

    Raises `AuthorError` where the job has published nothing, and whatever storage does.
    """
    if outcome.look(run, layout) is None:
        raise errors.InvalidRun(
            f"spec.output.uri: {run.output.uri} holds no result of this job; wait until the job has published; if it has published "
            f"already, its result was removed or replaced: {config.AGAIN}"
        )
    target, folder = outcome.output(run, layout), layout.scratch / "result"
    for item in target.list():
        if not item.key.startswith(LEFT):
            target.get(item.key, folder / item.key, _moving("result", item, told).more)
    facts = BaseModelFacts.model_validate(_manifest(folder)["baseModel"])
    found = base_model.pinned(run, layout, facts)
    if not model_cache.link(found, layout, layout.model):
        found.fetch(
            [*found.small, *found.weights],
            layout.model,
            moved=lambda how: told(f"fetching the base model: {how}"),
        )
    advice = f"see whether the files at {run.model.uri} are those that the job was trained on"
    return _of(folder, base=layout.model, advice=advice, trust_remote_code=run.model.trust_remote_code)


def _of(folder: Path, **known: Any) -> Result:
    """With what the manifest tells."""
    manifest = _manifest(folder)
    try:
        full = manifest["result"]["adapter"]["type"] == "Full"
        return Result(folder=folder, name=manifest["job"]["name"], full=full, **known)
    except (KeyError, TypeError) as error:
        raise _damaged(folder, error) from error


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / outcome.MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(folder, error) from error
    return found


def _damaged(folder: Path, error: Exception) -> errors.InvalidFile:
    return errors.InvalidFile(
        f"{folder / outcome.MANIFEST} cannot be read ({type(error).__name__}: {error}); fetch the result again"
    )


def _moving(what: str, item: Item, told: Told) -> Moving:
    return Moving(item.key, item.size, lambda how: told(f"fetching the {what}: {how}"))
