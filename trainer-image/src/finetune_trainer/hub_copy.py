"""`output.hub`: a copy of the published result on the Hugging Face Hub. What the Hub says changes nothing about the result.

See docs/decisions/0022.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from finetune_trainer import config, errors, outcome
from finetune_trainer.layout import Layout
from finetune_trainer.storage import Reference, Role, open_store
from finetune_trainer.storage.hub_writer import HubWriter

FIELD = "spec.output.hub.repo"


def probe(run: config.Run, layout: Layout) -> None:
    """Make the repository, if one is asked for, so that a token that may not write is told before anything is computed."""
    if run.output.hub:
        _writer(run, run.output.hub, layout).make()


def send(
    run: config.Run, layout: Layout, artefact: Path, names: Iterable[str], manifest: bytes
) -> dict[str, Any]:
    """Send the files `names` of the folder `artefact` and the manifest, in one commit; `result.hub` of the contract.

    Never raises: the result lies in the bucket.
    """
    asked = run.output.hub
    if asked is None:
        return {}
    try:
        files: dict[str, Path | bytes] = {name: artefact / name for name in names}
        files[outcome.MANIFEST] = manifest
        writer = _writer(run, asked, layout)
        writer.make()
        commit = writer.commit(
            files,
            gone=sorted(_earlier(run, asked, layout) - files.keys()),
            message=f"{run.job.namespace}/{run.job.name} ({run.job.uid})",
        )
    except errors.TrainerError as error:
        return unmade(asked, error)
    except Exception as error:  # noqa: BLE001 - see above
        return unmade(asked, errors.InternalError.wrapping(error))
    return {"repo": asked.repo, "revision": commit}


def unmade(asked: config.HubCopy, error: errors.TrainerError) -> dict[str, Any]:
    """`result.hub` of a copy that was not made."""
    return {"repo": asked.repo, "reason": error.reason, "message": str(error)}


def sentence(told: dict[str, Any]) -> str:
    """What became of the copy, to be put behind what became of the result."""
    if "reason" in told:
        return f"; there is no copy on the Hub: {told['message']}"
    return f"; a copy is at hf://{told['repo']}@{told['revision']}"


def _writer(run: config.Run, asked: config.HubCopy, layout: Layout) -> HubWriter:
    return HubWriter(_reference(run, asked), layout, private=asked.private)


def _earlier(run: config.Run, asked: config.HubCopy, layout: Layout) -> set[str]:
    """The files of an earlier result there: beside ours they would be taken for parts of it."""
    store = open_store(_reference(run, asked), layout)
    there = {item.key for item in store.list()}
    if outcome.MANIFEST not in there:
        return set()
    try:
        named = set(json.loads(store.read(outcome.MANIFEST))["files"])
    except (ValueError, KeyError, TypeError):
        return set()
    return named & there


def _reference(run: config.Run, asked: config.HubCopy) -> Reference:
    secret = asked.credentials_secret_ref
    return Reference(
        uri=f"hf://{asked.repo}",
        field=FIELD,
        role=Role.OUTPUT,
        secret=secret.name if secret else None,
        hub=run.hub,
    )
