"""FineTuneProfile: what the admin allows, prefers and pays."""

from typing import Annotated, Any

import pydantic

from finetune_operator.api.base import Form, GpuResource, Name, Quantity, Value
from finetune_operator.api.running import LabelValue, Toleration

Prefix = Annotated[str, pydantic.Field(min_length=5, max_length=1024)]


class LocalRef(Value):
    """An object of the namespace that the pods run in."""

    name: Name
    """Name of the object."""


class EnvVar(Value):
    """An environment variable of the pods. Plain values only: a Secret is never read across namespaces."""

    name: Annotated[
        str,
        pydantic.Field(min_length=1, max_length=128),
        Form(
            "^[A-Za-z_][A-Za-z0-9_]*$",
            "must hold only letters, digits and '_', and begin with a letter or '_'",
        ),
    ]
    """Name."""
    value: Annotated[str, pydantic.Field(max_length=4096)] = ""
    """Value."""


class PodDefaults(Value):
    """Resources that a job gets where it says nothing."""

    nodes: Annotated[int, pydantic.Field(ge=1, le=256)] = 1
    """Pods that train together."""
    gpus_per_node: Annotated[int, pydantic.Field(ge=0, le=64)] = 1
    """GPUs of each pod."""
    cpu: Quantity = "4"
    """CPUs of each training pod."""
    memory: Quantity = "16Gi"
    """Memory of each training pod."""
    scratch: Quantity = "50Gi"
    """Local disk of each pod."""
    prepare_cpu: Quantity = "1"
    """CPUs of the Prepare pod."""
    prepare_memory: Quantity = "4Gi"
    """Memory of the Prepare pod."""


class PodMaximum(Value):
    """The most that one job may ask for."""

    nodes: Annotated[int, pydantic.Field(ge=1, le=256)] | None = None
    """Pods that train together."""
    gpus_per_node: Annotated[int, pydantic.Field(ge=0, le=64)] | None = None
    """GPUs of each pod."""
    cpu: Quantity | None = None
    """CPUs of each pod."""
    memory: Quantity | None = None
    """Memory of each pod."""
    scratch: Quantity | None = None
    """Local disk of each pod."""
    active_deadline_seconds: Annotated[int, pydantic.Field(ge=1, le=31536000)] | None = None
    """Longest time in training (s)."""


class Gpu(Value):
    """The GPUs behind this profile."""

    resource: GpuResource = "nvidia.com/gpu"
    """Name of the resource."""
    memory: Quantity | None = None
    """Memory of one GPU."""
    teraflops: Annotated[float, pydantic.Field(gt=0)] | None = None
    """What one GPU computes in bf16, for estimates (10^12 operations a second)."""
    simulated: bool = False
    """The GPUs are only counted, not there: pods ask for them and hold them, and train on CPU. To try queues and quota."""


class ModelCache(Value):
    """A PersistentVolumeClaim that keeps downloaded models."""

    claim_name: Name
    """A PersistentVolumeClaim, looked up in the job's namespace."""


class Allowed(Value):
    """What jobs may read, write and run as. An empty list allows everything; `{namespace}` stands for the job's."""

    models: Annotated[list[Prefix], pydantic.Field(max_length=64)] = pydantic.Field(default=[])
    """URI prefixes of base models and adapters."""
    datasets: Annotated[list[Prefix], pydantic.Field(max_length=64)] = pydantic.Field(default=[])
    """URI prefixes of data."""
    outputs: Annotated[list[Prefix], pydantic.Field(max_length=64)] = pydantic.Field(default=[])
    """URI prefixes of outputs and work areas; `hf://org` for copies on the Hub (`spec.output.hub`)."""
    endpoints: Annotated[
        list[Annotated[str, pydantic.Field(min_length=1, max_length=512)]], pydantic.Field(max_length=64)
    ] = pydantic.Field(default=[])
    """Addresses of storage servers, hubs and trackers. Not supported yet."""
    service_accounts: Annotated[list[Name], pydantic.Field(max_length=64)] = pydantic.Field(default=[])
    """ServiceAccounts that a job may name. Empty: none may be named."""
    trust_remote_code: bool = False
    """Whether a job may run code that a model's repository ships. Not supported yet."""
    cpu: bool = True
    """Whether a job may train on CPU (`gpusPerNode: 0`)."""


class Mirrors(Value):
    """Where the outside world is, for clusters that cannot reach it."""

    hub: Annotated[str, pydantic.Field(min_length=8, max_length=512)] | None = None
    """Address of a Hugging Face Hub mirror."""
    offline: bool = False
    """Refuse everything that would need the Hub."""


class Prices(Value):
    """What things cost, for `status.usage` and `status.estimate`."""

    currency: Annotated[str, pydantic.Field(min_length=3, max_length=3)] = "USD"
    """Currency, as an ISO 4217 code."""
    gpu_hour: Annotated[float, pydantic.Field(ge=0)] | None = None
    """Price of one GPU for an hour."""
    cpu_hour: Annotated[float, pydantic.Field(ge=0)] | None = None
    """Price of one CPU for an hour. Not supported yet."""


class Placement(Value):
    """Where and how the pods run."""

    node_selector: Annotated[
        dict[str, Annotated[str, pydantic.Field(max_length=63)]], pydantic.Field(max_length=32)
    ] = pydantic.Field(default={})
    """Labels that a node must have."""
    tolerations: Annotated[list[Toleration], pydantic.Field(max_length=32)] = pydantic.Field(default=[])
    """Taints that the pods tolerate."""
    runtime_class_name: Name | None = None
    """RuntimeClass of the training pods."""
    scheduler_name: Name | None = None
    """Scheduler of the pods."""


class Queues(Value):
    """Queues of jobs that name none."""

    queue_name: LabelValue | None = None
    """Kueue LocalQueue of the training Job."""
    prepare_queue_name: LabelValue | None = None
    """Kueue LocalQueue of the Prepare Job."""


class FineTuneProfileSpec(Value):
    """The admin's part of every job that uses this profile."""

    default: bool = False
    """Use this profile for jobs that name none. If several say so, the first by name."""
    image: Annotated[str, pydantic.Field(min_length=1, max_length=512)] | None = None
    """Trainer image. Absent: the one the operator was installed with."""
    image_pull_secrets: Annotated[list[LocalRef], pydantic.Field(max_length=8)] = pydantic.Field(default=[])
    """Pull secrets, looked up in the job's namespace."""
    defaults: PodDefaults = PodDefaults()
    """Resources where a job says nothing."""
    maximum: PodMaximum = PodMaximum()
    """The most that one job may ask for."""
    gpu: Gpu = Gpu()
    """The GPUs behind this profile."""
    placement: Placement = Placement()
    """Where and how the pods run."""
    queues: Queues = Queues()
    """Queues of jobs that name none."""
    fs_group: Annotated[int, pydantic.Field(ge=1, le=2147483647)] | None = None
    """Group that owns the volumes."""
    grace_period_seconds: Annotated[int, pydantic.Field(ge=5, le=3600)] = 120
    """Time between SIGTERM and SIGKILL, in which a checkpoint is saved."""
    env: Annotated[list[EnvVar], pydantic.Field(max_length=64)] = pydantic.Field(default=[])
    """Environment of the pods."""
    extra_ca: LocalRef | None = None
    """A ConfigMap with `ca.crt`, looked up in the job's namespace, trusted beside the usual authorities."""
    model_cache: ModelCache | None = None
    """A PersistentVolumeClaim that keeps downloaded models."""
    mirrors: Mirrors = Mirrors()
    """Where the outside world is."""
    allowed: Allowed = Allowed()
    """What jobs may read, write and run as."""
    prices: Prices = Prices()
    """What things cost."""


class FineTuneProfile(pydantic.BaseModel):
    """A FineTuneProfile as the API server holds it."""

    model_config = pydantic.ConfigDict(extra="ignore", frozen=True)

    metadata: dict[str, Any]
    spec: FineTuneProfileSpec = FineTuneProfileSpec()
