"""The pod of either stage: as *restricted* demands, with the places of docs/contract.md."""

from collections.abc import Iterable
from typing import Any

from finetune_operator import names
from finetune_operator.api.running import Scheduling, Toleration
from finetune_operator.names import Owner, Stage
from finetune_operator.plan.queueing import Marks
from finetune_operator.plan.run_plan import PodPlan

Manifest = dict[str, Any]

UID = 65532  # "nonroot" of the distroless images; the trainer image's user
TMP_SIZE = "1Gi"
NODE_TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
NODE_PATIENCE = 60
"""Seconds that a training pod stays on a node that no longer answers. Kubernetes' own 300 s would hold a GPU elsewhere idle."""
HOMES = {"HOME": "/scratch/home", "HF_HOME": "/scratch/hf", "TMPDIR": "/scratch/tmp"}


def pod_template(
    owner: Owner,
    stage: Stage,
    attempt: int,
    plan: PodPlan,
    scheduling: Scheduling,
    *,
    args: list[str],
    marks: Marks,
) -> Manifest:
    """`spec.template` of a Job."""
    several = stage == "Train" and plan.nodes > 1
    spec: Manifest = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": plan.grace_period_seconds,
        "securityContext": _security(plan),
        "containers": [_trainer(stage, plan, args)],
        "volumes": _volumes(owner, stage, plan),
        **_placement(stage, plan, scheduling),
        **({"subdomain": names.gang(owner)} if several else {}),
    }
    annotations = {"annotations": marks.pod_annotations} if marks.pod_annotations else {}
    labels = {**names.labels(owner, stage, attempt), **marks.pod_labels}
    return {"metadata": {"labels": labels, **annotations}, "spec": spec}


def _security(plan: PodPlan) -> Manifest:
    """Who the pod is."""
    found: Manifest = {
        "runAsNonRoot": True,
        "runAsUser": UID,
        "runAsGroup": UID,
        "fsGroup": plan.fs_group or UID,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    return found


def _placement(stage: Stage, plan: PodPlan, scheduling: Scheduling) -> Manifest:
    """Where the pod may run. Priority and runtime class are the training pods' alone: Prepare holds no GPU."""
    tolerations = [*plan.tolerations, *scheduling.tolerations]
    found: Manifest = {
        "serviceAccountName": plan.service_account,
        "imagePullSecrets": [{"name": name} for name in plan.image_pull_secrets],
        "nodeSelector": {**scheduling.node_selector, **plan.node_selector},
        "tolerations": [*(one.wire() for one in tolerations), *_node_patience(stage, tolerations)],
        "schedulerName": scheduling.scheduler_name or plan.scheduler_name,
        "priorityClassName": scheduling.priority_class_name if stage == "Train" else None,
        "runtimeClassName": plan.runtime_class if stage == "Train" else None,
    }
    return {key: value for key, value in found.items() if value}


def _node_patience(stage: Stage, given: Iterable[Toleration]) -> list[Manifest]:
    """For how long to stay where nobody answers, unless author or admin say so themselves."""
    if stage != "Train":
        return []
    said = {one.key for one in given}
    return [
        {
            "key": taint,
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": NODE_PATIENCE,
        }
        for taint in NODE_TAINTS
        if taint not in said
    ]


def _trainer(stage: Stage, plan: PodPlan, args: list[str]) -> Manifest:
    """The one container. No liveness probe: the supervisor judges the training loop, and a restart would lose the attempt."""
    return {
        "name": names.CONTAINER,
        "image": plan.image,
        "args": args,
        "env": _env(plan),
        "ports": [{"name": "progress", "containerPort": names.PROGRESS_PORT, "protocol": "TCP"}],
        "resources": _resources(stage, plan),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "volumeMounts": _mounts(stage, plan),
    }


def _env(plan: PodPlan) -> list[Manifest]:
    """The profile's environment, then the places that the contract fixes."""
    given = [{"name": one.name, "value": one.value} for one in plan.env if one.name not in HOMES]
    return [*given, *({"name": name, "value": value} for name, value in HOMES.items())]


def _resources(stage: Stage, plan: PodPlan) -> Manifest:
    """Memory is asked for in full; CPU is a share and no ceiling: a throttled data loader starves the GPU."""
    cpu, memory = (plan.cpu, plan.memory) if stage == "Train" else (plan.prepare_cpu, plan.prepare_memory)
    limits: Manifest = {"memory": memory}
    if stage == "Train" and plan.gpus > 0:
        limits[plan.gpu_resource] = str(plan.gpus)
    return {"requests": {"cpu": cpu, **limits}, "limits": limits}


def _volumes(owner: Owner, stage: Stage, plan: PodPlan) -> list[Manifest]:
    """Every volume; a missing Secret is Prepare's to name, so there it is optional, and a tracker's is everywhere."""
    found: list[Manifest] = [
        {
            "name": "run",
            "configMap": {"name": names.run(owner), "items": [{"key": names.RUN_KEY, "path": names.RUN_KEY}]},
        },
        {"name": "scratch", "emptyDir": {"sizeLimit": plan.scratch}},
        {"name": "tmp", "emptyDir": {"sizeLimit": TMP_SIZE}},
        {"name": "shm", "emptyDir": {"medium": "Memory"}},
    ]
    found += [
        {
            "name": f"secret-{at}",
            "secret": {
                "secretName": name,
                "optional": stage == "Prepare" or name in plan.tracker_secrets,
                "defaultMode": 0o440,
            },
        }
        for at, name in enumerate((*plan.secrets, *plan.tracker_secrets))
    ]
    found += [
        {"name": f"configmap-{at}", "configMap": {"name": name, "optional": True}}
        for at, name in enumerate(plan.config_maps)
    ]
    found += [
        {
            "name": f"claim-{at}",
            "persistentVolumeClaim": {"claimName": one.name, **({} if one.writable else {"readOnly": True})},
        }
        for at, one in enumerate(plan.claims)
    ]
    if plan.model_cache:
        read_only = {"readOnly": True} if stage == "Train" else {}
        found.append(
            {
                "name": "model-cache",
                "persistentVolumeClaim": {"claimName": plan.model_cache, **read_only},
            }
        )
    if plan.extra_ca:
        found.append(
            {
                "name": "ca",
                "configMap": {"name": plan.extra_ca, "items": [{"key": "ca.crt", "path": "ca.crt"}]},
            }
        )
    return found


def _mounts(stage: Stage, plan: PodPlan) -> list[Manifest]:
    """Where the volumes stand. The model cache is filled in Prepare alone: no pod with a GPU waits for a download."""
    found: list[Manifest] = [
        {"name": "run", "mountPath": "/etc/finetune/run.json", "subPath": names.RUN_KEY, "readOnly": True},
        {"name": "scratch", "mountPath": "/scratch"},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  the container's own emptyDir, not a path of this process
        {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108  same
    ]
    found += [
        {"name": f"secret-{at}", "mountPath": f"/etc/finetune/credentials/{name}", "readOnly": True}
        for at, name in enumerate((*plan.secrets, *plan.tracker_secrets))
    ]
    found += [
        {"name": f"configmap-{at}", "mountPath": f"/etc/finetune/configmaps/{name}", "readOnly": True}
        for at, name in enumerate(plan.config_maps)
    ]
    found += [
        {"name": f"claim-{at}", "mountPath": f"/mnt/claims/{one.name}", "readOnly": not one.writable}
        for at, one in enumerate(plan.claims)
    ]
    if plan.model_cache:
        found.append({"name": "model-cache", "mountPath": "/mnt/cache", "readOnly": stage == "Train"})
    if plan.extra_ca:
        found.append({"name": "ca", "mountPath": "/etc/finetune/ca", "readOnly": True})
    return found
