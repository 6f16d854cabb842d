"""What there is to say about settings that do not fit the data."""

import math

from finetune_trainer.data.advice.seen import Seen
from finetune_trainer.plural import counted

FEW_FOR_FULL = 1_000
"""Rows: whole weights that move for fewer forget what they knew."""
FEW_HELD_OUT = 10
MOST_HELD_OUT = 0.5
"""Share of rows: the most that `evalFraction` may be."""
FAR = 10.0
"""How many times the usual learning rate is too much; a tenth of it is too little."""
EPOCHS = 10.0
"""Over few rows, after which they are known by heart; the trainer itself chooses no more."""
FEW_FOR_EPOCHS = 1_000
EPOCHS_FOR_ALL = 30.0
FEW_STEPS = 10
LITTLE_SEEN = 0.5
"""Epochs."""
HARDLY_FULL = 0.75
"""Share of a pack's positions."""
FEW_PACKS = 2
"""No more: there are few rows, however long they are."""


def nothing_held_out(seen: Seen) -> str | None:
    """No held-out rows."""
    if seen.figures.held:
        return None
    dataset = seen.run.dataset
    if dataset.eval:
        return (
            "no row of spec.dataset.eval is left, so nobody will know whether the result is better; see in the table of what was "
            "left out why, and correct the rows"
        )
    if dataset.eval_fraction == 0 and seen.figures.rows > 1:
        cure = "remove spec.dataset.evalFraction: 0, or set spec.dataset.eval"
    else:
        cure = "give more rows: one row cannot be both trained on and held out"
    return f"nothing is held out, so nobody will know whether the result is better; {cure}"


def few_held_out(seen: Seen) -> str | None:
    """Fewer than 10 held-out rows."""
    if not 0 < seen.figures.held < FEW_HELD_OUT:
        return None
    held = seen.figures.held
    fraction = math.ceil(100 * FEW_HELD_OUT / (seen.figures.rows + held)) / 100
    if seen.run.dataset.eval:
        cure = f"put at least {FEW_HELD_OUT} into spec.dataset.eval"
    elif fraction <= MOST_HELD_OUT:
        cure = f"hold out at least {FEW_HELD_OUT}: set spec.dataset.evalFraction to {fraction}"
    else:
        cure = f"hold out at least {FEW_HELD_OUT}: add rows"
    return f"{counted(held, 'held-out row is', 'held-out rows are')} too few to compare two models; {cure}"


def rate(seen: Seen) -> str | None:
    """The learning rate is more than ten times the usual one; for adapters also a tenth of it or less."""
    rate, usual = seen.resolved.learning_rate, seen.usual_rate
    what = "whole weights" if seen.run.tuning.type == "Full" else "adapters"
    if rate > FAR * usual:
        return (
            f"a learning rate of {rate:g} is high for {seen.run.method} of {what}, so training may diverge; "
            f"{usual:g} is usual (spec.training.learningRate)"
        )
    if rate * FAR <= usual * 1.0001 and seen.run.tuning.type != "Full":
        return (
            f"a learning rate of {rate:g} is low for {seen.run.method} of {what}, so little will be learned; "
            f"{usual:g} is usual (spec.training.learningRate)"
        )
    return None


def full_on_few(seen: Seen) -> str | None:
    """Full fine-tuning on fewer than 1,000 rows."""
    if seen.run.tuning.type != "Full" or seen.figures.rows >= FEW_FOR_FULL:
        return None
    return (
        f"full fine-tuning on {counted(seen.figures.rows, 'row')} tends to make the model forget what it knew; set "
        "spec.tuning.type to LoRA, which keeps that and costs less"
    )


def many_epochs(seen: Seen) -> str | None:
    """More than 10 epochs over fewer than 1,000 rows, or more than 30 over any."""
    epochs, rows = seen.resolved.epochs, seen.figures.rows
    if epochs <= (EPOCHS if rows < FEW_FOR_EPOCHS else EPOCHS_FOR_ALL):
        return None
    return (
        f"{round(epochs, 1):g} epochs over {counted(rows, 'row')}: the model will learn them by heart; {seen.usual_epochs:g} would "
        f"be usual for so many rows: lower {seen.length_of_training}, and watch the held-out loss"
    )


def shortened(seen: Seen) -> str | None:
    """`maxLength` is more than the model was made for."""
    asked, given = seen.run.training.max_length, seen.resolved.max_length
    return (
        f"spec.training.maxLength is {asked}, which is more than the model was made for; {given} is used instead"
        if given < asked
        else None
    )


def hardly_packed(seen: Seen) -> str | None:
    """Packs are less than 75 % full."""
    packed = seen.packed
    if packed is None or packed.fill_rate >= HARDLY_FULL:
        return None
    if packed.packs <= FEW_PACKS:
        return (
            f"all rows fit into {counted(packed.packs, 'pack')}, {packed.fill_rate:.0%} full, so packing gains little; leave "
            "spec.training.packing out"
        )
    return (
        f"packs are {packed.fill_rate:.0%} full, so packing gains little: rows are long compared with spec.training.maxLength "
        f"({seen.resolved.max_length}); raise it, or leave spec.training.packing out"
    )


def endless(seen: Seen) -> str | None:
    """The chat template leaves the last answer open."""
    if not seen.figures.endless:
        return None
    return (
        "the chat template does not end the assistant's turn; the tokenizer's end-of-text token (eos_token) was added there, and "
        "the program that serves the model must stop at it"
    )


def quoting(seen: Seen) -> str | None:
    """What somebody says holds special tokens of the tokenizer."""
    rows, place = seen.figures.quoting, seen.figures.quoting_place
    if not rows:
        return None
    return (
        f"{counted(rows, 'row has', 'rows have')} special tokens of the tokenizer in what somebody says (the first: {place}); they "
        "are read as plain text"
    )


def plain(seen: Seen) -> str | None:
    """The model has no chat template."""
    if not seen.plain:
        return None
    return (
        "the model has no chat template; a plain one is used and published with the result (### User: / ### Assistant:); to use "
        "another, set spec.model.chatTemplate"
    )


def few_steps(seen: Seen) -> str | None:
    """Fewer than 10 optimiser steps."""
    steps = seen.resolved.total_steps
    if steps >= FEW_STEPS:
        return None
    return (
        f"{counted(steps, 'optimiser step hardly changes', 'optimiser steps hardly change')} a model; raise "
        f"{seen.length_of_training}, or lower spec.training.globalBatchSize"
    )


def little_seen(seen: Seen) -> str | None:
    """Less than half of the rows are seen."""
    if seen.resolved.epochs >= LITTLE_SEEN:
        return None
    to = "" if seen.run.training.max_steps else " to 1 or more"
    return f"training ends after {seen.resolved.epochs:.0%} of the rows; raise {seen.length_of_training}{to}, or leave it out"
