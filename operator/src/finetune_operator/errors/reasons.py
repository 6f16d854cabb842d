"""Every reason that the operator writes into a condition, an attempt or an Event. Words are stable API."""

import enum
from typing import Self


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
        "The spec says something that cannot be; the message names the field.",
    )
    NOT_YET_SUPPORTED = (
        "NotYetSupported",
        "The field's behaviour is not there yet. The message says what works today.",
    )
    POLICY_DENIED = (
        "PolicyDenied",
        "The profile does not allow it; the message names the rule.",
    )
    PROFILE_NOT_FOUND = (
        "ProfileNotFound",
        "No FineTuneProfile of that name. The job waits for it until `pendingDeadlineSeconds`.",
    )
    PROFILE_INVALID = (
        "ProfileInvalid",
        "The FineTuneProfile cannot be read by this version of the operator. The job waits for it until `pendingDeadlineSeconds`.",
    )
    JOB_NOT_FOUND = (
        "JobNotFound",
        "No FineTuneJob of the name that a `jobRef` gives, in this namespace. The job waits for it until `pendingDeadlineSeconds`.",
    )
    WAITING_FOR_JOB = (
        "WaitingForJob",
        "The FineTuneJob that a `jobRef` names has not ended yet. The job waits for it until `pendingDeadlineSeconds`.",
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
        "The resolved run's ConfigMap was deleted; no other attempt would be the same run.",
    )
    NAME_TAKEN = "NameTaken", "The name of a child is held by an object of somebody else. The job waits."

    # On the way
    PREPARING = "Preparing", "The Prepare pod checks model, data and access, and tokenises. No GPU is held."
    PREPARED = "Prepared", "Data and model are checked; the prepared rows lie in the bucket."
    ALREADY_PUBLISHED = (
        "AlreadyPublished",
        "This job's result already lies at the output; nothing was trained again.",
    )
    NOT_STARTED = "NotStarted", "No training pod yet."
    STARTING = "Starting", "The training Job exists; its pod does not run yet."
    RUNNING = "Running", "The training pod runs."
    PROGRESS_UNAVAILABLE = (
        "ProgressUnavailable",
        "The training pod runs, but does not answer on port 8080. Training itself is not touched by that.",
    )
    ENDING = "Ending", "Pods of an earlier attempt are still ending; the next one starts after them."
    RETRYING = "Retrying", "The last attempt ended early; the next one starts after a pause."
    QUEUED = (
        "Queued",
        "The Job is suspended by a queue (Kueue), and starts when there is room. `Queued` has Kueue's own reason and message.",
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
    PUBLISHED = "Published", "The adapter lies at the output, whole, with its manifest."

    # A pod that cannot start
    IMAGE_PULL_FAILED = "ImagePullFailed", "The node cannot pull the trainer image."
    UNSCHEDULABLE = "Unschedulable", "No node has room for the pod; the message is the scheduler's."
    QUOTA_EXCEEDED = "QuotaExceeded", "A ResourceQuota of the namespace forbids the pod."
    POD_REJECTED = "PodRejected", "An admission rule of the cluster forbids the pod."
    SERVICE_ACCOUNT_MISSING = (
        "ServiceAccountMissing",
        "The ServiceAccount of the pod does not exist in the job's namespace.",
    )
    PRIORITY_CLASS_MISSING = "PriorityClassMissing", "The PriorityClass does not exist."
    SECRET_MISSING = "SecretMissing", "A Secret that the pod mounts does not exist in the job's namespace."
    CONFIG_MAP_MISSING = (
        "ConfigMapMissing",
        "A ConfigMap that the pod mounts does not exist in the job's namespace.",
    )
    CLAIM_MISSING = "ClaimMissing", "A PersistentVolumeClaim of the job does not exist, or is not bound."
    VOLUME_FAILED = "VolumeFailed", "The node cannot mount a volume of the pod."
    CREATE_CONTAINER_FAILED = "CreateContainerFailed", "The node cannot start the container."

    # How an attempt ends, where the trainer left no reason of its own
    INPUT_REFUSED = "InputRefused", "Exit 64, and the reason is lost: the spec or the data must change."
    GATE_NOT_MET = "GateNotMet", "Exit 65, and the reason is lost: the evaluation gate was not met."
    NOT_THERE_YET = (
        "NotThereYet",
        "Exit 69, and the reason is lost: something outside is not there yet. It is tried again until `pendingDeadlineSeconds`.",
    )
    INTERRUPTED = (
        "Interrupted",
        "Exit 75: stopped from outside after a checkpoint. Resumed; costs no attempt.",
    )
    ACCESS_DENIED = (
        "AccessDenied",
        "Exit 77, and the reason is lost: a bucket, a model or a token was refused.",
    )
    GPU_OUT_OF_MEMORY = (
        "GpuOutOfMemory",
        "Exit 86, and the reason is lost: the GPU's memory does not suffice.",
    )
    TRAINER_FAILED = (
        "TrainerFailed",
        "The trainer ended with another exit code: its fault or the machine's. Tried `spec.runPolicy.maxAttempts` times.",
    )
    MEMORY_KILLED = (
        "ContainerOutOfMemory",
        "The kernel killed the container for memory.",
    )
    SCRATCH_EXCEEDED = (
        "ScratchExceeded",
        "The kubelet evicted the pod for the size of its own scratch disk.",
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
        "Nothing ran for `pendingDeadlineSeconds`; the message says what it waited for.",
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
        "The API server refused to create a child; the message is its own. It is tried again.",
    )
    STATUS_REFUSED = (
        "StatusRefused",
        "An Event alone: the API server refuses the job's status (an older CRD?). It says what was before.",
    )
    API_UNAVAILABLE = "ApiUnavailable", "The API server did not answer. It is tried again."
