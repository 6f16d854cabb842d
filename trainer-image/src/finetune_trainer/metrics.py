"""What `evaluation.metrics` can ask for, and which figures each of them and each method gives. Plain names, no arithmetic."""

from collections.abc import Iterable
from dataclasses import dataclass

from finetune_trainer import config

FIGURES = {
    "loss": ("loss",),
    "perplexity": ("perplexity",),
    "tokenAccuracy": ("tokenAccuracy",),
    "rouge": ("rouge1", "rouge2", "rougeL"),
    "bleu": ("bleu",),
    "chrf": ("chrf",),
    "exactMatch": ("exactMatch",),
    "bertscore": ("bertScorePrecision", "bertScoreRecall", "bertScoreF1"),
}
"""Metric of the spec -> the figures it gives."""

GENERATED = frozenset({"rouge", "bleu", "chrf", "exactMatch", "bertscore"})
"""Metrics that compare what a model answers with the held-out row's own answer."""


@dataclass(frozen=True)
class OfMethod:
    """What a method is judged by, asked for or not."""

    both: frozenset[str]
    """Of base and tuned model."""
    tuned: frozenset[str] = frozenset()
    """Of the tuned one besides: the base is its own reference."""


REWARDS = frozenset({"rewardAccuracy", "rewardMargin"})
METHODS = {
    "SFT": OfMethod(frozenset({"loss", "perplexity"})),
    "DPO": OfMethod(frozenset({"loss", "chosenLoss", "chosenLikelier"}), REWARDS),
    "ORPO": OfMethod(frozenset({"loss", "chosenLoss"}) | REWARDS),
    "KTO": OfMethod(frozenset({"loss", "desirableLoss"}), REWARDS),
}


MOST_FIGURES = 16
"""Figures of one model, beside loss and perplexity, that the status has room for."""


def of_task(task: str, metric: str) -> str:
    """Name of the figure that the metric of a task gives: `boolqAccNorm`. The gate's grammar knows letters and digits alone."""
    return f"{task}{metric[0].upper()}{metric[1:]}"


def of_tasks(run: config.Run) -> list[str]:
    """Names of all figures that the tasks of `run` give."""
    return [of_task(task.name, metric) for task in run.evaluation.tasks or () for metric in task.metrics]


def generates(asked: Iterable[str]) -> bool:
    """Whether held-out rows must be answered for the metrics `asked`."""
    return not GENERATED.isdisjoint(asked)


def measured(method: str, asked: Iterable[str], side: str, tasks: Iterable[str] = ()) -> frozenset[str]:
    """Names of the figures that `method` and the metrics `asked` give of the model `side`: `base` or `tuned`.

    `tasks`: names of the figures that its tasks give.
    """
    own = METHODS[method]
    named = {figure for metric in asked for figure in FIGURES.get(metric, ())} - {"loss", "perplexity"}
    return own.both | (own.tuned if side == "tuned" else frozenset()) | named | frozenset(tasks)


def metric_of(figure: str) -> str | None:
    """The metric that gives `figure`; None where none does."""
    return next((metric for metric, figures in FIGURES.items() if figure in figures), None)
