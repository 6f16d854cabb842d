"""report.html: what the page shows beside the card's facts. Pure; the page itself is templates/report.html.j2."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from finetune_trainer import curves, history
from finetune_trainer.curves import Plot
from finetune_trainer.data.filters import REASONS
from finetune_trainer.task import Evaluated

MOST_DIFFERENT = 3
MOST_ANSWERS = 12
"""Answers shown besides; all of them stand in samples.json."""

Sample = Mapping[str, Any]


def plots(log: history.Log, *, evaluation: Evaluated | None, total_steps: int) -> list[Plot]:
    """Loss, held-out loss, learning rate and gradient norm over the steps: those of which there is something to draw."""
    return list(filter(None, _plots(log, evaluation, total_steps)))


def lengths(data_report: Mapping[str, Any] | None) -> Plot | None:
    """How long rows are."""
    counts = (data_report or {}).get("tokens", {}).get("histogram", [])
    return curves.histogram(
        "Tokens of a training row",
        [(int(bound), int(rows)) for bound, rows in counts],
        x_name="tokens, at most",
    )


def left_out(data_report: Mapping[str, Any] | None) -> list[tuple[str, int]]:
    """Why rows were left out, in words, and how many."""
    dropped: Mapping[str, Mapping[str, int]] = (data_report or {}).get("dropped", {})
    return [
        (f"{reason}: {REASONS[reason].replace('`', '')}" if reason in REASONS else reason, one["rows"])
        for reason, one in dropped.items()
    ]


def most_different(samples: Sequence[Sample]) -> list[Sample]:
    """The samples whose two answers have least in common, the most different first; none where all are alike."""
    ranked = sorted(samples, key=alike)
    return [one for one in ranked if alike(one) < 1.0][:MOST_DIFFERENT]


def others(samples: Sequence[Sample], shown: Sequence[Sample]) -> list[Sample]:
    """Those to be shown besides."""
    return [one for one in samples if all(one is not other for other in shown)][:MOST_ANSWERS]


def alike(sample: Sample) -> float:
    """How much of the words both answers share, in one order: 1 where they are the same."""
    before, after = sample["base"].split(), sample["tuned"].split()
    return difflib.SequenceMatcher(None, before, after, autojunk=False).ratio()


def _plots(log: history.Log, evaluation: Evaluated | None, total_steps: int) -> Iterator[Plot | None]:
    yield curves.curve("Training loss", history.series(log, "loss"))
    held = [point for point in history.series(log, "eval_loss") if 0 < point[0] < total_steps]
    if evaluation:
        held = [(0.0, evaluation.base.loss), *held, (float(total_steps), evaluation.tuned.loss)]
    yield curves.curve("Held-out loss, from the base model to the tuned one", held)
    yield curves.curve("Learning rate", history.series(log, "learning_rate"))
    yield curves.curve("Gradient norm", history.series(log, "grad_norm"))
