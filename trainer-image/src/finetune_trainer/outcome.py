"""What lies at the output already: a result, a final failure, somebody else's result. Both stages look here first.

A finished job is final, whatever was deleted in the cluster: a wiped status must never train twice.
"""

import contextlib
import hashlib
import json
from typing import Any

from finetune_trainer import config, errors, storage
from finetune_trainer.layout import Layout
from finetune_trainer.report import LastWord
from finetune_trainer.storage import Reference, Role, Store

MANIFEST = "finetune-manifest.json"
OUTCOME = "outcome.json"
PROBE = "probe"


def output(run: config.Run, layout: Layout) -> Store:
    """Where the result goes."""
    return storage.open_store(_reference(run, run.output.uri, "spec.output.uri"), layout)


def work_area(run: config.Run, layout: Layout) -> Store:
    """Where work in progress lies: this job's own folder."""
    base, field = run.output.uri, "spec.output.uri"
    if run.output.work_uri:
        base, field = run.output.work_uri, "spec.output.workUri"
    return storage.open_store(_reference(run, f"{base.rstrip('/')}/.finetune/{run.job.uid}", field), layout)


def look(run: config.Run, layout: Layout) -> dict[str, Any] | None:
    """Train's result where this very job has published already, None where there is work to do.

    Raises `EarlierFailure` where it has failed for good, and `OutputExists` where another job's result is in the way.
    """
    target = output(run, layout)
    raw = target.read_if_there(MANIFEST)
    manifest = _document(raw)
    owner = _part(manifest, "job")
    if raw is not None and owner.get("uid") == run.job.uid:
        return _published(raw, manifest)
    earlier = _document(work_area(run, layout).read_if_there(OUTCOME))
    code, word = earlier.get("exitCode"), _part(earlier, "lastWord")
    if isinstance(code, int) and code in errors.FINAL and word:
        raise errors.EarlierFailure(code, word)
    if raw is not None and not run.output.overwrite:
        whose = (
            f"of {owner['namespace']}/{owner['name']}"
            if owner.keys() >= {"namespace", "name"}
            else "of another job"
        )
        raise errors.OutputExists(
            f"spec.output.uri: {run.output.uri} holds the result {whose}; choose another prefix, or set "
            "spec.output.overwrite to replace it"
        )
    return None


def probe(run: config.Run, layout: Layout) -> None:
    """Write and remove a small object, so that a missing right is told before anything is computed."""
    area, target = work_area(run, layout), output(run, layout)
    for place, key in ((area, PROBE), (target, f".finetune/{run.job.uid}/{PROBE}")):
        place.put(key, b"written to see whether it can be")
        place.delete(key)
        if not run.output.work_uri:
            return  # the work area lies below the output: one probe is enough


def record_failure(run: config.Run, layout: Layout, *, exit_code: int, word: LastWord) -> bool:
    """Keep a final failure for every later attempt of this job; whether it was kept.

    Never raises: what has failed may well be the storage itself, and the last word must be written all the same.
    """
    if exit_code not in errors.FINAL:
        return False
    document = {"version": 1, "exitCode": int(exit_code), "lastWord": word.wire()}
    with contextlib.suppress(Exception):
        work_area(run, layout).put(OUTCOME, json.dumps(document, ensure_ascii=True).encode())
        return True
    return False


def _published(raw: bytes, manifest: dict[str, Any]) -> dict[str, Any]:
    """Train's result; the adapter's digest is the manifest's own, which could not stand inside it."""
    result = _part(manifest, "result")
    digest = "sha256:" + hashlib.sha256(raw).hexdigest()
    return {**result, "adapter": {**_part(result, "adapter"), "digest": digest}}


def _document(raw: bytes | None) -> dict[str, Any]:
    """JSON that somebody may have damaged: empty where it is no object."""
    try:
        document = json.loads(raw or b"{}")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _part(document: dict[str, Any], name: str) -> dict[str, Any]:
    """An object inside of `document`; empty where there is none."""
    part = document.get(name)
    return part if isinstance(part, dict) else {}


def _reference(run: config.Run, uri: str, field: str) -> Reference:
    secret = run.output.credentials_secret_ref
    return Reference(
        uri=uri, field=field, role=Role.OUTPUT, secret=secret.name if secret else None, hub=run.hub
    )
