"""What there is to say about answers that are compared: DPO, ORPO, KTO."""

from finetune_trainer.data.advice.seen import Seen

CONTRADICTING = 0.01
RARE = 0.1
"""Share of the rarer of liked and disliked answers."""
LONGER = 0.75
"""Share of pairs whose better answer is the longer one..."""
MUCH_LONGER = 1.5
"""...and how many times as long it is on average."""


def one_sided(seen: Seen) -> str | None:
    """KTO and all answers liked, or all disliked."""
    liked, disliked = seen.figures.liked, seen.figures.disliked
    if seen.run.method != "KTO" or (liked and disliked):
        return None
    kind, other = ("liked", "disliked") if liked else ("disliked", "liked")
    return (
        f"every answer is {kind}: KTO learns from the difference to {other} ones and there are none; add some, or use SFT on the "
        "liked ones"
    )


def unprepared(seen: Seen) -> str | None:
    """DPO or KTO of a model without a chat template, and no `model.adapterFrom`."""
    if seen.run.method not in {"DPO", "KTO"} or not seen.plain or seen.run.model.adapter_from:
        return None
    return (
        f"{seen.run.method} refines a model that can answer already, and this one has no chat template; fine-tune it by SFT first "
        "and go on from there with spec.model.adapterFrom"
    )


def contradictions(seen: Seen) -> str | None:
    """More than 1 % of the rows like an answer that another row dislikes."""
    if seen.figures.contradictions * seen.share <= CONTRADICTING:
        return None
    return (
        f"in {seen.figures.contradictions} rows an answer is liked that is disliked in another one, to the same prompt; such rows "
        "cancel each other: decide for one label"
    )


def imbalance(seen: Seen) -> str | None:
    """KTO and fewer than 10 % of the answers are liked, or disliked."""
    liked, disliked = seen.figures.liked, seen.figures.disliked
    fewer = min(liked, disliked)
    if seen.run.method != "KTO" or not fewer or not seen.judged or fewer >= RARE * (liked + disliked):
        return None
    return (
        f"{liked} answers are liked and {disliked} disliked: KTO hardly learns from the rarer kind; bring "
        "their numbers nearer to each other"
    )


def longer_chosen(seen: Seen) -> str | None:
    """In more than 75 % of the pairs the better answer is longer, 1.5 times on average."""
    figures = seen.figures
    if not seen.judged or figures.longer_chosen <= LONGER * max(figures.pairs, 1):
        return None
    times = figures.chosen_characters / max(figures.rejected_characters, 1)
    if times <= MUCH_LONGER:
        return None
    return (
        f"in {figures.longer_chosen / figures.pairs:.0%} of the pairs the better answer is the longer one, {times:.1f} times as "
        "long on average: the model may learn length alone; add pairs whose better answer is the shorter one"
    )
