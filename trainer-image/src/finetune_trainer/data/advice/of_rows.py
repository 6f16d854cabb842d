"""What there is to say about the rows."""

from finetune_trainer.data import left_out
from finetune_trainer.data.advice.seen import Seen
from finetune_trainer.plural import counted

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
MOST_WEIGHT = 20
"""A row that is seen oftener in an epoch is learned by heart."""
BROKEN = 0.01
"""Share of rows with letters that are not what was written."""
REFUSALS = 0.05
"""Share of rows whose answer begins as another model's refusals do."""
RENDERED = 0.01
"""Share of rows of plain text that a chat template seems to have written."""
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
        f"{sum(ours.values())} of {figures.read} rows were left out, above all for {worst} ({ours[worst]}; the first: "
        f"{figures.first[worst]}); {_cure(worst, seen.run.method)}"
    )


def _cure(reason: str, method: str) -> str:
    if reason in left_out.EXAMINED:
        return "they are in spec.dataset.eval too: take other rows for one of the two"
    return left_out.cure(reason, method) or "if that is more than you meant, loosen spec.dataset.quality"


def few_rows(seen: Seen) -> str | None:
    """Fewer than 50 rows for SFT, 200 for DPO, ORPO and KTO."""
    rows, method = seen.figures.rows, seen.run.method
    if rows >= FEW_ROWS[method]:
        return None
    enough = "a few hundred are a good start" if method == "SFT" else "a thousand are a good start"
    return f"{counted(rows, 'row')} for {method} is not much: the model will learn the rows by heart rather than the task; {enough}"


def cut(seen: Seen) -> str | None:
    """More than 10 % of the rows are longer than `maxLength`."""
    figures, length = seen.figures, seen.resolved.max_length
    every = figures.rows + figures.held + figures.dropped.get("TooLong", 0)
    if figures.cut <= MANY_CUT * every:
        return None
    lost = (
        ", and what comes after that is not learned"
        if seen.prose
        else " and lose their end, which is often the answer, or all of what they teach"
    )
    told = f"{figures.cut} of {every} rows are longer than spec.training.maxLength ({length} tokens){lost}"
    if seen.positions is not None and figures.whole > seen.positions:
        most = f"the model takes no more than {seen.positions}"
        more = "raise it to that and " if length < seen.positions else ""
        return f"{told}; {most}: {more}split long rows, or use a model with a longer context"
    split = f", or split the documents into rows of at most {length} tokens" if seen.prose else ""
    return f"{told}; spec.training.maxLength {figures.whole} would keep 95 % of all rows whole{split}"


def one_answer(seen: Seen) -> str | None:
    """More than 80 % of the rows have the same answer."""
    share = seen.figures.common_answer * seen.share
    if not seen.judged or share <= ONE_ANSWER:
        return None
    return f"{share:.0%} of the rows have the same answer: the model will learn to always give it; add rows with other answers"


def refusals(seen: Seen) -> str | None:
    """More than 5 % of the answers begin as refusals of other models do (in English)."""
    if not seen.judged or seen.figures.refusals * seen.share <= REFUSALS:
        return None
    return (
        f'{seen.figures.refusals} answers begin like refusals of another model, such as "As an AI language model" (the first: '
        f"{seen.figures.refusals_place}); unless yours is to refuse as well, leave these rows out (spec.dataset.quality.blocklist)"
    )


def broken(seen: Seen) -> str | None:
    """More than 1 % of the rows hold letters that were read in the wrong encoding."""
    if seen.figures.broken * seen.share <= BROKEN:
        return None
    return (
        f"{counted(seen.figures.broken, 'row holds', 'rows hold')} broken letters such as Ã© or \ufffd (the first: "
        f"{seen.figures.broken_place}): the text was read in the wrong encoding before it came here; write it again from its source"
    )


def prose(seen: Seen) -> str | None:
    """Most rows are plain text, and the model has a chat template."""
    if not seen.prose or not seen.chat:
        return None
    return (
        "rows are plain text, and this model has a chat template: it will learn to go on with such text, not to answer; give "
        "questions and answers as messages, or start from a base model"
    )


def rendered(seen: Seen) -> str | None:
    """More than 1 % of the rows are plain text with special tokens that the chat template writes."""
    if seen.figures.rendered * seen.share <= RENDERED:
        return None
    return (
        f"{counted(seen.figures.rendered, 'row of plain text holds', 'rows of plain text hold')} special tokens of the tokenizer "
        f"(the first: {seen.figures.rendered_place}), as if a chat template had written them: questions are learned like answers; "
        "give these rows as messages, so that only answers are learned"
    )


def copies_dropped(seen: Seen) -> str | None:
    """More than 20 % of the rows read were copies."""
    copies = sum(seen.figures.dropped.get(name, 0) for name in COPIED)
    if copies <= MANY_COPIES * seen.figures.read:
        return None
    return (
        f"{copies} of {seen.figures.read} rows were copies of others and were left out; check whether files were joined twice, and "
        "whether rows are missing that should stand in their place"
    )


def copies_kept(seen: Seen) -> str | None:
    """More than 20 % of the training rows are copies, with `duplicates.exact: false`."""
    if not seen.judged or seen.figures.copies * seen.share <= MANY_COPIES:
        return None
    return (
        f"{seen.figures.copies} rows are copies of others, and each is learned as often as it occurs; to leave them out, set "
        "spec.dataset.quality.duplicates.exact to true"
    )


def mixed_prompts(seen: Seen) -> str | None:
    """SFT and more than 20 % of the rows have a prompt that another row answers differently."""
    if seen.run.method != "SFT" or not seen.judged or seen.figures.mixed_prompts * seen.share <= MIXED:
        return None
    return (
        f"{seen.figures.mixed_prompts} rows have the prompt of another row and answer it differently: the model learns a mix of "
        "the answers; keep the best one, or use them as preference pairs"
    )


def echoes(seen: Seen) -> str | None:
    """In more than 10 % of the rows the answer is the prompt."""
    if not seen.judged or seen.figures.echoes * seen.share <= ECHOES:
        return None
    return f"in {seen.figures.echoes} rows the answer is the prompt, word for word; {left_out.COLUMNS}"


def dwarfed(seen: Seen) -> str | None:
    """A source gives less than 1 % of the rows of an epoch."""
    heard = [
        (at, source)
        for at, source in enumerate(seen.figures.sources)
        if source.part == "train" and source.seen
    ]
    every = sum(source.seen for _, source in heard)
    at, least = min(heard, key=lambda one: one[1].seen, default=(0, None))
    if least is None or not seen.judged or least.seen >= DWARFED * every:
        return None
    weight = (
        HEARD * (every - least.seen) / (1 - HEARD) / least.seen * (seen.run.dataset.train[at].weight or 1)
    )
    raised = f", or set spec.dataset.train[{at}].weight to {weight:.2g}, which makes it {HEARD:.0%}"
    return (
        f"{least.uri} gives {least.seen} of the {every} rows of an epoch ({least.seen / every:.1%}) and will hardly be learned; "
        f"add rows to it{raised if weight <= MOST_WEIGHT else ''}"
    )


def little_learned(seen: Seen) -> str | None:
    """SFT and less than 2 % of the tokens are learned."""
    learned, tokens = seen.figures.learned.mean, seen.figures.tokens.mean
    if seen.run.method != "SFT" or learned >= LITTLE_LEARNED * tokens:
        return None
    return (
        f"only {learned / tokens:.1%} of the tokens are learned; the rest is prompt, which costs just as much to compute: shorten "
        "the prompts, or put several questions about one text into one conversation"
    )
