"""A run on this machine told as the operator would tell it: a FineTuneJob with a status, for the same screens. Pure."""

from datetime import datetime
from typing import Any

from finetune_operator.observe.words import LastWord
from finetune_operator.status import results
from kubectl_finetune.job.manifest import Manifest
from kubectl_finetune.views.job import Job

WHERE = "this machine"
INTERRUPTED = 75
"""The exit code after which the same command goes on (docs/contract.md, section 4)."""


def job(
    manifest: Manifest,
    run: dict[str, Any],
    *,
    began: datetime,
    prepared: LastWord | None = None,
    progress: dict[str, Any] | None = None,
    ended: tuple[int, LastWord | None] | None = None,
) -> Job:
    """The job as it stands. `ended`: exit code and last word of the stage that was the last."""
    stamp = began.strftime("%Y-%m-%dT%H:%M:%SZ")
    metadata = {
        **manifest["metadata"],
        "namespace": WHERE,
        "uid": run["job"]["uid"],
        "creationTimestamp": stamp,
    }
    said = _said(prepared, progress, ended)
    conditions = [{"type": kind, "lastTransitionTime": stamp, **one} for kind, one in said.items()]
    status = {
        "state": _state(prepared, ended),
        "conditions": conditions,
        **_parts(prepared, progress, ended, run),
    }
    spec = {**manifest["spec"], "output": run["output"]}
    return Job.of({**manifest, "metadata": metadata, "spec": spec, "status": status}, is_local=True)


def _state(prepared: LastWord | None, ended: tuple[int, LastWord | None] | None) -> str:
    if ended is None:
        return "Running" if prepared else "Preparing"
    return {0: "Succeeded", INTERRUPTED: "Suspended"}.get(ended[0], "Failed")


def _said(
    prepared: LastWord | None, progress: dict[str, Any] | None, ended: tuple[int, LastWord | None] | None
) -> dict[str, dict[str, str]]:
    """The conditions."""
    found = {"Accepted": _condition("True", "Accepted", "resolved for this machine")}
    if prepared:
        found["Prepared"] = _condition("True", prepared.reason, prepared.message)
    if ended is None:
        message = str((progress or {}).get("message") or "starting")
        stage = "Running" if prepared else "Preparing"
        return {**found, "Succeeded": _condition("Unknown", stage, message)}
    code, word = ended
    reason = word.reason if word else "NoLastWord"
    message = (
        word.message if word else f"the stage ended with exit code {code} and did not say why; see its log"
    )
    truth = {0: "True", INTERRUPTED: "Unknown"}.get(code, "False")
    return {**found, "Succeeded": _condition(truth, reason, message)}


def _condition(truth: str, reason: str, message: str) -> dict[str, str]:
    return {"status": truth, "reason": reason, "message": message}


def _parts(
    prepared: LastWord | None,
    progress: dict[str, Any] | None,
    ended: tuple[int, LastWord | None] | None,
    run: dict[str, Any],
) -> dict[str, Any]:
    """Everything that last words and the progress document bring."""
    found: dict[str, Any] = {}
    if (ready := results.prepared(prepared)) is not None:
        found |= {"dataset": ready.dataset, "resolved": ready.resolved, "estimate": ready.estimate}
    if progress is not None and prepared is not None:
        found["progress"] = results.progress(progress)
    word = ended[1] if ended else None
    if (done := results.published(word, name=run["job"]["name"])) is not None:
        found |= {"adapter": done.adapter, "evaluation": done.evaluation, "usage": done.usage}
    else:
        found["evaluation"] = results.evaluation(word)
    return {name: value.wire() for name, value in found.items() if value is not None}
