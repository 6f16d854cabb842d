"""What there is to say about settings that do not fit the data."""

from finetune_trainer.data.advice.seen import Seen

FEW_FOR_FULL = 1_000
"""Rows: whole weights that move for fewer forget what they knew."""
FEW_HELD_OUT = 10
FAR = 10.0
"""How many times the usual learning rate is too much; a tenth of it is too little."""
EPOCHS = 10.0
"""Passes over few rows after which they are known by heart; the trainer itself chooses no more."""
FEW_FOR_EPOCHS = 1_000
EPOCHS_FOR_ALL = 30.0
FEW_STEPS = 10
LITTLE_SEEN = 0.5
"""Passes over the data."""
HARDLY_FULL = 0.75
"""Share of a pack's positions."""


def nothing_held_out(seen: Seen) -> str | None:
    """No held-out rows."""
    if seen.figures.held:
        return None
    return (
        "nothing is held out, so nobody will know whether the result is better; set "
        "spec.dataset.evalFraction or spec.dataset.eval"
    )


def few_held_out(seen: Seen) -> str | None:
    """Fewer than 10 held-out rows."""
    if not 0 < seen.figures.held < FEW_HELD_OUT:
        return None
    return (
        f"{seen.figures.held} held-out rows are too few to compare two models by; hold out at least "
        f"{FEW_HELD_OUT} (spec.dataset.evalFraction)"
    )


def rate(seen: Seen) -> str | None:
    """The learning rate is more than ten times the usual one; for adapters also a tenth of it or less."""
    rate, usual = seen.resolved.learning_rate, seen.usual_rate
    what = "whole weights" if seen.run.tuning.type == "Full" else "adapters"
    if rate > FAR * usual:
        return (
            f"a learning rate of {rate:g} is high for {seen.run.method} of {what}, training may diverge; "
            f"{usual:g} is usual (spec.training.learningRate)"
        )
    if rate * FAR <= usual * 1.0001 and seen.run.tuning.type != "Full":
        return (
            f"a learning rate of {rate:g} is low for {seen.run.method} of {what}, little will be learned; "
            f"{usual:g} is usual (spec.training.learningRate)"
        )
    return None


def full_on_few(seen: Seen) -> str | None:
    """Full fine-tuning on fewer than 1,000 rows."""
    if seen.run.tuning.type != "Full" or seen.figures.rows >= FEW_FOR_FULL:
        return None
    return (
        f"full fine-tuning on {seen.figures.rows} rows tends to unlearn what the model knew; spec.tuning.type "
        "LoRA keeps it and costs less"
    )


def many_epochs(seen: Seen) -> str | None:
    """More than 10 passes over fewer than 1,000 rows, or more than 30 over any."""
    epochs, rows = seen.resolved.epochs, seen.figures.rows
    if epochs <= (EPOCHS if rows < FEW_FOR_EPOCHS else EPOCHS_FOR_ALL):
        return None
    return (
        f"{epochs:g} passes over {rows} rows: the model will learn them by heart; 3 to 5 are usual "
        "(spec.training.epochs), watch the held-out loss"
    )


def shortened(seen: Seen) -> str | None:
    """`maxLength` is more than the model was made for."""
    asked, given = seen.run.training.max_length, seen.resolved.max_length
    return (
        f"spec.training.maxLength {asked} is more than the model was made for; {given} is used"
        if given < asked
        else None
    )


def hardly_packed(seen: Seen) -> str | None:
    """Packs are less than 75 % full."""
    packed = seen.packed
    if packed is None or packed.fill_rate >= HARDLY_FULL:
        return None
    return (
        f"the {packed.packs} packs are {packed.fill_rate:.0%} full, so packing gains little: rows are long "
        "beside spec.training.maxLength "
        f"({seen.resolved.max_length}), or few; a larger one fills packs better"
    )


def endless(seen: Seen) -> str | None:
    """The chat template leaves the last answer open."""
    if not seen.figures.endless:
        return None
    return "the chat template does not end the assistant's turn; the tokenizer's end of text was put there instead"


def quoting(seen: Seen) -> str | None:
    """Somebody writes special tokens of the tokenizer as words."""
    rows, place = seen.figures.quoting, seen.figures.quoting_place
    if not rows:
        return None
    return (
        f"{rows} rows write special tokens of the tokenizer as words (first: {place}); they are read as plain text; rows that a "
        "chat template has rendered already should be given as messages"
    )


def plain(seen: Seen) -> str | None:
    """The model has no chat template."""
    if not seen.plain:
        return None
    return "the model has no chat template; a plain one is used and published (### User: / ### Assistant:)"


def few_steps(seen: Seen) -> str | None:
    """Fewer than 10 optimiser steps."""
    steps = seen.resolved.total_steps
    if steps >= FEW_STEPS:
        return None
    return f"{steps} optimiser steps hardly move a model; raise spec.training.epochs or maxSteps, or lower globalBatchSize"


def little_seen(seen: Seen) -> str | None:
    """Less than half of the rows are seen."""
    if seen.resolved.epochs >= LITTLE_SEEN:
        return None
    return f"training ends after {seen.resolved.epochs:.0%} of the rows; raise spec.training.maxSteps, or leave it out"
