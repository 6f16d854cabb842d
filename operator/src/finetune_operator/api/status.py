"""What a FineTuneJob's status says. At most 32 KiB: everything that grows is bounded here."""

import datetime as dt
import re
from typing import Annotated, Any, Literal

import pydantic

from finetune_operator.api.base import Value

State = Literal[
    "Pending", "Accepted", "Preparing", "Queued", "Starting", "Running", "Suspended", "Succeeded", "Failed"
]
ConditionType = Literal[
    "Accepted",
    "Prepared",
    "Suspended",
    "Queued",
    "Running",
    "Published",
    "Succeeded",
    "Reconciling",
    "Stalled",
    "Ready",
]
Stage = Literal["Prepare", "Train"]

DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")


def _is_date_time(stamp: str) -> str:
    """What the API server takes for a date-time; it would refuse the whole status for one that is none."""
    if not DATE_TIME.fullmatch(stamp):
        raise ValueError("must be a date-time (RFC 3339)")
    dt.datetime.fromisoformat(stamp)
    return stamp


Time = Annotated[
    str,
    pydantic.Field(max_length=40, json_schema_extra={"format": "date-time"}),
    pydantic.AfterValidator(_is_date_time),
]
Sentence = Annotated[str, pydantic.Field(max_length=1024)]
Word = Annotated[str, pydantic.Field(max_length=128)]
Uri = Annotated[str, pydantic.Field(max_length=2048)]
Digest = Annotated[str, pydantic.Field(max_length=128)]


class Condition(Value):
    """One observation, as in metav1.Condition."""

    type: ConditionType
    """What is observed."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: Word
    """A stable word for the cause."""
    message: Annotated[str, pydantic.Field(max_length=4096)] = ""
    """A sentence for a person."""
    last_transition_time: Time
    """When `status` last changed."""
    observed_generation: int = 0
    """The generation that this was said about."""


class ProfileSeen(Value):
    """The profile that the job was accepted with."""

    name: Word
    """Name."""
    generation: int
    """Generation."""


class Attempt(Value):
    """One run of pods."""

    stage: Stage
    """Prepare or Train."""
    number: int
    """Counted from 1, for each stage."""
    resumes: int | None = None
    """The attempt whose Job runs again here: a queue had stopped it. Its Job and pods carry that number."""
    outcome: Literal["Running", "Succeeded", "Failed", "Interrupted", "Waiting"] = "Running"
    """Interrupted runs and Waiting ones (something outside was not there) cost no attempt."""
    reason: Word | None = None
    """Why it ended."""
    message: Sentence | None = None
    """The same in a sentence."""
    exit_code: int | None = None
    """Exit code of the trainer container."""
    node: Annotated[str, pydantic.Field(max_length=253)] | None = None
    """Where it ran; of several nodes the one whose pod ended it."""
    nodes: (
        Annotated[list[Annotated[str, pydantic.Field(max_length=253)]], pydantic.Field(max_length=256)] | None
    ) = None
    """The nodes it ran on, in the pods' order, where there were several."""
    checkpoint_step: int | None = None
    """Step of the newest verified checkpoint when it ended: what the next run goes on from."""
    start_time: Time | None = None
    """When its first pod started."""
    end_time: Time | None = None
    """When it ended."""


class Progress(Value):
    """How far training is."""

    stage: Word | None = None
    """What the pod does right now: Fetch, Load, EvaluateBase, Train, Evaluate, Checkpoint, Publish, Done."""
    step: int | None = None
    """Optimiser steps done."""
    total_steps: int | None = None
    """Optimiser steps in all."""
    percent: int | None = None
    """Share of the steps done (0..100)."""
    epoch: float | None = None
    """Passes over the data."""
    loss: float | None = None
    """Training loss; SFT's in nats per token."""
    eval_loss: float | None = None
    """Held-out loss; SFT's in nats per token."""
    learning_rate: float | None = None
    """Learning rate."""
    tokens_per_second: float | None = None
    """Tokens that pass through the model per second."""
    mfu: float | None = None
    """Share of the GPUs' arithmetic that is used (0..1)."""
    eta_seconds: int | None = None
    """Time to the end of training (s)."""
    warnings: Annotated[list[Sentence], pydantic.Field(max_length=8)] | None = None
    """What goes wrong beside the training and does not stop it, for example a tracker that does not answer."""
    updated_at: Time | None = None
    """When the trainer reported this."""
    text: Annotated[str, pydantic.Field(max_length=32)] | None = None
    """For the printer column: `120/500`."""
    eta: Annotated[str, pydantic.Field(max_length=32)] | None = None
    """For the printer column: `4m10s`."""


class DatasetSeen(Value):
    """What Prepare found in the data."""

    digest: Digest | None = None
    """Digest of the prepared rows."""
    format: Annotated[str, pydantic.Field(max_length=256)] | None = None
    """Formats found."""
    rows: int | None = None
    """Rows trained on."""
    eval_rows: int | None = None
    """Rows held out."""
    rows_read: int | None = None
    """Rows read."""
    dropped: Annotated[dict[str, int], pydantic.Field(max_length=32)] | None = None
    """Rows left out, by reason."""
    truncated: int | None = None
    """Rows cut to `spec.training.maxLength`."""
    tokens: int | None = None
    """Tokens of one pass over the training rows."""
    supervised_tokens: int | None = None
    """Tokens of one pass over the training rows that are learned."""
    packs: int | None = None
    """Packs (sequences that several rows share), where `spec.training.packing` is set."""
    fill_rate: float | None = None
    """How full the packs are: tokens divided by packs times `spec.training.maxLength` (0..1)."""
    advice: Annotated[list[Sentence], pydantic.Field(max_length=8)] | None = None
    """What a person would tell you about this data."""


class Resolved(Value):
    """The training settings in force; what was not set is chosen by the trainer."""

    epochs: float | None = None
    """Passes over the data."""
    total_steps: int | None = None
    """Optimiser steps."""
    learning_rate: float | None = None
    """Peak learning rate."""
    global_batch_size: int | None = None
    """Rows per optimiser step; with packing packs."""
    micro_batch_size: int | None = None
    """Rows (with packing: packs) per forward pass of one process; what is left where training ran out of memory."""
    out_of_memory: int | None = None
    """How often training ran out of the GPU's memory and went on with half as many rows per forward pass."""
    max_length: int | None = None
    """Longest row (tokens)."""
    target_modules: Annotated[list[Word], pydantic.Field(max_length=32)] | None = None
    """Modules that get an adapter, by their last name."""
    distribution: Sentence | None = None
    """How several processes hold the model: a copy on each, or its parameters sharded."""


class Estimate(Value):
    """What the job will need."""

    gpu_memory_bytes: int | None = None
    """Memory of one GPU."""
    memory_bytes: int | None = None
    """Memory of one process, where training is on CPU."""
    parts: Annotated[dict[str, int], pydantic.Field(max_length=16)] | None = None
    """Memory by what it is for: weights, adapter, gradients, optimizer, activations, logits, overhead (bytes)."""
    duration_seconds: int | None = None
    """Time from the start of the first training pod to the published result (s)."""
    cost: float | None = None
    """Money, in `currency`."""
    currency: Annotated[str, pydantic.Field(max_length=3)] | None = None
    """Currency, as an ISO 4217 code."""


class CheckpointSeen(Value):
    """The last verified checkpoint."""

    step: int | None = None
    """Optimiser steps done."""
    uri: Uri | None = None
    """Where it lies."""
    time: Time | None = None
    """When it was complete."""


class Metrics(Value):
    """Measured on the held-out rows."""

    loss: float | None = None
    """SFT: mean loss (nats per supervised token). Other methods: their own loss (docs/methods.md)."""
    perplexity: float | None = None
    """e to the loss of SFT."""
    other: Annotated[dict[str, float], pydantic.Field(max_length=16)] | None = None
    """Further metrics by name."""


class EvaluationSeen(Value):
    """Base against tuned."""

    rows: int | None = None
    """Held-out rows."""
    answered: int | None = None
    """Held-out rows whose answers were compared with the expected ones."""
    base: Metrics | None = None
    """The base model."""
    start: Metrics | None = None
    """The base model with the adapter of `spec.model.adapterFrom`; absent where training began a new one."""
    tuned: Metrics | None = None
    """The tuned model."""


class AdapterSeen(Value):
    """What was published: an adapter, or all weights."""

    uri: Uri
    """Where it lies."""
    digest: Digest
    """Digest of its manifest."""
    type: Word | None = None
    """LoRA, QLoRA or Full."""
    rank: int | None = None
    """Rank of the update; absent where all weights were trained."""
    base_model: Uri | None = None
    """Id of the base model, as the adapter names it."""
    base_revision: Annotated[str, pydantic.Field(max_length=256)] | None = None
    """Revision of the base model."""
    step: int | None = None
    """Optimiser step whose weights these are: the last, or with `spec.evaluation.keepBest` the best."""
    size_bytes: int | None = None
    """Size of all files."""
    beyond: Annotated[list[Word], pydantic.Field(max_length=8)] | None = None
    """What the adapter has beyond low-rank matrices (`dora`, `modulesToSave`): PEFT loads it, vLLM does not."""
    merged: bool | None = None
    """Whether the merged weights lie below `merged/`."""
    serving: (
        Annotated[dict[str, Annotated[str, pydantic.Field(max_length=1024)]], pydantic.Field(max_length=8)]
        | None
    ) = None
    """What to type to serve it, by engine."""


class HubSeen(Value):
    """What became of the copy on the Hub. It changes nothing about the result."""

    repo: Annotated[str, pydantic.Field(max_length=200)]
    """`org/name`."""
    revision: Annotated[str, pydantic.Field(max_length=256)] | None = None
    """The commit that holds the whole copy; absent where there is none."""
    reason: Word | None = None
    """Why there is no copy."""
    message: Sentence | None = None
    """The same in a sentence."""


class Usage(Value):
    """What training took, over all of its attempts that have ended."""

    seconds: float | None = None
    """Time that training ran (s), however many its pods; `spec.runPolicy.activeDeadlineSeconds` bounds it."""
    gpu_seconds: float | None = None
    """GPUs times seconds, of all pods together."""
    wasted_gpu_seconds: float | None = None
    """GPU seconds whose work was lost: from the newest checkpoint to the end of an attempt that did not succeed."""
    cost: float | None = None
    """Money, in `currency`."""
    currency: Annotated[str, pydantic.Field(max_length=3)] | None = None
    """Currency, as an ISO 4217 code."""


class FineTuneJobStatus(Value):
    """What happened, how good it got, what it cost, how to serve it."""

    observed_generation: int | None = None
    """The generation that this status was written for. -1: nobody has looked yet."""
    state: State | None = None
    """One word, for the printer column. Programs read the conditions."""
    conditions: Annotated[list[Condition], pydantic.Field(max_length=16)] | None = pydantic.Field(
        default=None,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    """Observations, one of each type."""
    profile: ProfileSeen | None = None
    """The profile that the job was accepted with."""
    run: Annotated[str, pydantic.Field(max_length=63)] | None = None
    """Name of the ConfigMap that holds run.json."""
    attempts: Annotated[list[Attempt], pydantic.Field(max_length=10)] | None = pydantic.Field(
        default=None, json_schema_extra={"x-kubernetes-list-type": "atomic"}
    )
    """The last ten runs of pods."""
    failures: int | None = None
    """Training runs that cost an attempt (of `spec.runPolicy.maxAttempts`)."""
    progress: Progress | None = None
    """How far training is."""
    dataset: DatasetSeen | None = None
    """What Prepare found in the data."""
    resolved: Resolved | None = None
    """The training settings in force."""
    estimate: Estimate | None = None
    """What the job will need."""
    checkpoint: CheckpointSeen | None = None
    """The last verified checkpoint."""
    evaluation: EvaluationSeen | None = None
    """Base against tuned."""
    adapter: AdapterSeen | None = None
    """The published result."""
    hub: HubSeen | None = None
    """The copy on the Hub, where `spec.output.hub` asks for one."""
    usage: Usage | None = None
    """What the job took."""
    start_time: Time | None = None
    """When the job was accepted."""
    completion_time: Time | None = None
    """When the job ended."""


MAX_STATUS_BYTES = 32 * 1024


def parse(raw: dict[str, Any]) -> FineTuneJobStatus:
    """The status as it was read, as far as it is ours; what is damaged or foreign is taken as not said."""
    known = {}
    for name, field in FineTuneJobStatus.model_fields.items():
        alias = field.alias or name
        if alias not in raw:
            continue
        try:
            one = FineTuneJobStatus.model_validate({alias: raw[alias]})
        except pydantic.ValidationError:
            continue
        known[name] = getattr(one, name)
    return FineTuneJobStatus.model_construct(**known)
