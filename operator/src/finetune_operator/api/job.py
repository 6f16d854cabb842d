"""FineTuneJob: one fine-tuning run, from data to a published adapter."""

from typing import Annotated, Any, Literal

import pydantic

from finetune_operator.api.base import JOB_NAME, OF_A_JOB, Name, Rule, Value, rule, rules
from finetune_operator.api.recipe import Checkpoint, Evaluation, Training, Tuning
from finetune_operator.api.running import Resources, RunPolicy, Scheduling, Tracking
from finetune_operator.api.sources import Dataset, Model, Output

MAX_NAME_LENGTH = 40
"""Children add a hash, a stage and a number to the name, and a pod's host name ends at 63."""

ROOT_RULES = (
    rule(
        f"self.metadata.name.size() <= {MAX_NAME_LENGTH}",
        f"must be at most {MAX_NAME_LENGTH} characters long: the names of its Jobs and pods are made from it",
        at=".metadata.name",
    ),
    rule(
        f"self.metadata.name.matches('{JOB_NAME}')",
        f"{OF_A_JOB}: host names are made from it",
        at=".metadata.name",
    ),
)

MUTABLE = ("run_policy", "scheduling")
"""Parts of the spec that have rules of their own for change."""


CANNOT_CHANGE = (
    "this field cannot change once the job is created; to run the job with another value, apply it under a new "
    "metadata.name"
)


def _unchanged(path: str) -> str:
    """CEL: the field at `path` is what it was, or still not there."""
    new, old = f"self.{path}", f"oldSelf.{path}"
    return f"has({new}) == has({old}) && (!has({new}) || {new} == {old})"


def _fixed(path: str) -> Rule:
    """A transition rule that blames the very field that was changed."""
    return rule(_unchanged(path), CANNOT_CHANGE, at=f".{path}", reason="FieldValueForbidden")


FIXED = rule("self == oldSelf", CANNOT_CHANGE, reason="FieldValueForbidden")
"""The same, on a field that is always there. It costs the API server less: it evaluates every rule at each write of the status
too, and wherever a rule names a field of an object it copies the schemas of all fields of that object."""


def fixed_fields(spec: type[Value]) -> list[str]:
    """Fields of `spec` that carry `FIXED`: given or by default, they are there before a change and after it."""
    return [
        field.alias or name
        for name, field in spec.model_fields.items()
        if name not in MUTABLE and (field.is_required() or field.default is not None)
    ]


def _immutability(spec: type[Value]) -> list[Rule]:
    """One transition rule for each field that may be absent, and the two fields below those that may change."""
    names = [field.alias or name for name, field in spec.model_fields.items() if name not in MUTABLE]
    scheduling = rule(
        f"oldSelf.runPolicy.suspend || ({_unchanged('scheduling')})",
        "queues, priority and placement can change only while spec.runPolicy.suspend is true",
        at=".scheduling",
        reason="FieldValueForbidden",
    )
    absent = [name for name in names if name not in fixed_fields(spec)]
    return [*map(_fixed, absent), scheduling, _fixed("runPolicy.maxAttempts")]


class FineTuneJobSpec(Value):
    """What is to be done.

    Once created, only `spec.runPolicy` (without `maxAttempts`) can change, and `spec.scheduling` while the job is suspended.
    """

    profile: Name | None = None
    """Name of a FineTuneProfile. Absent: the cluster's default one."""
    method: Literal["SFT", "DPO", "ORPO", "KTO"] = "SFT"
    """Supervised fine-tuning, or one of the preference methods."""
    model: Model
    """The base model."""
    dataset: Dataset
    """What is learned, and what is held out."""
    tuning: Tuning = Tuning()
    """Which weights learn."""
    training: Training = Training()
    """How the weights learn."""
    evaluation: Evaluation = Evaluation()
    """How good the result is."""
    checkpoint: Checkpoint = Checkpoint()
    """When training is saved."""
    output: Output
    """Where the result is written."""
    resources: Resources = Resources()
    """What the pods ask for."""
    scheduling: Scheduling = Scheduling()
    """Queues and placement."""
    run_policy: RunPolicy = RunPolicy()
    """How long, how often."""
    tracking: Tracking | None = None
    """Trackers that the run reports to."""
    service_account_name: Name | None = None
    """ServiceAccount of the pods, for workload identity. It needs no rights in the cluster, and gets no token."""


FineTuneJobSpec.model_config["json_schema_extra"] = rules(*_immutability(FineTuneJobSpec))


class Metadata(pydantic.BaseModel):
    """The few facts of an object's metadata that we use."""

    model_config = pydantic.ConfigDict(
        alias_generator=Value.model_config["alias_generator"], extra="ignore", frozen=True
    )

    name: Annotated[str, pydantic.Field(min_length=1)]
    namespace: str = ""
    uid: str
    generation: int = 1
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None


class FineTuneJob(pydantic.BaseModel):
    """A FineTuneJob as the API server holds it. `status` is kept as it was read: it is ours to write, not to validate."""

    model_config = pydantic.ConfigDict(extra="ignore", frozen=True)

    metadata: Metadata
    spec: FineTuneJobSpec
    status: dict[str, Any] = {}
