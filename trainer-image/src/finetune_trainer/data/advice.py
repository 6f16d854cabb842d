"""What a person who knows the field would say about this data. Sentences, at most eight, the weightiest first."""

from dataclasses import dataclass

FEW_ROWS = 50
FEW_HELD_OUT = 10
MANY_CUT = 0.1
"""Share of rows."""
HIGH_RATE = 2e-3
"""A learning rate above which adapters usually diverge."""
MOST = 8


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the advice depends on."""

    rows: int
    held_out: int
    truncated: int
    too_long: int
    """Rows dropped because nothing learned was left of them."""
    duplicates: int
    asked_length: int
    """`training.maxLength`."""
    max_length: int
    """What is in force."""
    endless: int
    """Rows whose last answer the chat template leaves open."""
    learning_rate: float
    plain: bool
    """Conversations of a model without a chat template."""


def advice(seen: Seen) -> list[str]:
    """The sentences that apply."""
    cut = seen.truncated + seen.too_long
    table = (
        (
            seen.rows < FEW_ROWS,
            f"{seen.rows} rows are few: the model will learn them by heart rather than the task; a few hundred are a good start",
        ),
        (
            cut > MANY_CUT * (seen.rows + seen.too_long),
            f"{cut} rows are longer than maxLength ({seen.max_length} tokens) and lose their end, often the answer",
        ),
        (
            seen.held_out == 0,
            "nothing is held out, so nobody will know whether the result is better; give dataset.eval or an evalFraction",
        ),
        (
            0 < seen.held_out < FEW_HELD_OUT,
            f"{seen.held_out} held-out rows are too few to compare two models by; hold out at least {FEW_HELD_OUT}",
        ),
        (
            seen.learning_rate > HIGH_RATE,
            f"a learning rate of {seen.learning_rate:g} is high for adapters; 1e-4 to 5e-4 is usual",
        ),
        (
            seen.max_length < seen.asked_length,
            f"maxLength {seen.asked_length} is more than the model was made for; {seen.max_length} is used",
        ),
        (
            seen.endless > 0,
            "the chat template does not end the assistant's turn; the tokenizer's end of text was put there instead",
        ),
        (
            seen.plain,
            "the model has no chat template; a plain one is used and published (### User: / ### Assistant:)",
        ),
        (
            seen.duplicates > seen.rows,
            f"{seen.duplicates} rows were copies of others; more than half of this data says nothing new",
        ),
    )
    return [sentence for applies, sentence in table if applies][:MOST]
