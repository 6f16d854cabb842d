"""Every name, label, annotation and field manager that we give, in one place."""

import hashlib
from typing import Any, Literal, NamedTuple

GROUP = "finetune.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "FineTuneJob"
JOBS = "finetunejobs"
PROFILES = "finetuneprofiles"

MANAGER = "finetune-operator"
"""Field manager, Event source, and the value of `app.kubernetes.io/managed-by`."""

MANAGED_BY = "app.kubernetes.io/managed-by"
JOB_NAME = f"{GROUP}/job-name"
JOB_UID = f"{GROUP}/job-uid"
STAGE = f"{GROUP}/stage"
ATTEMPT = f"{GROUP}/attempt"
OURS = f"{MANAGED_BY}={MANAGER}"
"""Label selector of all children."""

QUEUE = "kueue.x-k8s.io/queue-name"
WORKLOAD_PRIORITY = "kueue.x-k8s.io/priority-class"
TOPOLOGY_REQUIRED = "kueue.x-k8s.io/podset-required-topology"
TOPOLOGY_PREFERRED = "kueue.x-k8s.io/podset-preferred-topology"

VOLCANO, VOLCANO_QUEUE = "volcano", "scheduling.volcano.sh/queue-name"
VOLCANO_GANG = "scheduling.volcano.sh/group-min-member"
KAI, KAI_QUEUE = "kai-scheduler", "kai.scheduler/queue"
"""What other schedulers are called, and what they read."""

INDEX = "batch.kubernetes.io/job-completion-index"
"""Label of a pod of an Indexed Job: its node's rank."""

CONTAINER = "trainer"
PROGRESS_PORT = 8080
RUN_KEY = "run.json"
PODS_KEY = "pods.json"

Stage = Literal["Prepare", "Train"]
CALLED: dict[Stage, str] = {"Prepare": "Prepare", "Train": "training"}
"""Each stage in a sentence: "the training pod"."""


class Owner(NamedTuple):
    """The FineTuneJob that a child belongs to."""

    namespace: str
    name: str
    uid: str

    @property
    def key(self) -> "Key":
        """How the queue and the caches know it."""
        return Key(self.namespace, self.name)


class Key(NamedTuple):
    """Namespace and name of a FineTuneJob."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def _stem(owner: Owner) -> str:
    """A job that is deleted and created again under its name gets other children."""
    return f"{owner.name}-{hashlib.sha256(owner.uid.encode()).hexdigest()[:8]}"


def run(owner: Owner) -> str:
    """The ConfigMap that holds run.json."""
    return f"{_stem(owner)}-run"


def child(owner: Owner, stage: Stage, attempt: int) -> str:
    """The Job of one attempt. Deterministic, so that the API server refuses a second one."""
    return f"{_stem(owner)}-{stage.lower()}-{attempt}"


def gang(owner: Owner) -> str:
    """The headless Service of a job with several nodes."""
    return f"{_stem(owner)}-gang"


def main_address(owner: Owner, attempt: int) -> str:
    """Where the pod of rank 0 is found, whatever its IP: an Indexed Job names its pods' hosts, the Service their domain."""
    return f"{child(owner, 'Train', attempt)}-0.{gang(owner)}.{owner.namespace}.svc"


def labels(owner: Owner, stage: Stage | None = None, attempt: int | None = None) -> dict[str, str]:
    """Labels of a child. Nothing of the user's is copied: trackers and policies elsewhere go by labels."""
    found = {
        "app.kubernetes.io/name": "finetune",
        MANAGED_BY: MANAGER,
        "app.kubernetes.io/component": stage.lower() if stage else "run",
        JOB_NAME: owner.name,
        JOB_UID: owner.uid,
    }
    if stage is not None:
        found |= {STAGE: stage.lower(), ATTEMPT: str(attempt)}
    return found


def owner_reference(owner: Owner) -> dict[str, Any]:
    """The one controller reference. It never blocks the owner's deletion."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def of_job(uid: str) -> str:
    """Label selector of the children of one FineTuneJob."""
    return f"{MANAGED_BY}={MANAGER},{JOB_UID}={uid}"
