"""Every reason that the operator writes into a condition, an attempt or an Event. Words are stable API."""

import enum
from typing import Self

WAITS = "The job waits for it, at most `spec.runPolicy.pendingDeadlineSeconds`."


class Reason(enum.StrEnum):
    """A stable word, and what it means to the person who reads it."""

    meaning: str

    def __new__(cls, word: str, meaning: str) -> Self:
        """A word that carries its meaning."""
        one = str.__new__(cls, word)
        one._value_ = word
        one.meaning = meaning
        return one

    # Accept
    ACCEPTED = "Accepted", "Spec and profile fit; the resolved run is written to an immutable ConfigMap."
    SPEC_INVALID = (
        "SpecInvalid",
        "The spec asks for something that is not possible; the message names the field.",
    )
    NOT_YET_SUPPORTED = (
        "NotYetSupported",
        "The field, or what it says, is not supported yet, so the job is refused. The message says what works today.",
    )
    POLICY_DENIED = (
        "PolicyDenied",
        "The profile does not allow it; the message names the rule.",
    )
    PROFILE_NOT_FOUND = (
        "ProfileNotFound",
        f"No FineTuneProfile of that name. {WAITS}",
    )
    PROFILE_INVALID = (
        "ProfileInvalid",
        f"The FineTuneProfile cannot be read by this version of the operator. {WAITS}",
    )
    JOB_NOT_FOUND = (
        "JobNotFound",
        f"No FineTuneJob of the name that a `jobRef` gives, in this namespace. {WAITS}",
    )
    WAITING_FOR_JOB = (
        "WaitingForJob",
        f"The FineTuneJob that a `jobRef` names has not ended yet. {WAITS}",
    )
    REFERENCED_JOB_FAILED = (
        "ReferencedJobFailed",
        "The FineTuneJob that a `jobRef` names has left nothing to go on from.",
    )
    RUN_TOO_LARGE = (
        "RunTooLarge",
        "The resolved run does not fit into a ConfigMap (512 KiB).",
    )
    RUN_LOST = (
        "RunLost",
        "The resolved run's ConfigMap was deleted; another attempt could not repeat exactly this run.",
    )
    NAME_TAKEN = (
        "NameTaken",
        "An object that is not this job's has a name that this job needs (a Job, Service or ConfigMap). The job waits.",
    )

    # On the way
    PREPARING = "Preparing", "The Prepare pod checks model, data and access, and tokenises. No GPU is held."
    PREPARED = "Prepared", "Data and model are checked; the prepared rows lie in the work area."
    ALREADY_PUBLISHED = (
        "AlreadyPublished",
        "This job's result already lies at the output; nothing was trained again.",
    )
    NOT_STARTED = "NotStarted", "No training pod yet."
    STARTING = "Starting", "The training Job exists; its pod does not run yet."
    RUNNING = "Running", "The training pod runs."
    PROGRESS_UNAVAILABLE = (
        "ProgressUnavailable",
        "The training pod runs, but does not answer on port 8080. Training itself is not affected.",
    )
    ENDING = "Ending", "Pods of an earlier attempt are still ending; the next one starts after them."
    RETRYING = "Retrying", "The last attempt ended early; the next one starts after a pause."
    QUEUED = (
        "Queued",
        "The Job is held back by a queue (Kueue), and starts when there is room. `Queued` has Kueue's own reason and message.",
    )
    QUEUE_NOT_NAMED = (
        "QueueNotNamed",
        "The cluster's Kueue manages every Job, and this one names no queue. The job waits.",
    )
    WORKLOAD_MISSING = (
        "WorkloadMissing",
        "Kueue holds the Job back and has not queued it; the WorkloadPriorityClass does not exist, or Kueue is down.",
    )
    INADMISSIBLE = (
        "Inadmissible",
        "Kueue cannot admit the Job as things stand: its queue does not exist, or is stopped. The message is Kueue's.",
    )
    DEACTIVATED = (
        "Deactivated",
        "Kueue took the Job out of the queue. If it did so for good the job ends; if a person did, the job waits.",
    )
    PREEMPTED = (
        "Preempted",
        "The queue gave the place to another job; the message is Kueue's. Resumed when there is room; costs no attempt.",
    )
    ADMITTED = "Admitted", "The queue let the Job start."
    SUSPENDED = "Suspended", "`spec.runPolicy.suspend` is true: nothing runs, and the last checkpoint stands."
    RESUMED = "Resumed", "`spec.runPolicy.suspend` is false again."
    NOT_PUBLISHED = "NotPublished", "Nothing is published yet."
    PUBLISHED = "Published", "The result (adapter or weights) is at the output, complete, with its manifest."

    # A pod that cannot start
    IMAGE_PULL_FAILED = "ImagePullFailed", "The node cannot pull the trainer image."
    UNSCHEDULABLE = (
        "Unschedulable",
        "No node can take the pod: too little room, or other labels or taints than it asks for. The message is the scheduler's.",
    )
    QUOTA_EXCEEDED = "QuotaExceeded", "A ResourceQuota of the namespace forbids the pod."
    POD_REJECTED = "PodRejected", "An admission rule of the cluster forbids the pod."
    SERVICE_ACCOUNT_MISSING = (
        "ServiceAccountMissing",
        "The ServiceAccount of the pod does not exist in the job's namespace.",
    )
    PRIORITY_CLASS_MISSING = "PriorityClassMissing", "The PriorityClass does not exist."
    SECRET_MISSING = (
        "SecretMissing",
        "A Secret that the training pod mounts has been removed from the job's namespace.",
    )
    CONFIG_MAP_MISSING = (
        "ConfigMapMissing",
        "The ConfigMap that the profile's `extraCa` names does not exist in the job's namespace.",
    )
    CLAIM_MISSING = "ClaimMissing", "A PersistentVolumeClaim of the job does not exist, or is not bound."
    VOLUME_FAILED = "VolumeFailed", "The node cannot mount a volume of the pod."
    CREATE_CONTAINER_FAILED = "CreateContainerFailed", "The node cannot start the container."

    # How an attempt ends, where the trainer left no reason of its own
    INPUT_REFUSED = "InputRefused", "Exit 64, and the reason is lost: the spec or the data must change."
    GATE_NOT_MET = "GateNotMet", "Exit 65, and the reason is lost: the evaluation gate was not met."
    NOT_THERE_YET = (
        "NotThereYet",
        (
            "Exit 69, and the reason is lost: something outside is not there yet. It is tried again for at most "
            "`spec.runPolicy.pendingDeadlineSeconds`."
        ),
    )
    INTERRUPTED = (
        "Interrupted",
        "Exit 75: stopped from outside; the newest checkpoint stands, if there is one. Resumed; costs no attempt.",
    )
    ACCESS_DENIED = (
        "AccessDenied",
        "Exit 77, and the reason is lost: a bucket, a model or a token was refused.",
    )
    GPU_OUT_OF_MEMORY = (
        "GpuOutOfMemory",
        "Exit 86, and the reason is lost: the GPU has too little memory.",
    )
    TRAINER_FAILED = (
        "TrainerFailed",
        (
            "The trainer ended with another exit code: a fault of the trainer or of the machine. It is tried again, up to "
            "`spec.runPolicy.maxAttempts` times in all."
        ),
    )
    MEMORY_KILLED = (
        "ContainerOutOfMemory",
        "The container was killed because it needed more memory than it has.",
    )
    SCRATCH_EXCEEDED = (
        "ScratchExceeded",
        "The pod was evicted because it filled its own scratch disk.",
    )
    NO_LAST_WORD = (
        "NoLastWord",
        "Exit 0, but no result that can be read. It is tried again; costs an attempt, unless the pod is gone.",
    )
    EVICTED = "Evicted", "The node, the scheduler or the queue removed the pod. Resumed; costs no attempt."
    POD_LOST = "PodLost", "The pod was deleted before it could say how it ended. Resumed; costs no attempt."
    NODE_LOST = (
        "NodeLost",
        "The node no longer answers, and its pod should have ended long ago. Resumed elsewhere; costs no attempt.",
    )
    JOB_DELETED = "JobDeleted", "Somebody deleted the child Job. Resumed; costs no attempt."
    PENDING_DEADLINE_EXCEEDED = (
        "PendingDeadlineExceeded",
        "Nothing ran for `spec.runPolicy.pendingDeadlineSeconds`; the message says what the job waited for.",
    )

    ACTIVE_DEADLINE_EXCEEDED = (
        "ActiveDeadlineExceeded",
        "Training ran longer than `spec.runPolicy.activeDeadlineSeconds`, all attempts together. The last checkpoint stands.",
    )
    NO_PROGRESS = (
        "NoProgress",
        "Training was interrupted three times in a row without a newer checkpoint; going on would only hold a GPU.",
    )

    # The API server
    API_DENIED = (
        "ApiDenied",
        "The API server refused a request of the operator's for this job; the message is the API server's. It is tried again.",
    )
    STATUS_REFUSED = (
        "StatusRefused",
        (
            "Only an Event: the API server refuses the job's new status (perhaps the CRDs are older than the operator), so the "
            "status still says what it said before."
        ),
    )
    API_UNAVAILABLE = (
        "ApiUnavailable",
        "The API server did not answer; only the operator's log says so. It is tried again.",
    )
