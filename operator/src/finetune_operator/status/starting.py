"""Why a pod does not start, in plain words: from its conditions, its container, and Events."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from finetune_operator.errors.reasons import Reason
from finetune_operator.observe.pod import EventSeen, PodSeen


class Obstacle(NamedTuple):
    """What keeps a pod from starting."""

    reason: Reason
    message: str


IMAGE = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
CONTAINER = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError"}
)

TEXTS: tuple[tuple[re.Pattern[str], Reason, str], ...] = (
    (
        re.compile(r'secret "([^"]+)" not found'),
        Reason.SECRET_MISSING,
        "create the Secret {0!r} in the job's namespace, or correct the name",
    ),
    (
        re.compile(r'configmap "([^"]+)" not found'),
        Reason.CONFIG_MAP_MISSING,
        "create the ConfigMap {0!r} in the job's namespace, or correct the name",
    ),
    (
        re.compile(r'persistentvolumeclaim "([^"]+)" not found'),
        Reason.CLAIM_MISSING,
        "create the PersistentVolumeClaim {0!r} in the job's namespace, or correct the name",
    ),
    (
        re.compile(
            r'persistentvolumeclaim "([^"]+)" is being deleted|unbound immediate PersistentVolumeClaims'
        ),
        Reason.CLAIM_MISSING,
        "wait until every PersistentVolumeClaim of the job is bound; `kubectl describe pvc` says why one is not",
    ),
    (
        re.compile(r"Multi-Attach error"),
        Reason.VOLUME_FAILED,
        "a claim of the job can be used on one node only, and the pods run on several: use one that is ReadWriteMany, or a bucket",
    ),
    (
        re.compile(r"exceeded quota|failed quota"),
        Reason.QUOTA_EXCEEDED,
        "ask for less, wait for other pods to end, or ask the cluster's admin for more",
    ),
    (
        re.compile(
            r'serviceaccount "([^"]+)" not found|service account \S+/(\S+) was not found', re.IGNORECASE
        ),
        Reason.SERVICE_ACCOUNT_MISSING,
        "create the ServiceAccount in the job's namespace, or correct the name",
    ),
    (
        re.compile(r"no PriorityClass with name (\S+) was found", re.IGNORECASE),
        Reason.PRIORITY_CLASS_MISSING,
        "correct spec.scheduling.priorityClassName",
    ),
)
"""What a message of Kubernetes means; first match wins."""

OTHERWISE = {
    Reason.UNSCHEDULABLE: "no node has room for it; wait for other pods to end, ask for less (spec.resources), or ask the admin",
    Reason.POD_REJECTED: "a rule of the cluster forbids it; change what the rule names, or ask the cluster's admin",
    Reason.VOLUME_FAILED: "the node cannot mount a volume; ask the cluster's admin if it stays so",
    Reason.CREATE_CONTAINER_FAILED: "the node cannot start the container; ask the cluster's admin",
    Reason.API_DENIED: "the API server refuses what the operator asks of it; ask the cluster's admin",
}
"""What to do about a message that none of them knows."""


def explained(text: str, otherwise: Reason) -> Obstacle:
    """A message of Kubernetes with what to do about it."""
    for pattern, reason, advice in TEXTS:
        found = pattern.search(text)
        if found:
            names = [one for one in found.groups() if one]
            return Obstacle(reason, f"{advice.format(*names or [''])}: {text}")
    cure = OTHERWISE.get(otherwise)
    return Obstacle(otherwise, f"{cure}: {text}" if cure else text)


def obstacle(pod: PodSeen | None, events: Sequence[EventSeen] | None) -> Obstacle | None:
    """Why there is no running pod yet; None where nothing is known to be wrong."""
    if pod is None:
        return _by_event(events, {"FailedCreate"}, Reason.POD_REJECTED)
    if pod.waiting_reason in IMAGE:
        said = pod.waiting_message or pod.waiting_reason
        return Obstacle(
            Reason.IMAGE_PULL_FAILED,
            f"the trainer image cannot be pulled; ask the cluster's admin to check its name and the pull secrets: {said}",
        )
    if pod.waiting_reason in CONTAINER:
        return explained(pod.waiting_message or pod.waiting_reason, Reason.CREATE_CONTAINER_FAILED)
    if not pod.scheduled and pod.schedule_reason == "Unschedulable":
        return explained(pod.schedule_message, Reason.UNSCHEDULABLE)
    return _by_event(events, {"FailedMount", "FailedAttachVolume"}, Reason.VOLUME_FAILED)


def needs_events(pod: PodSeen | None) -> bool:
    """Whether only Events can tell: of a Job without pods, and of a pod that has a node."""
    return (pod is None or pod.scheduled) and obstacle(pod, None) is None


def _by_event(events: Sequence[EventSeen] | None, reasons: set[str], otherwise: Reason) -> Obstacle | None:
    """The newest Event of those reasons; those that name the cause before those that only tell that time is up."""
    found = sorted(
        (one for one in events or () if one.reason in reasons), key=lambda one: one.time, reverse=True
    )
    told = [explained(one.message, otherwise) for one in found]
    return next((one for one in told if one.reason is not otherwise), told[0] if told else None)
