"""How a rank ended, as a file: launchers hide exit codes.

torchrun's is always 1, and below a killed `accelerate launch` there is none.
Every rank writes one when it ends; the supervisor reads them all and lets the gravest speak for the gang.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from finetune_trainer import config, errors
from finetune_trainer.errors import ExitCode
from finetune_trainer.report import AnyText

PRECEDENCE = (
    frozenset({ExitCode.AUTHOR, ExitCode.DENIED}),
    frozenset({ExitCode.GATE}),
    frozenset({ExitCode.OUT_OF_MEMORY}),
    None,  # any other code: our bug, or the machine's
    frozenset({ExitCode.OUTSIDE}),
    frozenset({ExitCode.INTERRUPTED}),
    frozenset({ExitCode.OK}),
)
"""Which code speaks for the gang, gravest first (contract section 4)."""


class Verdict(config.Value):
    """How one rank ended."""

    rank: int
    exit_code: int
    reason: str
    message: AnyText
    """A sentence for a person; becomes the last word's."""
    step: int | None = None
    """Optimiser steps done."""


def of(error: BaseException, *, rank: int, step: int | None = None) -> Verdict:
    """The verdict of a rank that `error` ended."""
    told = error if isinstance(error, errors.TrainerError) else errors.InternalError.wrapping(error)
    return Verdict(
        rank=rank, exit_code=errors.exit_code_of(told), reason=told.reason, message=str(told), step=step
    )


def write(folder: Path, verdict: Verdict) -> None:
    """Put `verdict` into `folder`, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".rank-{verdict.rank}"
    temporary.write_text(json.dumps(verdict.wire()), encoding="utf-8")
    temporary.replace(_path(folder, verdict.rank))


def read(folder: Path, rank: int) -> Verdict | None:
    """What the rank said; None where it died without a word."""
    try:
        return Verdict.model_validate_json(_path(folder, rank).read_bytes())
    except (OSError, ValueError):
        return None


def gravest(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict that speaks for the gang; among equals the lowest rank's. There must be one at least."""
    return min(verdicts, key=lambda one: (_gravity(one.exit_code), one.rank))


OF_OTHERS = frozenset({errors.PeerLost.__name__, errors.PeerMissing.__name__})
"""Reasons of a rank that only knows that another one is not there."""


def knows(verdict: Verdict) -> bool:
    """Whether a rank tells a fault of its own: not that it was told to stop, not that another one went away."""
    return verdict.exit_code not in {ExitCode.OK, ExitCode.INTERRUPTED} and verdict.reason not in OF_OTHERS


def _gravity(code: int) -> int:
    """Place of `code` in `PRECEDENCE`; 0 is the gravest."""
    for place, codes in enumerate(PRECEDENCE):
        if codes is not None and code in codes:
            return place
    return PRECEDENCE.index(None)


def _path(folder: Path, rank: int) -> Path:
    return folder / f"rank-{rank}.json"
