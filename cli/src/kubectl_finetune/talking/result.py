"""What can be talked with: a published result, in a folder of this machine, and where its base model lies."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubectl_finetune import errors
from kubectl_finetune.local.folder import Folder

MANIFEST = "finetune-manifest.json"
HUB, FILE = "hf://", "file://"


@dataclass(frozen=True)
class Result:
    """A result and its base."""

    folder: Path
    name: str
    """The job's."""
    base: str
    """URI of the base model."""
    revision: str | None
    """Of the base, where it is the Hub's."""
    full: bool
    """All weights were trained: there is no adapter."""
    rank: int | None
    """Of the adapter."""


def at(place: Path) -> Result:
    """The result in a folder: the output itself, or the `NAME.finetune` of a run on this machine."""
    folder = place if (place / MANIFEST).is_file() else _output_of(place)
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        base, adapter = manifest["baseModel"], manifest["result"]["adapter"]
        return Result(
            folder=folder,
            name=manifest["job"]["name"],
            base=base["uri"],
            revision=base.get("revision") if base["uri"].startswith(HUB) else None,
            full=adapter["type"] == "Full",
            rank=adapter.get("rank"),
        )
    except FileNotFoundError as error:
        raise errors.NotThere(
            f"{place} holds no result (there is no {MANIFEST}); give the folder of a result"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise errors.Mistake(
            f"{folder / MANIFEST} cannot be read ({error!r}); fetch the result again"
        ) from error


def _output_of(place: Path) -> Path:
    """Where the run in that folder has published."""
    run = Folder(place).run
    try:
        uri = str(json.loads(run.read_text(encoding="utf-8"))["output"]["uri"])
    except (FileNotFoundError, ValueError, KeyError):
        return place
    if not uri.startswith(FILE):
        raise errors.Mistake(
            f"the run in {place} has published to {uri}; fetch that folder, and give its path"
        )
    return Path(uri.removeprefix(FILE))


def base_of(result: Result, said: str | None) -> tuple[str, str | None]:
    """What transformers loads: a folder or the Hub's name, and the revision. `said`: another place than the result's own."""
    uri = said or result.base
    if uri.startswith(HUB):
        name, _, revision = uri.removeprefix(HUB).partition("@")
        return name, revision or (None if said else result.revision)
    if uri.startswith(FILE):
        return uri.removeprefix(FILE), None
    if "://" in uri:
        raise errors.Mistake(f"the base model lies at {uri}; fetch it, and give the folder with --base DIR")
    if said and not Path(said).is_dir():
        raise errors.NotThere(
            f"--base: there is no folder {said}; correct the path, or name one of the Hub's: hf://org/model"
        )
    return uri, None
