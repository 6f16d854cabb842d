"""What there is to say about answers that are compared: DPO, ORPO, KTO."""

from finetune_trainer.data.advice.seen import Seen
from finetune_trainer.plural import counted

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
    told = "and KTO learns from the difference between liked and disliked ones"
    if liked:
        return (
            f"every answer is liked, {told}; add disliked answers, or set spec.method to SFT and spec.dataset.train[0].format to "
            "the format of the rows, for example prompt-completion"
        )
    return f"every answer is disliked, {told}; add liked answers, and see whether the right column is read as label"


def unprepared(seen: Seen) -> str | None:
    """DPO or KTO of a model without a chat template, and no `model.adapterFrom`."""
    if seen.run.method not in {"DPO", "KTO"} or seen.chat or seen.run.model.adapter_from:
        return None
    return (
        f"{seen.run.method} refines a model that already answers, and this one has no chat template, so it is probably a base "
        "model; start from an instruct model, or fine-tune this one with SFT first and go on from that adapter "
        "(spec.model.adapterFrom)"
    )


def contradictions(seen: Seen) -> str | None:
    """More than 1 % of the rows like an answer that another row dislikes."""
    if seen.figures.contradictions * seen.share <= CONTRADICTING:
        return None
    return (
        f"in {counted(seen.figures.contradictions, 'row')} the label contradicts another row with the same prompt and the same "
        "answer; such rows cancel each other out: keep one label"
    )


def swapped(seen: Seen) -> str | None:
    """More than 1 % of the pairs stand there a second time, with the better and the worse answer swapped."""
    if seen.figures.swapped <= CONTRADICTING * seen.figures.pairs:
        return None
    return (
        f"{counted(seen.figures.swapped, 'pair contradicts', 'pairs contradict')} another pair with the same prompt and the same "
        "answers, in which the better and the worse one are swapped; such pairs cancel each other out: keep one of them"
    )


def imbalance(seen: Seen) -> str | None:
    """KTO and fewer than 10 % of the answers are liked, or disliked."""
    liked, disliked = seen.figures.liked, seen.figures.disliked
    fewer = min(liked, disliked)
    rarer = "desirable_weight" if fewer == liked else "undesirable_weight"
    if seen.run.method != "KTO" or not fewer or not seen.judged or fewer >= RARE * (liked + disliked):
        return None
    return (
        f"{counted(liked, 'answer is', 'answers are')} liked and {disliked} disliked: KTO hardly learns from the rarer kind; add "
        f"more of them, or set spec.training.extra.{rarer} to {(liked + disliked - fewer) / fewer:.0f}, so that both kinds count "
        "alike"
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
        f"in {figures.longer_chosen / figures.pairs:.0%} of the pairs the better (chosen) answer is the longer one, {times:.1f} "
        "times as long on average: the model may learn length alone; add pairs whose better answer is the shorter one"
    )
