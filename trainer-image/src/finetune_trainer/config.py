"""run.json as frozen values (section 2 of docs/contract.md).

Field for field the models of the FineTuneJob's spec, which the operator declares: a contract test holds the
two together, no import does. What a field means is told there; here stand only names, shapes and defaults.
Nothing unknown is accepted.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from pydantic.alias_generators import to_camel

from finetune_trainer import errors

VERSION = 1
"""The version of the contract that this image speaks."""

MAX_BYTES = 512 * 1024
"""Largest run.json; the operator writes none larger."""

Positive = Annotated[int, pydantic.Field(ge=1)]
Text = Annotated[str, pydantic.Field(min_length=1)]
Format = Literal[
    "Auto", "messages", "sharegpt", "alpaca", "prompt-completion", "preference", "unpaired-preference", "text"
]


class Value(pydantic.BaseModel):
    """An immutable part of run.json: camelCase on the wire, nothing unknown. `None`: not said."""

    model_config = pydantic.ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )

    def wire(self) -> dict[str, Any]:
        """This value as JSON data: camelCase, nothing that is not said."""
        return self.model_dump(by_alias=True, mode="json", exclude_none=True)


class SecretRef(Value):
    """A Secret; its keys lie in the folder of its name."""

    name: Text


class JobRef(Value):
    """Another FineTuneJob of the same namespace."""

    name: Text


class AdapterFrom(Value):
    """The adapter that training starts from."""

    job_ref: JobRef | None = None
    uri: Text | None = None
    credentials_secret_ref: SecretRef | None = None


class Model(Value):
    """The base model."""

    uri: Text
    credentials_secret_ref: SecretRef | None = None
    adapter_from: AdapterFrom | None = None
    chat_template: Text | None = None
    attention: Literal["Auto", "sdpa", "eager", "flash_attention_2", "flash_attention_3"] = "Auto"
    trust_remote_code: bool = False


class Columns(Value):
    """Which column plays which part. None: the usual name."""

    messages: Text | None = None
    prompt: Text | None = None
    completion: Text | None = None
    instruction: Text | None = None
    input: Text | None = None
    output: Text | None = None
    history: Text | None = None
    system: Text | None = None
    tools: Text | None = None
    text: Text | None = None
    chosen: Text | None = None
    rejected: Text | None = None
    label: Text | None = None


class PromptTemplate(Value):
    """The author's own wording over named columns."""

    system: Text | None = None
    prompt: Text
    completion: Text


class DataSource(Value):
    """One file, folder or Hub dataset."""

    uri: Text
    credentials_secret_ref: SecretRef | None = None
    split: Text | None = None
    format: Format = "Auto"
    columns: Columns | None = None
    template: tuple[PromptTemplate, ...] | None = None
    max_samples: Positive | None = None
    weight: Annotated[float, pydantic.Field(gt=0)] | None = None


class Duplicates(Value):
    """Duplicate rows."""

    exact: bool = True
    near: Annotated[float, pydantic.Field(gt=0, le=1)] | None = None


class Quality(Value):
    """Rows to leave out."""

    duplicates: Duplicates = Duplicates()
    min_tokens: Annotated[int, pydantic.Field(ge=0)] | None = None
    max_tokens: Positive | None = None
    max_repetition: Annotated[float, pydantic.Field(gt=0, le=1)] | None = None
    blocklist: tuple[Text, ...] = ()


class Dataset(Value):
    """What is learned, and what is held out."""

    train: Annotated[tuple[DataSource, ...], pydantic.Field(min_length=1)]
    eval: tuple[DataSource, ...] = ()
    eval_fraction: Annotated[float, pydantic.Field(ge=0, le=0.5)] | None = None
    quality: Quality = Quality()


class Lora(Value):
    """Low-rank adapters, in PEFT's words."""

    rank: Positive = 16
    alpha: Annotated[float, pydantic.Field(gt=0)] | None = None
    dropout: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.0
    target_modules: Annotated[tuple[Text, ...], pydantic.Field(min_length=1)] = ("all-linear",)
    dora: bool = False
    rslora: bool = False
    modules_to_save: tuple[Text, ...] = ()


class Quantization(Value):
    """How QLoRA holds the base model."""

    type: Literal["nf4", "fp4"] = "nf4"
    double: bool = True


class Tuning(Value):
    """Which weights learn."""

    type: Literal["LoRA", "QLoRA", "Full"] = "LoRA"
    lora: Lora = Lora()
    quantization: Quantization = Quantization()


class EarlyStopping(Value):
    """Stop when held-out loss no longer falls."""

    patience: Positive = 3
    threshold: Annotated[float, pydantic.Field(ge=0)] = 0.0


class Dpo(Value):
    """Preference settings, in TRL's words."""

    beta: Annotated[float, pydantic.Field(gt=0)] | None = None
    loss_type: tuple[Text, ...] | None = None
    label_smoothing: Annotated[float, pydantic.Field(ge=0, lt=0.5)] | None = None


class Training(Value):
    """How the weights learn."""

    epochs: Annotated[float, pydantic.Field(gt=0)] | None = None
    max_steps: Positive | None = None
    learning_rate: Annotated[float, pydantic.Field(gt=0, le=1)] | None = None
    lr_scheduler: Literal["cosine", "linear", "constant", "constant_with_warmup"] = "cosine"
    warmup_ratio: Annotated[float, pydantic.Field(ge=0, le=1)] = 0.03
    global_batch_size: Positive | None = None
    micro_batch_size: Positive | Literal["Auto"] = "Auto"
    max_length: Annotated[int, pydantic.Field(ge=8)] = 1024
    packing: bool = False
    loss_on: Literal["Assistant", "Completion", "All"] | None = None
    optimizer: Literal[
        "adamw_torch_fused", "adamw_torch", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit", "adafactor"
    ] = "adamw_torch_fused"
    weight_decay: Annotated[float, pydantic.Field(ge=0, le=1)] = 0.0
    max_grad_norm: Annotated[float, pydantic.Field(gt=0)] = 1.0
    precision: Literal["Auto", "bf16", "fp16", "fp32"] = "Auto"
    activation_checkpointing: Literal["Auto", "On", "Off"] = "Auto"
    group_by_length: bool = False
    seed: Annotated[int, pydantic.Field(ge=0, le=4294967295)] = 42
    neftune_noise_alpha: Annotated[float, pydantic.Field(gt=0)] | None = None
    early_stopping: EarlyStopping | None = None
    dpo: Dpo | None = None
    extra: dict[str, Any] | None = None


class ScoringModel(Value):
    """A model that judges answers."""

    uri: Text
    credentials_secret_ref: SecretRef | None = None


class BertScore(Value):
    """What the metric bertscore compares answers by."""

    model: ScoringModel
    layer: Positive | None = None


class TaskData(Value):
    """The rows of a task."""

    uri: Text
    credentials_secret_ref: SecretRef | None = None
    split: Text | None = None


class MultipleChoice(Value):
    """Which of some answers the model finds likeliest."""

    choices: Annotated[tuple[Text, ...], pydantic.Field(min_length=2)] | None = None
    choices_column: Text | None = None
    metrics: Annotated[tuple[Literal["acc", "accNorm"], ...], pydantic.Field(min_length=1)] = ("acc",)


class Generate(Value):
    """What the model says, word for word."""

    until: tuple[Text, ...] = ("\n",)
    max_new_tokens: Positive = 32


class EvalTask(Value):
    """One task of lm-eval over rows of one's own."""

    name: Annotated[str, pydantic.Field(min_length=1, pattern="^[a-z][A-Za-z0-9]*$")]
    data: TaskData
    prompt: Text
    target: Text
    multiple_choice: MultipleChoice | None = None
    generate: Generate | None = None
    few_shot: Annotated[int, pydantic.Field(ge=0)] = 0
    limit: Positive = 200

    @property
    def metrics(self) -> tuple[str, ...]:
        """What it is judged by."""
        return self.multiple_choice.metrics if self.multiple_choice else ("exactMatch",)


class Evaluation(Value):
    """How good the result is, beside the base model."""

    every_steps: Positive | None = None
    metrics: tuple[
        Literal["loss", "perplexity", "tokenAccuracy", "rouge", "bleu", "chrf", "exactMatch", "bertscore"],
        ...,
    ] = ("loss", "perplexity")
    samples: tuple[Text, ...] = ()
    max_answers: Positive = 64
    max_new_tokens: Positive = 128
    bert_score: BertScore | None = None
    tasks: Annotated[tuple[EvalTask, ...], pydantic.Field(min_length=1)] | None = None
    gate: tuple[Text, ...] = ()
    keep_best: bool = False


class ResumeFrom(Value):
    """Go on from another job's last checkpoint."""

    job_ref: JobRef


class Checkpoint(Value):
    """When training is saved."""

    every_minutes: Annotated[float, pydantic.Field(gt=0)] | None = None
    every_steps: Positive | None = None
    keep: Positive = 2
    resume_from: ResumeFrom | None = None


class HubCopy(Value):
    """A copy on the Hugging Face Hub, beside the output."""

    repo: Text
    private: bool = True
    credentials_secret_ref: SecretRef | None = None


class Output(Value):
    """Where the result is written."""

    uri: Text
    credentials_secret_ref: SecretRef | None = None
    overwrite: bool = False
    work_uri: Text | None = None
    merged: bool = False
    dtype: Literal["Auto", "bf16", "fp32"] = "Auto"
    hub: HubCopy | None = None


class Wandb(Value):
    """Weights & Biases."""

    project: Text
    entity: Text | None = None
    mode: Literal["Online", "Offline"] = "Online"
    base_url: Text | None = None
    credentials_secret_ref: SecretRef | None = None


class Mlflow(Value):
    """MLflow."""

    tracking_uri: Text
    experiment: Text | None = None
    credentials_secret_ref: SecretRef | None = None


class Tensorboard(Value):
    """TensorBoard event files beside the result."""

    enabled: bool = True


class Tracking(Value):
    """Trackers that the run reports to."""

    wandb: Wandb | None = None
    mlflow: Mlflow | None = None
    tensorboard: Tensorboard | None = None


class Job(Value):
    """The FineTuneJob that this run belongs to."""

    namespace: Text
    name: Text
    uid: Text


class Profile(Value):
    """The profile that the job was accepted with."""

    name: Text
    generation: int


class Resources(Value):
    """What the training pods have."""

    nodes: Positive = 1
    processes_per_node: Positive = 1
    accelerator: Literal["cpu", "cuda"]
    gpu_memory_bytes: Positive | None = None
    gpu_teraflops: Annotated[float, pydantic.Field(gt=0)] | None = None
    cpu: Annotated[float, pydantic.Field(gt=0)]
    memory_bytes: Positive
    scratch_bytes: Positive

    @property
    def processes(self) -> int:
        """Ranks in all."""
        return self.nodes * self.processes_per_node


class Limits(Value):
    """How long things may take (s)."""

    stall_timeout_seconds: Positive = 900
    grace_period_seconds: Positive = 120


class Hub(Value):
    """Where the Hugging Face Hub is. No endpoint: the public one."""

    endpoint: Text | None = None
    offline: bool = False


class Origin(Value):
    """Something outside that the run goes on from."""

    uri: Text
    credentials_secret_ref: SecretRef | None = None


class Origins(Value):
    """What the run goes on from, resolved: a `jobRef` of the spec has become a place."""

    adapter: Origin | None = None
    """The adapter of `model.adapterFrom`."""
    work: Origin | None = None
    """The work area of the job that `checkpoint.resumeFrom` names."""


class Run(Value):
    """One resolved run: everything both stages are told."""

    version: Literal[1]
    job: Job
    image: Text
    profile: Profile | None = None
    method: Literal["SFT", "DPO", "ORPO", "KTO"] = "SFT"
    model: Model
    dataset: Dataset
    tuning: Tuning = Tuning()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    checkpoint: Checkpoint = Checkpoint()
    output: Output
    tracking: Tracking | None = None
    origins: Origins | None = None
    resources: Resources
    limits: Limits = Limits()
    hub: Hub = Hub()


AGAIN = "run the job again under a new name (kubectl finetune retry)"
SAME_VERSION = "ask the admin to install operator and trainer image of the same version"
"""What helps against a run.json that this image does not understand."""
OF_SPEC = (
    "method",
    "model",
    "dataset",
    "tuning",
    "training",
    "evaluation",
    "checkpoint",
    "output",
    "tracking",
)
"""Parts of run.json that stand in the spec as they do here."""


def load(path: Path) -> Run:
    """The run at `path`. Raises `InvalidRun`."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise errors.InvalidRun(f"run.json cannot be read at {path} ({error.strerror}); {AGAIN}") from error
    return parse(raw)


def parse(raw: bytes) -> Run:
    """The run that `raw` holds. Raises `InvalidRun`, naming the first fields that are wrong."""
    if len(raw) > MAX_BYTES:
        raise errors.InvalidRun(
            f"run.json has {len(raw)} bytes, more than the {MAX_BYTES} allowed; shorten the longest texts of the spec"
        )
    try:
        return Run.model_validate_json(raw)
    except pydantic.ValidationError as error:
        raise errors.InvalidRun(_sentence(error)) from error


def _sentence(error: pydantic.ValidationError) -> str:
    """The first three problems, each with the path of its field."""
    problems = error.errors(include_url=False, include_context=False)
    theirs = all(problem["loc"] and problem["loc"][0] in OF_SPEC for problem in problems)
    told = "; ".join(
        f"{'spec.' if theirs else ''}{_path(problem['loc'])}: {problem['msg']}" for problem in problems[:3]
    )
    more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""  # noqa: PLR2004 - a sentence holds three
    if theirs:
        return f"{told}{more}; correct the field, or {SAME_VERSION}"
    return f"run.json is not what this trainer image understands: {told}{more}; {SAME_VERSION}, or correct the field"


def _path(location: tuple[int | str, ...]) -> str:
    """`dataset.train[0].uri`, as a person writes it."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path or "the document"
