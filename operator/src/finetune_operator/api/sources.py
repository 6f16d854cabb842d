"""Where a job reads from and writes to: model, dataset, output."""

from typing import Annotated, Literal

import pydantic

from finetune_operator.api.base import Form, JobRef, SecretRef, Value, rule, uri_of, with_rules

MODEL_SCHEMES = ("hf", "s3", "gs", "az", "pvc", "oci")
LATER = ("oci",)
"""Refused by Accept, by name (plan/not_yet.py)."""
DATA_SCHEMES = ("hf", "s3", "gs", "az", "pvc", "configmap", "https", "http")
OUTPUT_SCHEMES = ("s3", "gs", "az", "pvc")

Format = Literal[
    "Auto", "messages", "sharegpt", "alpaca", "prompt-completion", "preference", "unpaired-preference", "text"
]

Column = Annotated[str, pydantic.Field(min_length=1, max_length=128)]
Template = Annotated[str, pydantic.Field(min_length=1, max_length=8192)]


class AdapterFrom(Value):
    """The adapter that training starts from. It must belong to the same base model."""

    model_config = with_rules(
        rule("has(self.jobRef) != has(self.uri)", "set exactly one of jobRef and uri"),
    )

    job_ref: JobRef | None = None
    """A FineTuneJob of this namespace whose adapter is used; its output's Secret is used too."""
    uri: Annotated[str, uri_of(("hf", *OUTPUT_SCHEMES))] | None = None
    """Where the adapter lies."""
    credentials_secret_ref: SecretRef | None = None
    """Secret for `uri`."""


class Model(Value):
    """The base model."""

    uri: Annotated[str, uri_of([one for one in MODEL_SCHEMES if one not in LATER], unnamed=LATER)]
    """`hf://org/name@revision`, `s3://bucket/prefix`, `pvc://claim/path`, ..."""
    credentials_secret_ref: SecretRef | None = None
    """Secret for `uri`: `HF_TOKEN` for a gated model, `AWS_*` for a bucket. Absent: the output's when the bucket is the same, else
    the pod's own identity."""
    adapter_from: AdapterFrom | None = None
    """Go on from this adapter instead of a new one."""
    chat_template: Annotated[str, pydantic.Field(min_length=1, max_length=32768)] | None = None
    """A Jinja chat template that replaces the model's own."""
    attention: Literal["Auto", "sdpa", "eager", "flash_attention_2", "flash_attention_3"] = "Auto"
    """The attention implementation, in transformers' words. The flash_attention values are not supported yet."""
    trust_remote_code: bool = False
    """Run code that the model's repository ships. Not supported yet."""


class ScoringModel(Value):
    """A model that judges answers and is never trained."""

    uri: Annotated[str, uri_of(("hf", *OUTPUT_SCHEMES))]
    """`hf://org/name@revision`, `s3://bucket/prefix`, `pvc://claim/path`, ... The profile's `allowed.models` applies to it too."""
    credentials_secret_ref: SecretRef | None = None
    """Secret for `uri`. Absent: the output's when the bucket is the same, else the pod's own identity."""


class Columns(Value):
    """Which column of the data plays which part. What is not named keeps its usual name."""

    messages: Column | None = None
    """The conversation, a list of `{role, content}` (messages) or `{from, value}` (sharegpt)."""
    prompt: Column | None = None
    """What the model is asked (prompt-completion, preference, unpaired-preference)."""
    completion: Column | None = None
    """What it should answer (prompt-completion, unpaired-preference)."""
    instruction: Column | None = None
    """The instruction (alpaca)."""
    input: Column | None = None
    """The input beside the instruction (alpaca)."""
    output: Column | None = None
    """The answer (alpaca)."""
    history: Column | None = None
    """Earlier exchanges, a list of [asked, answered] (alpaca)."""
    system: Column | None = None
    """The system prompt."""
    tools: Column | None = None
    """The functions that the assistant may call: a list of JSON schemas, or one as JSON text."""
    text: Column | None = None
    """Plain text."""
    chosen: Column | None = None
    """The better answer (preference)."""
    rejected: Column | None = None
    """The worse answer (preference)."""
    label: Column | None = None
    """Whether the answer is good (unpaired-preference)."""


class PromptTemplate(Value):
    """The author's own wording over named columns: `{column}` stands for the row's value, `{{` and `}}` for braces."""

    system: Template | None = None
    """System prompt."""
    prompt: Template
    """What the model is asked, for example `Summarise:\\n{document}`."""
    completion: Template
    """What it should answer, for example `{title}`."""


class DataSource(Value):
    """One file, folder or Hub dataset."""

    model_config = with_rules(
        rule(
            "!has(self.template) || (!has(self.columns) && (!has(self.format) || self.format == 'Auto'))",
            "template names the columns itself; leave out format and columns",
        ),
    )

    uri: Annotated[str, uri_of(DATA_SCHEMES)]
    """`s3://bucket/tickets.jsonl`, `hf://datasets/org/name`, `configmap://name/key`, `pvc://claim/path`, `https://...`. A folder or
    a `*` in the last segment means all data files there."""
    credentials_secret_ref: SecretRef | None = None
    """Secret for `uri`. Absent: the output's when the bucket is the same, else the pod's own identity."""
    split: Annotated[str, pydantic.Field(min_length=1, max_length=128)] | None = None
    """The files of one split, recognised by their names: `train`, `validation`, `test`, ... Absent: `train` of a Hub dataset that
    has one, else all files."""
    format: Format = "Auto"
    """How a row is read. Auto, the default, looks at the columns of the first one, and at what `method` can learn from."""
    columns: Columns | None = None
    """Names of columns where they are not the usual ones."""
    template: Annotated[list[PromptTemplate], pydantic.Field(min_length=1, max_length=32)] | None = None
    """The author's own wording. Where there are several, each row gets one of them, drawn by `spec.training.seed` and the row's
    text."""
    max_samples: Annotated[int, pydantic.Field(ge=1)] | None = None
    """Read at most this many rows."""
    weight: Annotated[float, pydantic.Field(gt=0, le=1000)] | None = None
    """How often each training row of this source is seen in an epoch: 2 is twice, 0.5 is half of the rows, drawn by the seed.
    Absent: 1. Held-out rows are never weighted."""


class Duplicates(Value):
    """Duplicate rows."""

    exact: bool = True
    """Leave out rows that are the same as an earlier one."""
    near: Annotated[float, pydantic.Field(gt=0, le=1)] | None = None
    """Leave out rows at least this similar to an earlier one, and training rows as similar to one of `eval` (0..1; 0.8 finds
    rows with a few words changed): the share of runs of five characters that both have, of all that one of them has, estimated.
    Absent: near copies stay."""


class Quality(Value):
    """Rows to leave out. Each one is counted by reason in the status."""

    duplicates: Duplicates = Duplicates()
    """Duplicate rows."""
    min_tokens: Annotated[int, pydantic.Field(ge=0)] | None = None
    """Shortest row (tokens); shorter ones are left out."""
    max_tokens: Annotated[int, pydantic.Field(ge=1)] | None = None
    """Longest row (tokens); longer ones are left out. Those longer than `spec.training.maxLength` are cut, not left out."""
    max_repetition: Annotated[float, pydantic.Field(gt=0, le=1)] | None = None
    """Rows are left out if a larger share than this of an answer's three-word phrases is repeated in it (0..1)."""
    blocklist: Annotated[
        list[Annotated[str, pydantic.Field(min_length=1, max_length=256)]], pydantic.Field(max_length=1000)
    ] = pydantic.Field(default=[])
    """Rows that hold one of these words or phrases are left out; upper and lower case are alike."""


class Dataset(Value):
    """What is learned, and what is held out."""

    model_config = with_rules(
        rule(
            "!has(self.eval) || self.eval.all(source, !has(source.weight))",
            "held-out rows are never weighted; weight belongs to the sources of train",
        ),
    )

    train: Annotated[list[DataSource], pydantic.Field(min_length=1, max_length=32)]
    """Training data."""
    eval: Annotated[list[DataSource], pydantic.Field(max_length=32)] = pydantic.Field(default=[])
    """Held-out data. Empty: `evalFraction` of the training data is held out."""
    eval_fraction: Annotated[float, pydantic.Field(ge=0, le=0.5)] | None = None
    """Share of the training rows held out where `eval` is empty. Absent: 0.05, at least one row and at most 500. 0: nothing is
    held out."""
    quality: Quality = Quality()
    """Rows to leave out."""


class Hub(Value):
    """A copy on the Hugging Face Hub, beside the output."""

    repo: Annotated[
        str,
        pydantic.Field(min_length=3, max_length=200),
        Form(r"^[^/\s]+/[^/\s]+$", "must be org/name, for example my-team/support-bot"),
    ]
    """`org/name`."""
    private: bool = True
    """Make a new repository private."""
    credentials_secret_ref: SecretRef | None = None
    """Secret with `HF_TOKEN`."""


class Output(Value):
    """Where the result is written."""

    uri: Annotated[str, uri_of(OUTPUT_SCHEMES)]
    """A prefix of its own: one result, one prefix."""
    credentials_secret_ref: SecretRef | None = None
    """Secret with the bucket's keys. Absent: the pod's own identity."""
    overwrite: bool = False
    """Replace the result of another job that lies there."""
    work_uri: Annotated[str, uri_of(OUTPUT_SCHEMES)] | None = None
    """Where work in progress lies. Absent: `spec.output.uri`."""
    merged: bool = False
    """Publish the adapter merged into the base model's weights too, below `merged/`."""
    dtype: Literal["Auto", "bf16", "fp32"] = "Auto"
    """Number format of the published weights; they are rounded before they are measured. Auto: an adapter keeps the format it was
    trained in, and all weights (`spec.tuning.type: Full`) get that of the base model. `merged/` always has that of the base
    model."""
    hub: Hub | None = None
    """A copy on the Hub."""
