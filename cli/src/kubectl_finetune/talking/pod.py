"""The pod that a job's result is talked with in, made from the plan that its training pods were made from. Pure."""

from typing import Any

from finetune_operator import names
from finetune_operator.api.running import Scheduling
from finetune_operator.errors.reasons import Reason
from finetune_operator.names import Owner
from finetune_operator.observe import pod as observed
from finetune_operator.observe.pod import PodSeen
from finetune_operator.plan import pod as pods
from finetune_operator.plan import queueing
from finetune_operator.plan.run_plan import RunPlan
from finetune_operator.status import starting
from kubectl_finetune.talking import client

Manifest = dict[str, Any]

PORT = 8000
HOURS = 8
"""After which the cluster ends the pod, whoever still talks."""
COMMAND = ("python", "-m", "finetune_trainer.talking")
COMPONENT = "talk"
GRACE = 5
"""Seconds that the pod has to end: it keeps nothing."""


def manifest(owner: Owner, plan: RunPlan, scheduling: Scheduling, **wanted: Any) -> Manifest:
    """One pod with the job's image, mounts, ServiceAccount and node; one GPU if the job has any.

    It listens on its own loopback alone: only who may forward ports of this pod reaches it. `wanted`: fields of the plan that
    shall be others; None leaves them.
    """
    changed = {name: value for name, value in wanted.items() if value is not None}
    single = plan.pods.model_copy(update={"nodes": 1, "gpus": min(plan.pods.gpus, 1), **changed})
    args = [
        *("--run", "/etc/finetune/run.json", "--host", "127.0.0.1", "--port", str(PORT)),
        *("--alone-for", str(client.ALONE_SECONDS)),
    ]
    marks = queueing.of_training(single, scheduling)
    made = pods.pod_template(owner, "Train", 1, single, scheduling, args=args, marks=marks)
    spec = made["spec"]
    spec["activeDeadlineSeconds"] = HOURS * 3600
    spec["terminationGracePeriodSeconds"] = GRACE
    (container,) = spec["containers"]
    container["command"] = list(COMMAND)
    container["ports"] = []
    for volume in spec["volumes"]:
        _need_nothing_but_keys(volume)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"{owner.name}-{COMPONENT}-",
            "namespace": owner.namespace,
            "labels": {**_labels(owner), **marks.labels, **marks.pod_labels},
            "annotations": marks.pod_annotations,
            "ownerReferences": [{**names.owner_reference(owner), "controller": False}],
        },
        "spec": spec,
    }


def _labels(owner: Owner) -> dict[str, str]:
    """Those that NetworkPolicies of the chart choose the jobs' pods by, and none that the operator counts as a child."""
    found = {**names.labels(owner), "app.kubernetes.io/component": COMPONENT}
    del found[names.JOB_UID]
    return found


def _need_nothing_but_keys(volume: Manifest) -> None:
    """Claims are only read; and no Secret is waited for that data or a tracker needed: the trainer names one that lacks."""
    if "persistentVolumeClaim" in volume:
        volume["persistentVolumeClaim"]["readOnly"] = True
    if "secret" in volume:
        volume["secret"]["optional"] = True


def seen(raw: Manifest) -> PodSeen:
    """The facts of such a pod, as the operator reads those of its own."""
    metadata = raw["metadata"]
    labels = {**metadata.get("labels", {}), names.JOB_UID: "", names.STAGE: "train", names.ATTEMPT: "1"}
    found = observed.pod({**raw, "metadata": {**metadata, "labels": labels}})
    if found is None:
        raise ValueError("no pod")
    return found


def stuck(pod: PodSeen, events: list[Manifest]) -> tuple[bool, str] | None:
    """Why it does not start, and whether waiting cannot help; None where nothing is known to be wrong."""
    told = [observed.event(one) for one in events]
    found = starting.obstacle(pod, [one for one in told if one.about == pod.uid])
    if found is None:
        return None
    return found.reason not in WAITING, f"{found.reason}: {found.message}"


WAITING = frozenset({Reason.UNSCHEDULABLE, Reason.VOLUME_FAILED})
"""What may pass: another pod ends, a node is added, a volume is let go by its last pod."""
