"""Going on from the checkpoint of a job that has failed (`checkpoint.resumeFrom`): it is copied into this job's own work area.

Prepare does it, once: training then goes on as after an interruption of its own, whatever becomes of the other job's work area,
which is only ever read.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydantic

from finetune_trainer import checkpoint, config, errors, outcome, storage
from finetune_trainer.layout import Layout
from finetune_trainer.prepared import DOCUMENT, Prepared
from finetune_trainer.report import CheckpointSeen
from finetune_trainer.storage import Reference, Role, Store
from finetune_trainer.supervisor import uploads

FIELD = "spec.checkpoint.resumeFrom.jobRef"
MOST_TOLD = 4
"""Differences that a sentence names."""

Tell = Callable[[str], object]


def take_over(run: config.Run, layout: Layout, *, digest: str, tell: Tell) -> CheckpointSeen | None:
    """Copy the newest whole checkpoint of the other job; None where there is nothing to do.

    Nothing is: if the run names no job, or has checkpoints of its own. Raises `CheckpointNotFound`, and `CheckpointDoesNotFit`
    with what differs.
    """
    if run.checkpoint.resume_from is None:
        return None
    own = outcome.work_area(run, layout)
    if any(item.key.endswith(f"/{checkpoint.MANIFEST}") for item in own.list(uploads.FOLDER)):
        return None
    theirs, ready = _store(run, layout), Prepared.load(own, digest)
    tell(f"looking at what {_name(run)} has left")
    _check_agrees(run, theirs, ready)
    into = layout.scratch / "earlier"
    fingerprint = checkpoint.fingerprint(run, data=digest, revision=ready.identity.model.revision)
    seen = uploads.newest(theirs, into, fingerprint=fingerprint, say=tell).checkpoint
    if seen is None:
        raise _none(run, theirs)
    if seen.step > ready.resolved.total_steps:
        raise errors.CheckpointDoesNotFit(
            f"{FIELD}: the checkpoint of {_name(run)} was made at step {seen.step}, but this job ends at step "
            f"{ready.resolved.total_steps}; raise spec.training.maxSteps or spec.training.epochs, or leave "
            "spec.checkpoint.resumeFrom out"
        )
    tell(f"taking over the checkpoint of step {seen.step}")
    _send(into, own, seen, fingerprint)
    return seen


def _store(run: config.Run, layout: Layout) -> Store:
    """The other job's work area."""
    origin = run.origins.work if run.origins else None
    if origin is None:
        raise errors.InvalidRun(
            f"{FIELD}: run.json does not say where the checkpoints are; {config.SAME_VERSION}"
        )
    secret = origin.credentials_secret_ref
    reference = Reference(
        uri=origin.uri,
        field=FIELD,
        role=Role.CHECKPOINT,
        secret=secret.name if secret else None,
        hub=run.hub,
    )
    return storage.open_store(reference, layout)


def _name(run: config.Run) -> str:
    """How a person calls the other job."""
    said = run.checkpoint.resume_from
    return f"FineTuneJob {said.job_ref.name!r}" if said else "the other job"


def _none(run: config.Run, theirs: Store) -> errors.CheckpointNotFound:
    return errors.CheckpointNotFound(
        f"{FIELD}: {_name(run)} has left no complete checkpoint at {theirs.uri_of(uploads.FOLDER)}; leave "
        "spec.checkpoint.resumeFrom out, to train from the start"
    )


def _check_agrees(run: config.Run, theirs: Store, ours: Prepared) -> None:
    """What shapes the weights must be the same in both jobs; how many steps are made may differ."""
    found = [_differences(before, ours) for before in _prepared(theirs)]
    if not found:
        raise _none(run, theirs)
    fewest = min(found, key=len)
    if fewest:
        told = "; ".join(fewest[:MOST_TOLD])
        more = f"; and {len(fewest) - MOST_TOLD} more" if len(fewest) > MOST_TOLD else ""
        raise errors.CheckpointDoesNotFit(
            f"{FIELD}: this job differs from {_name(run)}: {told}{more}; make them the same, or leave spec.checkpoint.resumeFrom "
            "out"
        )


def _prepared(theirs: Store) -> Iterator[Prepared]:
    """What the other job's Prepare has left, where this version can read it."""
    for item in theirs.list("dataset"):
        if item.key.endswith(f"/{DOCUMENT}"):
            try:
                yield Prepared.model_validate_json(theirs.read(item.key))
            except pydantic.ValidationError:
                continue


def _differences(before: Prepared, now: Prepared) -> list[str]:
    """What shapes the weights, and is another in the two jobs: by field, was and is."""
    pairs: dict[str, tuple[Any, Any]] = {
        name: (before.shaping.get(name), now.shaping.get(name))
        for name in sorted(before.shaping | now.shaping)
    }
    pairs["the revision of spec.model.uri"] = (before.identity.model.revision, now.identity.model.revision)
    for name in ("learning_rate", "global_batch_size"):
        field = f"spec.training.{type(now.resolved).model_fields[name].alias}"
        if pairs.get(field, (None, None)) == (None, None):  # nobody has said it: what was chosen
            pairs[field] = (getattr(before.resolved, name), getattr(now.resolved, name))
    found = [
        f"{field} is {_shown(was)} there and {_shown(is_now)} here"
        for field, (was, is_now) in pairs.items()
        if was != is_now
    ]
    if not found and before.digest != now.digest:
        return ["the prepared data differ: rows, chat template or adapter have changed"]
    return found


def _shown(value: Any) -> str:
    return "not set" if value is None else json.dumps(value, ensure_ascii=False)


def _send(folder: Path, own: Store, seen: CheckpointSeen, fingerprint: str) -> None:
    """Put the checkpoint into our own work area, its manifest last."""
    manifest = checkpoint.sealed(folder, step=seen.step, fingerprint=fingerprint, time=seen.time)
    prefix = f"{uploads.FOLDER}/step-{seen.step}"
    for name in manifest.files:
        own.put(f"{prefix}/{name}", folder / name)
    own.put(f"{prefix}/{checkpoint.MANIFEST}", manifest.model_dump_json(by_alias=True).encode())
