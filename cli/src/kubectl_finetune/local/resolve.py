"""From the YAML to run.json, by the operator's own Accept, with this machine in the profile's place. Pure.

`file://` stands for a path of this machine. The API knows no such scheme, since a cluster has no such place: while a job is
resolved its paths stand on a claim of a name that nobody uses, so that every check of the operator applies.
"""

import copy
import hashlib
import json
import re
import uuid
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from finetune_operator.api.base import QUANTITY
from finetune_operator.errors import FineTuneError
from finetune_operator.observe import job as observed
from finetune_operator.plan import quantities
from finetune_operator.plan.accept import Installed, accept
from kubectl_finetune import errors
from kubectl_finetune.job import manifest as manifests
from kubectl_finetune.job.manifest import Manifest
from kubectl_finetune.local.folder import StandIns
from kubectl_finetune.local.machine import Machine

THIS = "this-machine"
FILE, CLAIM = "file://", f"pvc://{THIS}"
NOTHING = StandIns()
PROFILE = THIS
NAMESPACE = "local"
IMAGE = "this machine"
GIB = 1 << 30
FAMILY = uuid.UUID("6b8f1c1e-0d6c-4b0a-9a55-2f6a8f3f7f10")
"""Of the uids of local jobs."""
OF_A_CLUSTER = ("profile", "serviceAccountName")
"""Fields of the spec that mean nothing here."""
JOBS = {
    ("model", "adapterFrom"): "name its adapter by its address in spec.model.adapterFrom.uri",
    ("checkpoint", "resumeFrom"): "leave spec.checkpoint.resumeFrom out",
}
"""Where a spec refers to another job, and what to do instead."""
Run = dict[str, Any]


def resolved(
    manifest: Manifest,
    machine: Machine | None,
    *,
    beside: Path,
    at_hand: StandIns = NOTHING,
    to: Path | None = None,
) -> Run:
    """run.json of the job. Paths that are not absolute are read from the folder `beside`.

    `machine`: whose sizes take the place of `spec.resources`; None leaves them as the YAML has them. `at_hand`: what stands for
    things of a cluster; where another Secret is named, this machine's own identity is used. `to`: the folder that the result
    goes to instead of `spec.output.uri`, whose Secret is the sources' all the same. `Mistake` with the field that is wrong.
    """
    masked = copy.deepcopy(manifest)
    masked["spec"] = _texts(masked.get("spec"), lambda text: _on_the_claim(text, beside))
    if machine is not None and isinstance(masked["spec"], dict):
        masked["spec"] = _sized(masked["spec"], machine)
    manifests.checked(masked)
    for field in OF_A_CLUSTER:
        masked["spec"].pop(field, None)
    _refuse_jobs(masked["spec"])
    read = {part: said for part, said in masked["spec"].items() if part != "output" or to is None}
    _texts(read, lambda text: _at_hand(text, at_hand))
    accepted = _accepted(masked, machine)
    run: Run = _texts(
        _without_secrets(accepted, at_hand.secrets), lambda text: text.replace(CLAIM + "/", FILE + "/")
    )
    if to is not None:
        kept = {field: said for field, said in run["output"].items() if field != "workUri"}
        run["output"] = {**kept, "uri": f"{FILE}{to.absolute()}"}
    return {**run, "job": {**run["job"], "uid": _uid(run)}}


def _at_hand(text: str, at_hand: StandIns) -> str:
    """`Mistake` where it lies on a claim or in a ConfigMap that nothing here stands for."""
    scheme, _, rest = text.partition("://")
    name = rest.partition("/")[0]
    known = {"pvc": ("claim", {**at_hand.claims, THIS: ""}), "configmap": ("configmap", at_hand.configmaps)}
    flag, there = known.get(scheme, ("", {name: ""}))
    if name not in there:
        raise errors.Mistake(
            f"{text} is in a cluster; give the folder that stands for it here: --{flag} {name}=DIR"
        )
    return text


def _refuse_jobs(spec: dict[str, Any]) -> None:
    """A job of a cluster is not here."""
    for (part, field), cure in JOBS.items():
        place = (spec.get(part) or {}).get(field)
        if place and "jobRef" in place:
            raise errors.Mistake(
                f"spec.{part}.{field}.jobRef: a job of a cluster cannot be read from this machine; {cure}"
            )


def _accepted(manifest: Manifest, machine: Machine | None) -> Run:
    metadata = {"namespace": NAMESPACE, **manifest["metadata"], "uid": "unknown", "resourceVersion": "1"}
    profile = observed.ProfileSeen(PROFILE, "", 1, 1, _profile(machine))
    try:
        plan = accept(
            observed.job({**manifest, "metadata": metadata}),
            {PROFILE: profile},
            Installed(trainer_image=IMAGE),
        )
    except FineTuneError as error:
        raise errors.Mistake(str(error)) from error
    return plan.run


def _profile(machine: Machine | None) -> dict[str, Any]:
    """What an admin would say of this machine."""
    memory = min(machine.gpu_memory_bytes, default=None) if machine else None
    return {"default": True, "gpu": {"memory": str(memory)} if memory else {}}


def _sized(spec: dict[str, Any], machine: Machine) -> dict[str, Any]:
    """`spec` with this machine's sizes. `gpusPerNode: 0` stays: who asks for a run on CPU gets one."""
    asked = spec.get("resources") or {}
    gpus = 0 if asked.get("gpusPerNode") == 0 else len(machine.gpu_memory_bytes)
    sizes = {
        "nodes": 1,
        "gpusPerNode": gpus,
        "cpu": str(machine.cpus),
        "memory": str(machine.memory_bytes),
        "scratch": str(machine.disk_bytes),
        "prepare": {"cpu": str(machine.cpus), "memory": str(machine.memory_bytes)},
    }
    return {**spec, "resources": sizes}


def _texts(value: Any, change: Callable[[str], str]) -> Any:
    """`value` with every text in it changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {name: _texts(inner, change) for name, inner in value.items()}
    return [_texts(inner, change) for inner in value] if isinstance(value, list) else value


def _on_the_claim(text: str, beside: Path) -> str:
    """`file://...` as a place that the API knows; anything else as it is."""
    if not text.startswith(FILE):
        return text
    path = (beside / text.removeprefix(FILE)).absolute().resolve()
    if any(letter.isspace() for letter in str(path)):
        raise errors.Mistake(
            f"{text}: the path {path} contains a space, which a URI may not; move it, or link to it from a path without spaces"
        )
    return f"{CLAIM}{path}"


def _without_secrets(value: Any, kept: Collection[str]) -> Any:
    """`value` without references to Secrets that are not at hand."""
    if isinstance(value, dict):
        return {
            name: _without_secrets(inner, kept)
            for name, inner in value.items()
            if name != "credentialsSecretRef" or inner.get("name") in kept
        }
    return [_without_secrets(one, kept) for one in value] if isinstance(value, list) else value


def _uid(run: Run) -> str:
    """The same job has the same uid, and goes on where it was; a changed one is another. Free space is no part of it."""
    told = copy.deepcopy(run)
    told["resources"].pop("scratchBytes")
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    return str(uuid.uuid5(FAMILY, digest))


def bytes_of(size: str) -> int:
    """`80Gi` as a number. `Mistake` where it is none."""
    if not re.fullmatch(QUANTITY, size):
        raise errors.Mistake(f"{size!r} is not a size; write for example 80Gi")
    return quantities.whole(size)
