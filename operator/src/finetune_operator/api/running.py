"""Where and for how long a job runs: resources, scheduling, run policy, tracking."""

from typing import Annotated, Literal

import pydantic

from finetune_operator.api.base import GpuResource, Name, Quantity, SecretRef, Value, rule, rules, with_rules

Seconds = Annotated[int, pydantic.Field(ge=1, le=31536000)]
LabelValue = Annotated[str, pydantic.Field(min_length=1, max_length=63)]


class PrepareResources(Value):
    """What the Prepare pod asks for."""

    cpu: Quantity | None = None
    """CPUs."""
    memory: Quantity | None = None
    """Memory."""


class ResourceClaim(Value):
    """A claim of Dynamic Resource Allocation, passed to the training pods."""

    name: Name
    """Name within the pod."""
    resource_claim_template_name: Name
    """A ResourceClaimTemplate of this namespace."""


class Resources(Value):
    """What the training pods ask for. What is not set comes from the profile."""

    nodes: Annotated[int, pydantic.Field(ge=1, le=256)] | None = None
    """Pods that train together, one a node."""
    gpus_per_node: Annotated[int, pydantic.Field(ge=0, le=64)] | None = None
    """GPUs of each pod. 0: train on CPU, for a quick test."""
    gpu_resource: GpuResource | None = None
    """Name of the GPU resource, for example `nvidia.com/gpu`."""
    cpu: Quantity | None = None
    """CPUs of each pod."""
    memory: Quantity | None = None
    """Memory of each pod."""
    scratch: Quantity | None = None
    """Local disk of each pod: model, data and checkpoints pass through it."""
    resource_claims: Annotated[list[ResourceClaim], pydantic.Field(max_length=8)] = pydantic.Field(default=[])
    """Claims of Dynamic Resource Allocation. Not supported yet."""
    prepare: PrepareResources | None = None
    """What the Prepare pod asks for."""


class Topology(Value):
    """How close to each other the pods should be, in Kueue's words."""

    model_config = with_rules(
        rule("has(self.required) != has(self.preferred)", "set exactly one of required and preferred"),
    )

    required: Annotated[str, pydantic.Field(min_length=1, max_length=317)] | None = None
    """Node label that all pods must share."""
    preferred: Annotated[str, pydantic.Field(min_length=1, max_length=317)] | None = None
    """Node label that all pods should share."""


class Toleration(Value):
    """A taint that the pods tolerate, as in a pod."""

    key: Annotated[str, pydantic.Field(max_length=317)] | None = None
    """Key of the taint."""
    operator: Literal["Exists", "Equal"] | None = None
    """How `value` is compared."""
    value: Annotated[str, pydantic.Field(max_length=63)] | None = None
    """Value of the taint."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint."""
    toleration_seconds: Annotated[int, pydantic.Field(ge=0)] | None = None
    """How long a NoExecute taint is tolerated (s)."""


class Scheduling(Value):
    """Queues and placement, passed through to the scheduler in charge."""

    queue_name: LabelValue | None = None
    """Queue of the training Job: Kueue's LocalQueue, or of the scheduler named (Volcano, KAI)."""
    prepare_queue_name: LabelValue | None = None
    """Queue of the Prepare Job."""
    priority_class_name: Name | None = None
    """PriorityClass of the training pods."""
    workload_priority_class_name: LabelValue | None = None
    """Kueue WorkloadPriorityClass."""
    scheduler_name: Name | None = None
    """Scheduler of the pods. `volcano` is also told how many must start together."""
    topology: Topology | None = None
    """How close to each other the pods of several nodes should be; read by Kueue."""
    node_selector: Annotated[
        dict[str, Annotated[str, pydantic.Field(max_length=63)]], pydantic.Field(max_length=32)
    ] = pydantic.Field(default={})
    """Labels that a node must have."""
    tolerations: Annotated[list[Toleration], pydantic.Field(max_length=32)] = pydantic.Field(default=[])
    """Taints that the pods tolerate."""


class RunPolicy(Value):
    """How long, how often. The only part of a spec that may change while the job runs, but for `maxAttempts`."""

    suspend: bool = False
    """Pause: the training Job is removed after a checkpoint, and created again when this is false."""
    max_attempts: Annotated[int, pydantic.Field(ge=1, le=100)] = 3
    """How often Prepare, and training, may be run where they fail by a fault of the trainer or of the machine. Interruptions are
    not counted."""
    active_deadline_seconds: Seconds | None = None
    """Longest time in training (s)."""
    pending_deadline_seconds: Seconds | None = None
    """Longest time without a running pod, and longest wait for something outside (s). Absent: 86400."""
    stall_timeout_seconds: Seconds | None = None
    """Longest time in which training shows no progress (s). Absent: 900."""
    ttl_seconds_after_finished: Annotated[int, pydantic.Field(ge=0, le=31536000)] | None = None
    """Seconds after its end after which the job's pods and their logs are removed. The FineTuneJob itself stays."""


Address = Annotated[
    str,
    pydantic.Field(
        min_length=1,
        max_length=512,
        json_schema_extra=rules(
            rule(
                "self.matches('^https?://[^[:space:]@]+$')",
                "must be an http:// or https:// address without a user or password; put those into the Secret of "
                "credentialsSecretRef",
            )
        ),
    ),
]
"""Where a tracker's server answers."""


class Wandb(Value):
    """Weights & Biases."""

    model_config = with_rules(
        rule(
            "self.mode == 'Offline' || has(self.credentialsSecretRef)",
            "name the Secret with WANDB_API_KEY, or set mode to Offline",
            at=".credentialsSecretRef",
            reason="FieldValueRequired",
        ),
        rule(
            "self.mode == 'Online' || !(has(self.credentialsSecretRef) || has(self.baseUrl))",
            "leave out credentialsSecretRef and baseUrl; with mode Offline no server is contacted",
        ),
    )

    project: Annotated[str, pydantic.Field(min_length=1, max_length=128)]
    """Project."""
    entity: Annotated[str, pydantic.Field(min_length=1, max_length=128)] | None = None
    """Team or user."""
    mode: Literal["Online", "Offline"] = "Online"
    """Offline: nothing is sent; the run lies beside the result, for `wandb sync`."""
    base_url: Address | None = None
    """Address of your own server."""
    credentials_secret_ref: SecretRef | None = None
    """Secret with `WANDB_API_KEY`; must be set unless `mode` is Offline. If the Secret or its key is missing in the cluster,
    nothing is sent, and the job runs all the same."""


class Mlflow(Value):
    """MLflow."""

    tracking_uri: Address
    """Address of the server."""
    experiment: Annotated[str, pydantic.Field(min_length=1, max_length=128)] | None = None
    """Experiment; it is created if there is none. Absent: `Default`."""
    credentials_secret_ref: SecretRef | None = None
    """Secret with `MLFLOW_TRACKING_TOKEN`, or `MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_PASSWORD`."""


class Tensorboard(Value):
    """TensorBoard event files beside the result."""

    enabled: bool = True
    """Write TensorBoard event files."""


class Tracking(Value):
    """Trackers that the run reports to. What ails a tracker stands in `status.progress.warnings`, and never fails the job."""

    wandb: Wandb | None = None
    """Weights & Biases."""
    mlflow: Mlflow | None = None
    """MLflow."""
    tensorboard: Tensorboard | None = None
    """TensorBoard."""
