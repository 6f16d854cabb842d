"""What there is to say about the rows."""

from finetune_trainer.data.advice.seen import Seen

FEW_ROWS = {"SFT": 50, "DPO": 200, "ORPO": 200, "KTO": 200}
"""Fewer teach words and no behaviour. Preference says one bit a row, an answer says every word."""
MANY_CUT = 0.1
"""Share of rows."""
MANY_DROPPED = 0.2
"""Share of rows, copies not counted."""
MANY_COPIES = 0.2
"""Share of rows."""
ONE_ANSWER = 0.8
"""Share of rows with the very same answer."""
MIXED = 0.2
"""Share of rows whose prompt is answered differently elsewhere."""
ECHOES = 0.1
DWARFED = 0.01
"""Share of an epoch that a source should have."""
HEARD = 0.1
"""Share of an epoch that the advised weight brings it to."""
LITTLE_LEARNED = 0.02
"""Share of learned tokens."""
COPIED = ("ExactDuplicate", "NearDuplicate")


def many_dropped(seen: Seen) -> str | None:
    """More than 20 % of the rows read were left out, copies and cut rows not counted."""
    figures = seen.figures
    ours = {
        name: rows for name, rows in figures.dropped.items() if name not in {*COPIED, "TooLong", "NotDrawn"}
    }
    if sum(ours.values()) <= MANY_DROPPED * figures.read:
        return None
    worst = max(ours, key=lambda name: ours[name])
    return (
        f"{sum(ours.values())} of {figures.read} rows were left out, most of them for {worst} ({ours[worst]}; the first: "
        f"{figures.first[worst]}); see whether the right columns are read"
    )


def few_rows(seen: Seen) -> str | None:
    """Fewer than 50 rows for SFT, 200 for DPO, ORPO and KTO."""
    rows, method = seen.figures.rows, seen.run.method
    if rows >= FEW_ROWS[method]:
        return None
    enough = "a few hundred are a good start" if method == "SFT" else "a thousand are a good start"
    return (
        f"{rows} rows are few for {method}: the model will learn them by heart rather than the task; {enough}"
    )


def cut(seen: Seen) -> str | None:
    """More than 10 % of the rows are longer than `maxLength`."""
    figures, length = seen.figures, seen.resolved.max_length
    every = figures.rows + figures.held + figures.dropped.get("TooLong", 0)
    if figures.cut <= MANY_CUT * every:
        return None
    told = (
        f"{figures.cut} of {every} rows are longer than spec.training.maxLength ({length} tokens) and lose "
        "their end, often the answer"
    )
    if seen.positions is not None and figures.whole > seen.positions:
        most = f"the model takes no more than {seen.positions}"
        more = "raise it to that and " if length < seen.positions else ""
        return f"{told}; {most}: {more}split long rows, or use a model with a longer context"
    return f"{told}; {figures.whole} would keep 95 % of them whole"


def one_answer(seen: Seen) -> str | None:
    """More than 80 % of the rows have the same answer."""
    share = seen.figures.common_answer * seen.share
    if not seen.judged or share <= ONE_ANSWER:
        return None
    return f"{share:.0%} of the rows have the very same answer: the model will learn to say it always; add rows with other answers"


def copies_dropped(seen: Seen) -> str | None:
    """More than 20 % of the rows read were copies."""
    copies = sum(seen.figures.dropped.get(name, 0) for name in COPIED)
    if copies <= MANY_COPIES * seen.figures.read:
        return None
    return f"{copies} of {seen.figures.read} rows were copies of others and were left out; see how the data was put together"


def copies_kept(seen: Seen) -> str | None:
    """More than 20 % of the training rows are copies, with `duplicates.exact: false`."""
    if not seen.judged or seen.figures.copies * seen.share <= MANY_COPIES:
        return None
    return (
        f"{seen.figures.copies} rows are copies of others and are learned as often as they stand there; "
        "spec.dataset.quality.duplicates.exact would leave them out"
    )


def mixed_prompts(seen: Seen) -> str | None:
    """SFT and more than 20 % of the rows have a prompt that another row answers differently."""
    if seen.run.method != "SFT" or not seen.judged or seen.figures.mixed_prompts * seen.share <= MIXED:
        return None
    return (
        f"{seen.figures.mixed_prompts} rows ask what another row asks and answer it differently: the model learns a mix of the "
        "answers; keep the best one, or use them as preference pairs"
    )


def echoes(seen: Seen) -> str | None:
    """In more than 10 % of the rows the answer is the prompt."""
    if not seen.judged or seen.figures.echoes * seen.share <= ECHOES:
        return None
    return f"in {seen.figures.echoes} rows the answer is the prompt, word for word; see whether the right columns are read"


def dwarfed(seen: Seen) -> str | None:
    """A source gives less than 1 % of the rows of an epoch."""
    heard = [source for source in seen.figures.sources if source.part == "train" and source.seen]
    every = sum(source.seen for source in heard)
    least = min(heard, key=lambda source: source.seen, default=None)
    if least is None or not seen.judged or least.seen >= DWARFED * every:
        return None
    weight = HEARD * (every - least.seen) / (1 - HEARD) / least.rows
    return (
        f"{least.uri} gives {least.seen} of the {every} rows of an epoch ({least.seen / every:.1%}) and will hardly be learned; "
        f"its weight {weight:.2g} would make that {HEARD:.0%}"
    )


def little_learned(seen: Seen) -> str | None:
    """SFT and less than 2 % of the tokens are learned."""
    learned, tokens = seen.figures.learned.mean, seen.figures.tokens.mean
    if seen.run.method != "SFT" or learned >= LITTLE_LEARNED * tokens:
        return None
    return (
        f"only {learned / tokens:.1%} of the tokens are learned, the rest is prompt that costs as much to compute; shorten what is "
        "asked, or put several questions about one text into one conversation"
    )
