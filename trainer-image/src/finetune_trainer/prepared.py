"""The prepared dataset: what Prepare leaves in the work area and Train reads. See section 5 of docs/contract.md.

    dataset/<64 hex>/train.parquet    the columns of the method (`data.table`), token ids as list<int32>; cut to maxLength
                     eval.parquet     the same, held out; absent where nothing is held out
                     start/           the adapter that training goes on from (`start_adapter`), if there is one
                     packs.parquet    with training.packing: which rows of train.parquet stand in one sequence (`data.packing`)
                     samples.json     the prompts to be answered, rendered and tokenised
                     tasks/           with evaluation.tasks: the rows of each task of lm-eval, as ready texts (`eval_tasks`)
                     data-report.json, data-report.md   what was read, left out and advised, for programs and for people
                     prepared.json    this model; written last

The digest is that of `Identity`: of the rows and of what shaped them, so that the same data prepared by two jobs has one.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import pydantic

from finetune_trainer import config, errors
from finetune_trainer.storage import Store

TRAIN = "train.parquet"
EVAL = "eval.parquet"
PACKS = "packs.parquet"
SAMPLES = "samples.json"
DOCUMENT = "prepared.json"


class FileFacts(config.Value):
    """One file as it must be."""

    sha256: str
    """64 hex digits."""
    size: int
    """Bytes."""

    @classmethod
    def of(cls, path: Path) -> "FileFacts":
        """The facts of the file at `path`."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(sha256=digest, size=path.stat().st_size)


class BaseModelFacts(config.Value):
    """The base model at the revision that Prepare saw."""

    id: str
    """What the adapter names as its base: `org/name` for the Hub, else the URI of the spec."""
    uri: str
    """As in the spec."""
    revision: str
    """Commit of the Hub, else `sha256:` of the listing."""


class TokenizerFacts(config.Value):
    """How text became tokens, and what ends an answer."""

    digest: str
    """`sha256:` over the tokenizer's files."""
    vocabulary: int
    """Entries, added ones included."""
    bos_token_id: int | None
    eos_token_id: int
    pad_token_id: int
    """The tokenizer's own, else its eos: padded positions are masked either way."""
    end_of_turn_ids: tuple[int, ...]
    """Tokens that end an answer in this data, the most frequent first: generation stops at any of them."""
    rendering: Literal["Chat", "Raw"]
    """Whether a prompt goes through the chat template, or stands as it is."""
    chat_template: str | None
    """The template in force; None where the rendering is Raw."""
    chat_template_source: Literal["Model", "Spec", "Plain"] | None
    """Model: leave the tokenizer's files as they are. Else the published chat_template.jinja must hold `chat_template`."""


class Identity(config.Value):
    """What the digest is over."""

    version: Literal[1] = 1
    method: Literal["SFT", "DPO", "ORPO", "KTO"] = "SFT"
    """Which says what columns the tables have."""
    files: dict[str, FileFacts]
    """train.parquet; if anything is held out, eval.parquet; if rows are packed, packs.parquet; the files of the adapter that is
    gone on from."""
    model: BaseModelFacts
    tokenizer: TokenizerFacts
    max_length: int
    """Tokens."""
    loss_on: tuple[str, ...]
    """Per source of training data."""
    formats: tuple[str, ...]
    """Per source of training data."""
    seed: int

    @property
    def digest(self) -> str:
        """`sha256:<64 hex>`."""
        text = json.dumps(self.wire(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


class Dropped(config.Value):
    """Rows left out for one reason."""

    rows: int
    places: tuple[str, ...] = ()
    """The first of them, for example `tickets.jsonl line 41`."""


class Packed(config.Value):
    """What became of the training rows, where several of them share a sequence."""

    packs: int
    """Sequences."""
    fill_rate: float
    """Tokens among their positions, were each as long as maxLength (0..1)."""


class Resolved(config.Value):
    """The training settings in force (contract section 4)."""

    epochs: float
    total_steps: int
    """Optimiser steps."""
    learning_rate: float
    global_batch_size: int
    """Rows per optimiser step, over all processes; a multiple of processes x microBatchSize. With packing: packs."""
    micro_batch_size: int
    """Rows per forward pass of one process. With packing: packs."""
    max_length: int
    """Tokens."""
    target_modules: tuple[str, ...]
    """By their last name, sorted."""
    distribution: str | None = None
    """How several processes hold the model, in words; None where there is one."""


class Estimated(config.Value):
    """What training will need (contract section 4), as docs/estimate.md reckons it."""

    gpu_memory_bytes: int | None = None
    """Of each GPU."""
    memory_bytes: int | None = None
    """Of each process, on CPU."""
    parts: dict[str, int]
    """Of that memory, by what it is for (bytes)."""
    duration_seconds: int | None = None


class Sample(config.Value):
    """One prompt that base and tuned model will answer."""

    source: Literal["spec", "held-out"]
    """`evaluation.samples`, or a held-out row."""
    messages: tuple[dict[str, Any], ...]
    """The turns before the answer, as chat templates want them: role, content, and tool calls where there are some."""
    expected: str | None
    """The held-out row's own answer."""
    input_ids: tuple[int, ...]
    """`messages` as the model sees them, the opening of its turn included."""


class AskedTask(config.Value):
    """The rows of a task of lm-eval, ready to be asked."""

    file: FileFacts
    rows: int
    """Those that are asked; the ones shown before each prompt do not count."""

    @staticmethod
    def name_of(task: str) -> str:
        """The file of the task called `task`."""
        return f"tasks/{task}.json"


class Prepared(config.Value):
    """prepared.json."""

    version: Literal[1] = 1
    digest: str
    """Of `identity`."""
    identity: Identity
    samples: FileFacts
    report: dict[str, FileFacts] = pydantic.Field(default={})
    """The data report, for programs and for people, by the name of the file."""
    rows: int
    """In train.parquet."""
    eval_rows: int
    """In eval.parquet."""
    rows_read: int
    dropped: dict[str, Dropped]
    truncated: int
    """Rows cut to maxLength that still teach something."""
    tokens: int
    """Of one pass over the training rows."""
    supervised_tokens: int
    longest: int
    """Tokens of the longest training row."""
    packed: Packed | None = None
    """None where each row is a sequence of its own."""
    advice: tuple[str, ...]
    resolved: Resolved
    shaping: dict[str, Any] = pydantic.Field(default={})
    """What the spec says that shapes the weights (`checkpoint.shaping`), for a job that goes on from this one's checkpoint."""
    estimate: Estimated | None = None
    scorer: BaseModelFacts | None = None
    """The model that judges answers; None where no metric asks for one."""
    tasks: dict[str, AskedTask] = pydantic.Field(default={})
    """The tasks of lm-eval, by name."""

    @property
    def files(self) -> dict[str, FileFacts]:
        """Every file beside this document."""
        tasks = {AskedTask.name_of(name): one.file for name, one in self.tasks.items()}
        return {**self.identity.files, SAMPLES: self.samples, **tasks, **self.report}

    def at(self, micro_batch_size: int | None) -> "Prepared":
        """The same with so many rows per forward pass, where a number is given."""
        if micro_batch_size is None:
            return self
        resolved = self.resolved.model_copy(update={"micro_batch_size": micro_batch_size})
        return self.model_copy(update={"resolved": resolved})

    def save(self, store: Store, folder: Path) -> None:
        """Upload the files of `folder`, the document last: the dataset is there whole or not at all."""
        for name in self.files:
            store.put(f"{key_of(self.digest)}/{name}", folder / name)
        store.put(f"{key_of(self.digest)}/{DOCUMENT}", self.model_dump_json(by_alias=True, indent=1).encode())

    @classmethod
    def load(cls, store: Store, digest: str) -> "Prepared":
        """The dataset `digest` (`sha256:<64 hex>`) of the work area `store`, held against its digest."""
        raw = store.read_if_there(f"{key_of(digest)}/{DOCUMENT}")
        where = store.uri_of(key_of(digest))
        if raw is None:
            raise errors.InternalError(
                f"the prepared dataset is gone: {where} holds no {DOCUMENT}; {config.AGAIN}"
            )
        try:
            prepared = cls.model_validate_json(raw)
        except pydantic.ValidationError as error:
            raise errors.InternalError(
                f"{where}/{DOCUMENT} cannot be read ({error.errors()[0]['msg']}); {config.AGAIN}"
            ) from error
        if prepared.digest != digest or prepared.identity.digest != digest:
            raise errors.InternalError(f"{where} was changed after it was prepared; {config.AGAIN}")
        return prepared

    def fetch(self, store: Store, to: Path) -> None:
        """Download every file into the folder `to`, each held against its checksum; a damaged one is fetched once more."""
        for name, expected in self.files.items():
            for _attempt in range(2):
                store.get(f"{key_of(self.digest)}/{name}", to / name)
                if FileFacts.of(to / name) == expected:
                    break
            else:
                where = store.uri_of(f"{key_of(self.digest)}/{name}")
                raise errors.InternalError(f"{where} is not the file that was prepared; {config.AGAIN}")
        (to / DOCUMENT).write_text(self.model_dump_json(by_alias=True, indent=1), encoding="utf-8")


def key_of(digest: str) -> str:
    """The folder of a dataset within the work area. Raises `InvalidRun` for what is no digest."""
    algorithm, _, digits = digest.partition(":")
    if algorithm != "sha256" or len(digits) != 64 or set(digits) - set("0123456789abcdef"):  # noqa: PLR2004 - SHA-256
        raise errors.InvalidRun(
            f"--prepared: {digest!r} is not a digest; it is written sha256:<64 hex digits>"
        )
    return f"dataset/{digits}"
