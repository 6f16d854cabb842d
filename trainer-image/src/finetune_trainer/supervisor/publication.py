"""Sending the result to the output: files first, then the manifest with their checksums. It is there whole or not at all."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from finetune_trainer import config, environment, failpoints, outcome, start_adapter
from finetune_trainer.prepared import FileFacts, Prepared
from finetune_trainer.storage import Store
from finetune_trainer.task import Trained

REPLACED = "replaced.json"
"""In the work area: the files of another job's result that is being replaced."""


def result(
    run: config.Run, ready: Prepared, trained: Trained, *, files: dict[str, FileFacts], seconds: float
) -> dict[str, Any]:
    """Train's result (contract section 4), but for the adapter's digest, which is the manifest's."""
    gpus = 0 if run.resources.accelerator == "cpu" else run.resources.processes
    base = ready.identity.model
    made: dict[str, Any] = {
        "adapter": {
            "uri": run.output.uri,
            "type": run.tuning.type,
            **({} if run.tuning.type == "Full" else {"rank": run.tuning.lora.rank}),
            "baseModel": base.id,
            "baseRevision": base.revision,
            "step": trained.step if trained.kept_step is None else trained.kept_step,
            "sizeBytes": sum(facts.size for facts in files.values()),
            **_beyond(run),
            **({"merged": True} if run.output.merged else {}),
        },
        "progress": {
            "step": trained.step,
            "totalSteps": trained.total_steps,
            "epoch": trained.epoch,
            "loss": trained.loss,
            "tokensPerSecond": trained.tokens_per_second,
        },
        "usage": {"gpuSeconds": round(gpus * seconds, 1), "seconds": round(seconds, 1)},
    }
    if found := trained.evaluation:
        made["evaluation"] = {
            "rows": found.rows,
            **({} if found.answered is None else {"answered": found.answered}),
            "base": found.base.wire(),
            **({"start": found.start.wire()} if found.start else {}),
            "tuned": found.tuned.wire(),
        }
    return made


def _beyond(run: config.Run) -> dict[str, Any]:
    """What the adapter has that is no low-rank matrix: not every engine serves it."""
    lora = run.tuning.lora
    found = [name for name, said in (("dora", lora.dora), ("modulesToSave", lora.modules_to_save)) if said]
    return {"beyond": found} if found and run.tuning.type != "Full" else {}


def manifest(
    run: config.Run, ready: Prepared, *, files: dict[str, FileFacts], told: dict[str, Any], created_at: str
) -> bytes:
    """`finetune-manifest.json` (contract section 5)."""
    base = ready.identity.model
    document = {
        "version": 1,
        "job": run.job.wire(),
        "createdAt": created_at,
        "files": {name: facts.wire() for name, facts in files.items()},
        "baseModel": {"id": base.id, "uri": base.uri, "revision": base.revision},
        "data": {"digest": ready.digest, "rows": ready.rows},
        **_started_from(run, ready),
        "image": run.image,
        "seed": run.training.seed,
        "versions": environment.versions(),
        "result": told,
    }
    return (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _started_from(run: config.Run, ready: Prepared) -> dict[str, Any]:
    """The adapter that training went on from, if it did."""
    if not run.origins or not run.origins.adapter:
        return {}
    weights = ready.identity.files[f"{start_adapter.FOLDER}/{start_adapter.WEIGHTS}"]
    return {"startedFrom": {"uri": run.origins.adapter.uri, "sha256": weights.sha256}}


def files_of(artefact: Path) -> dict[str, FileFacts]:
    """What is to be sent, by name: its place below `artefact`."""
    paths = sorted(path for path in artefact.rglob("*") if path.is_file())
    return {path.relative_to(artefact).as_posix(): FileFacts.of(path) for path in paths}


def send(
    output: Store,
    work: Store,
    artefact: Path,
    files: dict[str, FileFacts],
    written_last: bytes,
    *,
    between: Callable[[str], object],
) -> str:
    """Send everything; the manifest's digest. `between` hears of each file and may raise: nothing is there then.

    Another job's result that may be overwritten loses its manifest first, and at the end what ours does not replace.
    """
    replaced = _replaced(output, work)
    output.delete(outcome.MANIFEST)
    for name in files:
        between(name)
        output.put(name, artefact / name)
        failpoints.reach("Send")
    for name in sorted(replaced - files.keys()):
        output.delete(name)
    between(outcome.MANIFEST)
    output.put(outcome.MANIFEST, written_last)
    return "sha256:" + hashlib.sha256(written_last).hexdigest()


def _replaced(output: Store, work: Store) -> set[str]:
    """The files of another job's result, kept in the work area: with its manifest gone a later attempt could not know them."""
    noted = _files_named(work.read_if_there(REPLACED))
    there = _files_named(output.read_if_there(outcome.MANIFEST))
    if there - noted:
        work.put(REPLACED, json.dumps({"version": 1, "files": sorted(noted | there)}).encode())
    return noted | there


def _files_named(raw: bytes | None) -> set[str]:
    """The files that an older manifest, or our own note, names; those that leave the folder are none of ours to remove."""
    try:
        named = set(json.loads(raw or b"{}").get("files", {}))
    except (ValueError, AttributeError, TypeError):
        return set()
    return {
        name for name in named if not any(part in {"", ".."} or part[0] == "." for part in name.split("/"))
    }
