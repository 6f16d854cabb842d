"""Columns to meaning: which format a source has, whether it fits the method, and what each of its rows says.

| format | columns | becomes |
|---|---|---|
| preference | chosen, rejected; prompt, question, messages, instruction or input | two answers to one prompt, compared |
| unpaired-preference | label, and one of the four below | one answer, welcome or not |
| sharegpt | conversations: [{from, value}]; system, tools | a conversation; the assistant's turns are learned |
| messages | messages: [{role, content}]; system, tools | the same |
| alpaca | instruction, output; input, system, history | system, user (instruction, blank line, input), assistant |
| prompt-completion | prompt, completion | texts: user, assistant (plain text where the model has no chat template); lists: turns |
| text | text | plain text, all of it learned |
| a template of the author's | those it names | system, user, assistant |
"""

from collections.abc import Callable, Iterator

from finetune_trainer import config, errors
from finetune_trainer.data import answers, readers
from finetune_trainer.data.columns import Cells, Columns, listed, unpacked
from finetune_trainer.data.rows import Content, Example, LossOn, Row, Text
from finetune_trainer.data.turns import is_sharegpt, last_role

TEMPLATE = "template"
"""The format of a source whose words are the author's own."""
DEFAULT_LOSS: dict[str, LossOn] = {
    "messages": "Assistant",
    "sharegpt": "Assistant",
    "alpaca": "Assistant",
    TEMPLATE: "Assistant",
    "prompt-completion": "Completion",
    "preference": "Completion",
    "unpaired-preference": "Completion",
    "text": "All",
}
PAIRS = ("preference",)
VERDICTS = ("unpaired-preference",)
FITTING: dict[str, tuple[str, ...]] = {
    "SFT": tuple(name for name in DEFAULT_LOSS if name not in {*PAIRS, *VERDICTS}),
    "DPO": PAIRS,
    "ORPO": PAIRS,
    "KTO": VERDICTS,
}
"""Method -> formats that it learns from."""
WANTED = {
    "SFT": "answers to learn from (messages, sharegpt, alpaca, prompt-completion), plain text, or a template",
    "DPO": "a better and a worse answer to each prompt (preference: prompt, chosen, rejected)",
    "ORPO": "a better and a worse answer to each prompt (preference: prompt, chosen, rejected)",
    "KTO": "single answers, each with a label (unpaired-preference: prompt, completion, label)",
}
KNOWN = (
    "messages (messages), sharegpt (conversations), alpaca (instruction, output and input), prompt-completion (prompt, "
    "completion), preference (prompt, chosen, rejected), unpaired-preference (prompt, completion, label) and text (text)"
)
ALIKE = (
    ("question", "answer"),
    ("question", "response"),
    ("question", "completion"),
    ("prompt", "response"),
    ("prompt", "answer"),
    ("instruction", "response"),
    ("query", "response"),
    ("input", "output"),
)
"""Columns that look like a prompt and its answer. They are proposed to the author, never guessed."""

MEDIA = ("images", "videos", "audios")
"""Columns of pictures and sounds, in the words of the field."""


def recognise(row: Row, source: config.DataSource, field: str, *, method: str) -> str:
    """The format of a source, by its first row; of several that fit the columns, the first that the method learns from.

    Raises `UnknownFormat`, `ColumnMissing`, and `FormatDoesNotFitMethod`.
    """
    named = source.columns.model_dump(exclude_none=True).values() if source.columns else ()
    if lost := set(named) - set(row.values):
        raise errors.ColumnMissing(
            f"{field}.columns: {row.place} has no column {min(lost)!r}; it has {listed(row.values)}: name one of these"
        )
    cells = Cells(row, Columns.of(source.columns))
    found = [source.format] if source.format != "Auto" else list(_found(cells))
    if not found:
        hint = _inside(row) or _proposed(row, field)
        raise errors.UnknownFormat(
            f"{field}: the columns of {row.place} fit no known format: {listed(row.values)}. {hint}Known are "
            f"{KNOWN}; name yours in {field}.columns, or say how they become text in {field}.template"
        )
    fitting = next((name for name in found if name in FITTING[method]), None)
    if fitting is None:
        told = f"{row.place} has {found[0]} ({listed(row.values)})"
        check_method(found[0], method, field, told, otherwise=_otherwise(found[0], method, field, cells))
    return fitting or found[0]


def check_method(found: str, method: str, field: str, told: str, *, otherwise: str = "") -> None:
    """Raises `FormatDoesNotFitMethod` where `method` cannot learn from the format.

    `told` says what was found where; `otherwise`: how `method` could learn from it all the same.
    """
    if found in FITTING[method]:
        return
    fitting = [name for name, formats in FITTING.items() if found in formats]
    raise errors.FormatDoesNotFitMethod(
        f"{field}: spec.method {method} wants {WANTED[method]}, but {told}; set spec.method to {' or '.join(fitting)} for this "
        f"data{otherwise}"
    )


def _otherwise(found: str, method: str, field: str, cells: Cells) -> str:
    """How SFT learns from data that compares or judges answers, as the end of a sentence; empty where it cannot."""
    if method != "SFT":
        return ""
    if found in VERDICTS:
        return f", or set {field}.format (for example to prompt-completion) to learn from liked and disliked answers alike"
    chosen = cells.name("chosen") if cells.has("chosen") else ""
    if answers.is_whole(cells.maybe("chosen")):
        form, columns = "messages", f"messages: {chosen}"
    elif cells.has("prompt"):
        form, columns = "prompt-completion", f"completion: {chosen}"
    elif cells.has("messages") or (cells.has("instruction") and not cells.has("input")):
        asked = cells.name("messages" if cells.has("messages") else "instruction")
        form, columns = "prompt-completion", f"prompt: {asked}, completion: {chosen}"
    else:
        return ""
    return f", or learn the better answers alone: set {field}.format to {form} and {field}.columns to {{{columns}}}"


def _found(cells: Cells) -> Iterator[config.Format]:
    """All formats that the columns fit. Earlier ones hold the columns of later ones too, but mean something else by them."""
    turns = _turns(cells)
    paired = cells.has("chosen", "rejected")
    if paired:
        yield "preference"
    answered: config.Format | None = turns or ("alpaca" if cells.has("instruction", "output") else None)
    answered = answered or ("prompt-completion" if cells.has("prompt", "completion") else None)
    if answered and cells.has("label") and _is_verdict(cells.maybe("label")):
        yield "unpaired-preference"  # the formats below would teach the bad answers as well
    elif answered and not (turns and paired and last_role(cells.maybe("messages")) != "assistant"):
        yield answered  # turns beside two answers are their prompt, unless they end with an answer of their own
    elif cells.has("text"):
        yield "text"


def _turns(cells: Cells) -> config.Format | None:
    """The format of a conversation, if the row has one."""
    if not cells.has("messages"):
        return None
    value = cells.maybe("messages")
    if is_sharegpt(value):
        return "sharegpt"
    # A column called `conversations` may hold anything; one called `messages`, or named by the spec, is meant so.
    sure = cells.name("messages") not in cells.columns.names["messages"][1:]
    return "messages" if sure or isinstance(unpacked(value), list) else None


def _is_verdict(label: object) -> bool:
    """Whether a label says welcome or not. A first row without a label does not make the others' harmless."""
    return label is None or answers.verdict(label) is not None


def _inside(row: Row) -> str:
    """A hint, where what was read as a row holds the rows."""
    advice = readers.rows_inside(row.values)
    return f"This looks like the whole data in one object: {advice}. " if advice else ""


def _proposed(row: Row, field: str) -> str:
    """A proposal, where two columns look like a prompt and its answer."""
    alike = next((pair for pair in ALIKE if set(pair) <= set(row.values)), None)
    if not alike:
        return ""
    prompt, answer = alike
    return (
        f"If {answer} answers {prompt}, set {field}.columns to {{prompt: {prompt}, completion: {answer}}}. "
    )


def loss_on(found: str, said: LossOn | None, field: str) -> LossOn:
    """Which tokens of a source are learned. What makes no sense is refused, not ignored."""
    if found == "text" and said not in {None, "All"}:
        raise errors.NothingToLearn(
            f"spec.training.lossOn: {said} is asked for, but {field} is plain text without turns; set it to All, or leave it out"
        )
    if found in {*PAIRS, *VERDICTS} and said not in {None, "Completion"}:
        raise errors.FormatDoesNotFitMethod(
            f"spec.training.lossOn: {said} is asked for, but {field} is {found} data: whole answers are judged there, and nothing "
            "else; set it to Completion, or leave it out"
        )
    return said or DEFAULT_LOSS[found]


def understand(row: Row, found: str, columns: Columns, loss: LossOn, *, chat: bool) -> Example:
    """What `row` says. `chat`: whether the model has a chat template. Raises `InvalidRow`, `ColumnMissing`, `NoAssistantTurn`."""
    _without_media(row)
    return Example(row.place, _UNDERSTOOD[found](Cells(row, columns), chat), loss)


def _without_media(row: Row) -> None:
    """Words about a picture teach nothing without it."""
    for name in MEDIA:
        if isinstance(found := row.values.get(name), list) and found:
            raise errors.InvalidRow(
                f"{row.place}: has {name}, but only texts can be learned; remove such rows, or the column if the texts make sense "
                "without it"
            )


_UNDERSTOOD: dict[str, Callable[[Cells, bool], Content]] = {
    "messages": lambda cells, _: answers.talk(cells),
    "sharegpt": lambda cells, _: answers.talk(cells),
    "alpaca": lambda cells, _: answers.instructed(cells),
    "prompt-completion": lambda cells, chat: answers.completed(cells, chat=chat),
    "preference": lambda cells, chat: answers.preferred(cells, chat=chat),
    "unpaired-preference": lambda cells, chat: answers.judged(cells, chat=chat),
    "text": lambda cells, _: Text(cells.text("text")),
}
