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
        "there is no Secret {0!r} in the job's namespace any more; create it again",
    ),
    (
        re.compile(r'configmap "([^"]+)" not found'),
        Reason.CONFIG_MAP_MISSING,
        (
            "there is no ConfigMap {0!r} in the job's namespace, which the profile names (extraCa); create it with the key "
            "ca.crt, or ask the cluster's admin"
        ),
    ),
    (
        re.compile(r'persistentvolumeclaim "([^"]+)" not found'),
        Reason.CLAIM_MISSING,
        (
            "there is no PersistentVolumeClaim {0!r} in the job's namespace; create it, or apply the job under a new name with "
            "the right pvc:// address"
        ),
    ),
    (
        re.compile(
            r'persistentvolumeclaim "([^"]+)" is being deleted|unbound immediate PersistentVolumeClaims'
        ),
        Reason.CLAIM_MISSING,
        "a PersistentVolumeClaim of the job is not bound; wait, or see with `kubectl describe pvc` why it is not",
    ),
    (
        re.compile(r"Multi-Attach error"),
        Reason.VOLUME_FAILED,
        (
            "a PersistentVolumeClaim of the job can be used on one node only, and the pods run on several; use one that is "
            "ReadWriteMany, or a bucket"
        ),
    ),
    (
        re.compile(r"exceeded quota|failed quota"),
        Reason.QUOTA_EXCEEDED,
        "the namespace's quota is used up; ask for less, wait for other pods to end, or ask the cluster's admin for more",
    ),
    (
        re.compile(
            r'serviceaccount "([^"]+)" not found|service account \S+/(\S+) was not found', re.IGNORECASE
        ),
        Reason.SERVICE_ACCOUNT_MISSING,
        (
            "there is no ServiceAccount {0!r} in the job's namespace; create it, or apply the job under a new name with the "
            "right spec.serviceAccountName"
        ),
    ),
    (
        re.compile(r"no PriorityClass with name (\S+) was found", re.IGNORECASE),
        Reason.PRIORITY_CLASS_MISSING,
        "there is no PriorityClass {0!r}; suspend the job, correct spec.scheduling.priorityClassName, and resume it",
    ),
)
"""What a message of Kubernetes means, and what to do; first match wins."""

OTHERWISE = {
    Reason.UNSCHEDULABLE: (
        "no node can take it; wait for other pods to end, ask for less (spec.resources), correct spec.scheduling.nodeSelector or "
        "spec.scheduling.tolerations, or ask the cluster's admin"
    ),
    Reason.POD_REJECTED: "a rule of the cluster forbids it; change what the rule names, or ask the cluster's admin",
    Reason.VOLUME_FAILED: "the node cannot mount a volume; ask the cluster's admin if it stays so",
    Reason.CREATE_CONTAINER_FAILED: "the node cannot start the container; ask the cluster's admin",
    Reason.API_DENIED: "the API server refuses what the operator asks of it; ask the cluster's admin",
}
"""What to do about a message that none of them knows."""


def explained(text: str, otherwise: Reason) -> Obstacle:
    """A message of Kubernetes: what it means, what to do about it, and its own words."""
    for pattern, reason, sentence in TEXTS:
        found = pattern.search(text)
        if found:
            names = [one for one in found.groups() if one]
            return Obstacle(reason, _quoted(sentence.format(*names or [""]), text))
    known = OTHERWISE.get(otherwise)
    return Obstacle(otherwise, _quoted(known, text) if known else text)


def _quoted(sentence: str, text: str) -> str:
    """Our sentence with the words of Kubernetes behind it."""
    return f"{sentence} (Kubernetes says: {text})"


def obstacle(pod: PodSeen | None, events: Sequence[EventSeen] | None) -> Obstacle | None:
    """Why there is no running pod yet; None where nothing is known to be wrong."""
    if pod is None:
        return _by_event(events, {"FailedCreate"}, Reason.POD_REJECTED)
    if pod.waiting_reason in IMAGE:
        said = pod.waiting_message or pod.waiting_reason
        return Obstacle(
            Reason.IMAGE_PULL_FAILED,
            _quoted(
                "the trainer image cannot be pulled; ask the cluster's admin to check its name and the pull secrets",
                said,
            ),
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
