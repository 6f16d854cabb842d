"""What a model is asked about the held-out rows, and what the answers come to, for each method. Plain arithmetic.

A model says how likely it finds each of some sequences (`evaluate.said_of`). It is asked the same, by the same code,
before and after training: what the base said is the reference of DPO and KTO.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finetune_trainer import errors
from finetune_trainer.tables import IGNORED
from finetune_trainer.task import Measured

Row = dict[str, list[int]]
"""`input_ids` and `labels` of one sequence, of equal length; -100 where a token's likelihood is not asked for."""

Table = Mapping[str, Sequence[Any]]
"""The held-out rows by column, as prepared for the method."""


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """The held-out rows of one method."""

    rows: int
    sequences: list[Row]
    """What the model is asked."""

    @property
    def welcome(self) -> list[int]:
        """Places of the sequences whose labelled tokens a good model says: each answer that is one to give, once."""
        return list(range(self.rows))

    def token_accuracy(self, right: Sequence[int]) -> float:
        """The share of those tokens that the model finds likelier than any other; `right`: how many, by sequence."""
        asked = sum(_asked(self.sequences[place]) for place in self.welcome)
        return sum(right[place] for place in self.welcome) / max(asked, 1)

    def judged(self, own: Sequence[float], reference: Sequence[float] | None) -> Measured:
        """What the log probabilities `own` (nats, one per sequence) come to.

        `reference`: what the base said; None where `own` is the base's. Raises `NonFiniteLoss`.
        """
        measured = self._judged(own, reference)
        if not all(map(math.isfinite, (measured.loss, *measured.other.values()))):
            raise errors.NonFiniteLoss(
                f"the held-out loss is {measured.loss}: the model's weights, or computing with them, overflowed; lower "
                "spec.training.learningRate, or use another spec.training.precision"
            )
        return measured

    def _judged(self, own: Sequence[float], reference: Sequence[float] | None) -> Measured:
        raise NotImplementedError


class Supervised(HeldOut):
    """SFT: how likely the learned tokens are, every token counting the same."""

    def _judged(self, own: Sequence[float], reference: Sequence[float] | None) -> Measured:
        del reference
        loss = _per_token(self.sequences, own)
        return Measured(loss=loss, perplexity=_exp(loss))


@dataclass(frozen=True, kw_only=True)
class Preferred(HeldOut):
    """DPO: how much likelier than to the base the chosen answer has become, beside the rejected one.

    The loss is -log(sigmoid(margin)), whatever loss types training mixes: ln 2 for the base, which is its own reference.
    """

    beta: float

    def _judged(self, own: Sequence[float], reference: Sequence[float] | None) -> Measured:
        count = self.rows
        chosen, rejected = own[:count], own[count:]
        other = {
            "chosenLoss": _per_token(self.sequences[:count], chosen),
            "chosenLikelier": _share(chosen, rejected),
        }
        if reference is None:
            return Measured(loss=math.log(2.0), other=other)
        rewards = [self.beta * (after - before) for after, before in zip(own, reference, strict=True)]
        liked, disliked = rewards[:count], rewards[count:]
        margins = [good - bad for good, bad in zip(liked, disliked, strict=True)]
        return Measured(
            loss=_mean([-_log_sigmoid(margin) for margin in margins]),
            other={**other, "rewardAccuracy": _share(liked, disliked), "rewardMargin": _mean(margins)},
        )


@dataclass(frozen=True, kw_only=True)
class Odds(HeldOut):
    """ORPO: its own loss, and rewards as TRL logs them, which need no reference: beta times the mean log probability."""

    beta: float

    def _judged(self, own: Sequence[float], reference: Sequence[float] | None) -> Measured:
        del reference
        count = self.rows
        mean = [value / max(_asked(row), 1) for row, value in zip(self.sequences, own, strict=True)]
        chosen, rejected = mean[:count], mean[count : 2 * count]
        whole = _per_token(self.sequences[2 * count :], own[2 * count :])
        odds = [
            (good - bad) - (_log1mexp(good) - _log1mexp(bad))
            for good, bad in zip(chosen, rejected, strict=True)
        ]
        return Measured(
            loss=whole - self.beta * _mean([_log_sigmoid(one) for one in odds]),
            other={
                "chosenLoss": _per_token(self.sequences[:count], own[:count]),
                "rewardAccuracy": _share(chosen, rejected),
                "rewardMargin": self.beta * (_mean(chosen) - _mean(rejected)),
            },
        )


@dataclass(frozen=True, kw_only=True)
class Feedback(HeldOut):
    """KTO: rewards of single answers. The distance from the reference is estimated once, over all held-out rows."""

    beta: float
    desirable: list[bool]
    with_distance: bool
    """Whether the loss knows that distance (`kto`), or takes it for 0 (`apo_zero_unpaired`)."""

    @property
    def welcome(self) -> list[int]:
        """Those that people liked."""
        return [place for place, label in enumerate(self.desirable) if label]

    def _judged(self, own: Sequence[float], reference: Sequence[float] | None) -> Measured:
        count = self.rows
        other = {}
        liked = self.welcome
        if liked:
            other["desirableLoss"] = _per_token(
                [self.sequences[at] for at in liked], [own[at] for at in liked]
            )
        if reference is None:
            return Measured(loss=0.5, other=other)
        ratios = [after - before for after, before in zip(own, reference, strict=True)]
        distance = max(_mean(ratios[count:]), 0.0) if self.with_distance else 0.0
        signed = [
            (ratio if label else -ratio, label)
            for ratio, label in zip(ratios[:count], self.desirable, strict=True)
        ]
        losses = [
            1.0 - _sigmoid(self.beta * (ratio - (distance if label else -distance)))
            for ratio, label in signed
        ]
        other["rewardAccuracy"] = _mean([float(ratio > 0.0) for ratio, _ in signed])
        if 0 < len(liked) < count:
            good = _mean([ratios[at] for at in liked])
            bad = _mean([ratios[at] for at in range(count) if not self.desirable[at]])
            other["rewardMargin"] = self.beta * (good - bad)
        return Measured(loss=_mean(losses), other=other)


def held_out(
    method: str, table: Table, *, beta: float, loss_type: str | None = None, max_length: int
) -> HeldOut:
    """The held-out rows of `table` for `method`; `max_length` (tokens) cuts what no row of Prepare is: KTO's mismatched ones."""
    if method == "SFT":
        sequences = [
            {"input_ids": list(ids), "labels": list(labels)}
            for ids, labels in zip(table["input_ids"], table["labels"], strict=True)
        ]
        return Supervised(rows=len(sequences), sequences=sequences)
    prompts = table["prompt_ids"]
    if method == "KTO":
        answers = list(table["completion_ids"])
        matched = _sequences(prompts, answers)
        others = _sequences(prompts, answers[-1:] + answers[:-1], max_length=max_length)
        return Feedback(
            rows=len(matched), sequences=matched + others, beta=beta,
            desirable=[bool(label) for label in table["label"]],
            with_distance=loss_type != "apo_zero_unpaired",
        )  # fmt: skip
    chosen = _sequences(prompts, table["chosen_ids"])
    rejected = _sequences(prompts, table["rejected_ids"])
    if method == "DPO":
        return Preferred(rows=len(chosen), sequences=chosen + rejected, beta=beta)
    whole = [{"input_ids": row["input_ids"], "labels": row["input_ids"]} for row in chosen]
    return Odds(rows=len(chosen), sequences=chosen + rejected + whole, beta=beta)


def _sequences(
    prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], *, max_length: int | None = None
) -> list[Row]:
    """Each prompt with its answer, of which every token is asked for."""
    return [
        {
            "input_ids": [*prompt, *answer][:max_length],
            "labels": [*[IGNORED] * len(prompt), *answer][:max_length],
        }
        for prompt, answer in zip(prompts, answers, strict=True)
    ]


def _asked(row: Row) -> int:
    """Tokens whose likelihood is asked for; the first of a sequence has none."""
    return sum(label != IGNORED for label in row["labels"][1:])


def _per_token(rows: Sequence[Row], log_probs: Sequence[float]) -> float:
    """Mean loss (nats) of all tokens asked for."""
    return -math.fsum(log_probs) / max(sum(map(_asked, rows)), 1)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / max(len(values), 1)


def _share(better: Sequence[float], worse: Sequence[float]) -> float:
    """How often the one is larger than the other."""
    return _mean([float(good > bad) for good, bad in zip(better, worse, strict=True)])


def _sigmoid(value: float) -> float:
    return math.exp(_log_sigmoid(value))


def _log_sigmoid(value: float) -> float:
    return min(value, 0.0) - math.log1p(math.exp(-abs(value)))


def _log1mexp(value: float) -> float:
    """log(1 - e^value), for a negative value."""
    return math.log(-math.expm1(min(value, -1e-12)))


def _exp(value: float) -> float | None:
    try:
        return math.exp(value)
    except OverflowError:
        return None
