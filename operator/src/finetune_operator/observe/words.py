"""The last word of a pod and its progress document: version 1 of docs/contract.md."""

from dataclasses import dataclass
from typing import Any

from finetune_operator.names import Stage
from finetune_operator.observe import documents

VERSION = 1
MAX_REASON = 128
MAX_MESSAGE = 4096


@dataclass(frozen=True, slots=True)
class LastWord:
    """What the trainer wrote before it ended."""

    stage: Stage
    reason: str
    message: str
    result: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class ProgressSeen:
    """What `/progress` answered, or that it did not."""

    pod: str
    """uid of who answered: a Job that its queue stopped runs again in another pod, and what the first one said is old."""
    document: dict[str, Any] | None
    failures: int = 0
    """Polls in a row that brought nothing."""


def last_word(text: str | None) -> LastWord | None:
    """The last word, or None where there is no valid one."""
    document = documents.parsed(text) if text else None
    if (
        document is None
        or document.get("version") != VERSION
        or document.get("stage") not in {"Prepare", "Train"}
    ):
        return None
    reason, message, result = document.get("reason"), document.get("message", ""), document.get("result")
    if not isinstance(reason, str) or not _is_word(reason) or not isinstance(message, str):
        return None
    if result is not None and not isinstance(result, dict):
        return None
    return LastWord(document["stage"], reason, message[:MAX_MESSAGE], result)


def progress(body: bytes) -> dict[str, Any] | None:
    """The progress document, or None where it is none of ours."""
    document = documents.parsed(body)
    return document if document is not None and document.get("version") == VERSION else None


def _is_word(reason: str) -> bool:
    """CamelCase, as conditions demand."""
    return 0 < len(reason) <= MAX_REASON and reason[0].isalpha() and reason.isascii() and reason.isalnum()
