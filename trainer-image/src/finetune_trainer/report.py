"""What the pod tells while it runs, the progress document, and when it ends, the last word.

Sections 3 and 4 of docs/contract.md.
"""

import copy
import json
import math
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from finetune_trainer import config, failpoints

MAX_LAST_WORD_BYTES = 4096
"""What the kubelet keeps of a termination message."""

MAX_PROGRESS_BYTES = 64 * 1024

MAX_PROGRESS_MESSAGE = 1024
"""Characters of the progress document's sentence."""

SHORTEST_MESSAGE = 400
"""Characters of the message that are kept before results are left out for it."""

OPTIONAL_RESULTS = (
    "dataset.advice",
    "evaluation.base.other",
    "evaluation.tuned.other",
    "estimate",
    "dataset.dropped",
    "resolved.targetModules",
    "progress.warnings",
    "usage",
    "progress",
    "evaluation",
    "resolved",
    "hub.message",
    "published",
)
"""What is left out where the last word is too long, the most dispensable first."""

AnyText = Annotated[str, pydantic.BeforeValidator(lambda text: str(text).encode("utf-8", "replace").decode())]
"""Text from anywhere: half surrogates, as Python makes of file names that are no UTF-8, become `?`."""

Stage = Literal["Prepare", "Train", "Talk"]
Phase = Literal[
    "Fetch", "Read", "Tokenise", "Load", "EvaluateBase", "Train", "Evaluate", "Checkpoint", "Publish", "Done"
]
Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The clock of production."""
    return datetime.now(UTC)


class LastWord(config.Value):
    """What stands in the termination message."""

    version: Literal[1] = 1
    stage: Stage
    reason: AnyText
    message: AnyText
    result: dict[str, Any] | None = None


class CheckpointSeen(config.Value):
    """The last verified checkpoint."""

    step: int
    uri: str
    time: datetime


class Progress(config.Value):
    """The progress document. None: unknown."""

    version: Literal[1] = 1
    stage: Phase
    attempt: int
    step: int | None = None
    total_steps: int | None = None
    epoch: float | None = None
    loss: float | None = None
    """Nats per token."""
    eval_loss: float | None = None
    learning_rate: float | None = None
    tokens_per_second: float | None = None
    mfu: float | None = None
    """0..1"""
    eta_seconds: int | None = None
    rows: int | None = None
    checkpoint: CheckpointSeen | None = None
    micro_batch_size: int | None = None
    """Rows per forward pass of one process, where memory did not suffice for those that were resolved."""
    out_of_memory: int | None = None
    """How often it did not."""
    warnings: tuple[AnyText, ...] | None = None
    """What goes wrong beside the work, and does not stop it; sentences."""
    updated_at: datetime
    """When the work last moved."""
    message: str = ""


class ProgressWriter:
    """Writes the progress document of one attempt, atomically, so that a reader never sees half of it."""

    def __init__(
        self, path: Path, *, attempt: int, clock: Clock = utc_now, least_seconds: float = 0.5
    ) -> None:
        self._path = path
        self._clock = clock
        self._least_seconds = least_seconds
        self._written_at: datetime | None = None
        self.now = Progress(stage="Fetch", attempt=attempt, updated_at=clock())

    def tell(self, **changes: Any) -> Progress:
        """Move on: `changes` are fields of `Progress`. The same stage, soon after, is not written yet."""
        before, moment = self.now, self._clock()
        self.now = before.model_copy(update={**changes, "updated_at": moment})
        recent = self._written_at and (moment - self._written_at).total_seconds() < self._least_seconds
        if self.now.stage != before.stage or not recent:
            began = self._written_at is None or self.now.stage != before.stage
            write_progress(self._path, self.now)
            self._written_at = moment
            if began:
                failpoints.reach(self.now.stage)
        return self.now


def write_progress(path: Path, progress: Progress) -> None:
    """Replace the document at `path` in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_bytes(encode_progress(progress))
    temporary.replace(path)


def encode_progress(progress: Progress) -> bytes:
    """The progress document as JSON."""
    return _encode(_document(progress) | {"message": _cut(progress.message, MAX_PROGRESS_MESSAGE)})


def read_progress(path: Path) -> Progress | None:
    """The document at `path`; None where there is none yet, or none that can be read."""
    try:
        return Progress.model_validate_json(path.read_bytes()[:MAX_PROGRESS_BYTES])
    except (OSError, pydantic.ValidationError):
        return None


def write_last_word(path: Path, word: LastWord) -> None:
    """Write `word` to `path` as at most 4096 bytes.

    In one write to the file itself and not by renaming another over it: the kubelet bind-mounts
    /dev/termination-log, and nothing can be renamed onto a mount point.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_last_word(word))


def encode_last_word(word: LastWord) -> bytes:
    """`word` as JSON that fits: the message is cut first, then results are left out, one after another."""
    document = _document(word)
    message = " ".join(word.message.split())
    for dropped in ("", *OPTIONAL_RESULTS):
        document = _without(document, dropped)
        document["message"] = message
        if _size(document) <= MAX_LAST_WORD_BYTES:
            return _encode(document)
        if (fitted := _fitted(document, message)) and len(fitted) >= min(len(message), SHORTEST_MESSAGE):
            return _encode({**document, "message": fitted})
    document.pop("result", None)
    return _encode({**document, "message": _fitted(document, message)})


def _fitted(document: dict[str, Any], message: str) -> str:
    """The longest beginning of `message` with which `document` fits; empty where none does."""
    low, high = 0, len(message)
    while low < high:
        middle = (low + high + 1) // 2
        fits = _size({**document, "message": _cut(message, middle)}) <= MAX_LAST_WORD_BYTES
        low, high = (middle, high) if fits else (low, middle - 1)
    return _cut(message, low)


def _cut(text: str, length: int) -> str:
    """At most `length` characters of `text`, with a mark where it was cut."""
    return text if len(text) <= length else text[: max(length - 1, 0)] + "…" * (length > 0)


def _without(document: dict[str, Any], path: str) -> dict[str, Any]:
    """`document` without the result at the dotted `path`."""
    made = copy.deepcopy(document)
    holder: Any = made.get("result")
    *above, last = path.split(".")
    for part in above:
        holder = holder.get(part) if isinstance(holder, dict) else None
    if isinstance(holder, dict):
        holder.pop(last, None)
    return made


def _document(value: config.Value) -> dict[str, Any]:
    """The fields of `value` that are said. Not in pydantic's JSON mode, which fails on half surrogates."""
    return value.model_dump(by_alias=True, exclude_none=True)


def _plain(value: Any) -> str:
    """What JSON has no type for, as text; times as Kubernetes writes them."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return str(value)


def _size(document: dict[str, Any]) -> int:
    return len(_encode(document))


def _encode(document: dict[str, Any]) -> bytes:
    """Compact UTF-8 JSON. Never fails: half surrogates become `?`, numbers that JSON lacks become null."""
    text = json.dumps(finite(document), ensure_ascii=False, separators=(",", ":"), default=_plain)
    return text.encode("utf-8", errors="replace")


def finite(value: Any) -> Any:
    """`value` with NaN and infinities as None: JSON has none, strict parsers refuse the document."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return value
