"""What last words and progress documents bring, in the status's own types. What is damaged is left out, never guessed."""

import re
from dataclasses import dataclass
from typing import Any, TypeVar

import pydantic

from finetune_operator.api.base import Value
from finetune_operator.api.status import (
    AdapterSeen,
    CheckpointSeen,
    DatasetSeen,
    Estimate,
    EvaluationSeen,
    HubSeen,
    Metrics,
    Progress,
    Resolved,
    Usage,
)
from finetune_operator.observe.words import LastWord
from finetune_operator.status import conditions
from finetune_operator.status.serving import snippets

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
Model = TypeVar("Model", bound=Value)


@dataclass(frozen=True)
class Prepared:
    """What Prepare left."""

    digest: str
    dataset: DatasetSeen
    resolved: Resolved | None
    estimate: Estimate | None


@dataclass(frozen=True)
class Published:
    """What training left."""

    adapter: AdapterSeen
    evaluation: EvaluationSeen | None
    progress: Progress | None
    usage: Usage | None
    hub: HubSeen | None

    @property
    def sentence(self) -> str:
        """Where everything lies, for a person."""
        found = f"the result is at {self.adapter.uri}"
        if self.hub is None:
            return found
        if self.hub.revision:
            return f"{found}; a copy is at hf://{self.hub.repo}@{self.hub.revision}"
        return f"{found}; there is no copy on the Hub: {self.hub.message or self.hub.reason}"


def prepared(word: LastWord | None) -> Prepared | None:
    """Prepare's result; None unless it names the prepared rows."""
    result = word.result if word is not None and word.stage == "Prepare" else None
    dataset = lenient(DatasetSeen, (result or {}).get("dataset"))
    if result is None or dataset is None or not DIGEST.fullmatch(dataset.digest or ""):
        return None
    return Prepared(
        digest=dataset.digest or "",
        dataset=dataset,
        resolved=lenient(Resolved, result.get("resolved")),
        estimate=lenient(Estimate, result.get("estimate")),
    )


def published(word: LastWord | None, *, name: str) -> Published | None:
    """Training's result, also where Prepare found it at the output; None unless it names an adapter."""
    if word is None or word.reason not in {"Published", "AlreadyPublished"} or word.result is None:
        return None
    result = word.result.get("published") if word.stage == "Prepare" else word.result
    result = result if isinstance(result, dict) else {}
    adapter = lenient(AdapterSeen, result.get("adapter"))
    if adapter is None:
        return None
    return Published(
        adapter=adapter.model_copy(update={"serving": snippets(adapter, name) or None}),
        evaluation=_evaluation(result.get("evaluation")),
        progress=_finished(lenient(Progress, result.get("progress"))),
        usage=lenient(Usage, result.get("usage")),
        hub=_hub(result.get("hub")),
    )


def evaluation(word: LastWord | None) -> EvaluationSeen | None:
    """Base against tuned, also where the gate kept the result back; None where nothing was compared."""
    result = word.result if word is not None and word.stage == "Train" else None
    return _evaluation((result or {}).get("evaluation"))


def progress(document: dict[str, Any]) -> Progress:
    """The progress document as the status shows it."""
    seen = _rounded(lenient(Progress, document) or Progress())
    return seen.model_copy(
        update={
            "percent": _percent(seen),
            "text": _text(seen),
            "eta": None if seen.eta_seconds is None else duration(seen.eta_seconds),
        }
    )


def checkpoint(document: dict[str, Any]) -> CheckpointSeen | None:
    """The last verified checkpoint that the progress document names."""
    return lenient(CheckpointSeen, document.get("checkpoint"))


def in_force(old: Resolved | None, told: Any) -> Resolved | None:
    """The settings in force: `old`, with the rows per forward pass that memory has left, where `told` knows of that."""
    fewer = lenient(Resolved, told)
    if fewer is None or not fewer.out_of_memory or fewer.micro_batch_size is None:
        return old
    left = {"micro_batch_size": fewer.micro_batch_size, "out_of_memory": fewer.out_of_memory}
    return (old or Resolved()).model_copy(update=left)


def duration(seconds: int) -> str:
    """`4m10s`, `1h`: two units are enough for a person, and a zero in the second says nothing."""
    left = max(0, seconds)
    counts: list[tuple[int, str]] = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or counts:
            counts.append((count, unit))
    return "".join(f"{count}{unit}" for count, unit in counts[:2] if count) or "0s"


def _percent(seen: Progress) -> int | None:
    if seen.step is None or not seen.total_steps:
        return None
    return max(0, min(100, 100 * seen.step // seen.total_steps))


def _text(seen: Progress) -> str | None:
    if seen.step is None:
        return None
    return f"{seen.step}/{seen.total_steps}" if seen.total_steps else str(seen.step)


def _finished(seen: Progress | None) -> Progress | None:
    """The last progress of a job that is done."""
    if seen is None:
        return None
    done = {"stage": "Done", "eta_seconds": None, "eta": None}
    return _rounded(seen).model_copy(update={"percent": _percent(seen), "text": _text(seen), **done})


DECIMALS = {"epoch": 3, "loss": 4, "eval_loss": 4, "tokens_per_second": 1, "mfu": 3}
"""As many as a person reads; all of them stand in the result's metrics.json."""


def _rounded(seen: Progress) -> Progress:
    """What moves at every step, in a column's width."""
    given = {name: getattr(seen, name) for name in DECIMALS}
    return seen.model_copy(
        update={name: round(value, DECIMALS[name]) for name, value in given.items() if value is not None}
    )


def _hub(raw: Any) -> HubSeen | None:
    """The copy on the Hub; a sentence that is too long is cut, for it is all that tells of a failure."""
    if isinstance(raw, dict) and isinstance(raw.get("message"), str):
        raw = {**raw, "message": conditions.clipped(raw["message"], 1024)}
    return lenient(HubSeen, raw)


def _evaluation(raw: Any) -> EvaluationSeen | None:
    """Base against tuned; one damaged side does not cost the other."""
    if not isinstance(raw, dict):
        return None
    counted = lenient(EvaluationSeen, {name: raw.get(name) for name in ("rows", "answered")})
    return EvaluationSeen(
        rows=counted.rows if counted else None,
        answered=counted.answered if counted else None,
        base=lenient(Metrics, raw.get("base")),
        start=lenient(Metrics, raw.get("start")),
        tuned=lenient(Metrics, raw.get("tuned")),
    )


def lenient(model: type[Model], raw: Any) -> Model | None:
    """`raw` as a `model`, without the fields that are unknown or damaged; None where nothing valid remains."""
    if not isinstance(raw, dict):
        return None
    aliases = {field.alias or name for name, field in model.model_fields.items()}
    kept = {name: value for name, value in raw.items() if name in aliases and value is not None}
    for _ in range(len(kept) + 1):
        try:
            return model.model_validate(kept)
        except pydantic.ValidationError as error:
            damaged = {str(one["loc"][0]) for one in error.errors(include_url=False) if one["loc"]}
            remaining = {name: value for name, value in kept.items() if name not in damaged}
            if len(remaining) == len(kept):
                return None
            kept = remaining
    return None
