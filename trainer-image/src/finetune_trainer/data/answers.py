"""Prompts and their answers: one to learn, two to compare, or one with a verdict."""

from typing import Any

from finetune_trainer import errors
from finetune_trainer.data.columns import Cells, kind, unpacked
from finetune_trainer.data.rows import Continuation, Conversation, Feedback, Message, Preference
from finetune_trainer.data.turns import conversation, last_role, tools_of, turns_of

VERDICTS: dict[Any, bool] = {True: True, False: False, "true": True, "false": False, "1": True, "0": False}
"""How labels are written -> whether the answer was welcome. 1 and 0 are True and False to Python."""
PAIR = 2
"""Turns of one exchange in alpaca's history: what was asked, what was answered."""

Asked = str | list[Message]
"""A prompt: a text, or turns."""


def verdict(label: Any) -> bool | None:
    """What a label says; None where it is no verdict."""
    if isinstance(label, str):
        return VERDICTS.get(label.strip().lower())
    return VERDICTS.get(label) if isinstance(label, int | float) else None


def talk(cells: Cells) -> Conversation:
    """The whole conversation of a row."""
    name = cells.name("messages")
    turns = turns_of(cells.value("messages"), cells.place, name)
    return conversation(_introduced(turns, cells), cells.place, tools=_tools(cells))


def instructed(cells: Cells) -> Conversation:
    """What alpaca's columns say: earlier exchanges, then the instruction with its input, then the output."""
    turns = [
        *_history(cells),
        Message("user", _instruction(cells)),
        Message("assistant", cells.text("output")),
    ]
    return conversation(_introduced(turns, cells), cells.place, tools=_tools(cells))


def completed(cells: Cells, *, chat: bool) -> Conversation | Continuation:
    """A prompt and its completion; lists of turns are a conversation, texts one where the model has a chat template."""
    prompt, completion = _unpacked_turns(cells.value("prompt")), _unpacked_turns(cells.value("completion"))
    if isinstance(prompt, list | dict) or isinstance(completion, list | dict):
        asked = turns_of(prompt, cells.place, cells.name("prompt"), "user")
        _asked_once(asked, completion, cells)
        return _answered(asked, completion, "completion", cells)
    if not chat:
        return Continuation(_announced(cells.text("prompt"), cells), cells.text("completion"))
    return _answered(cells.text("prompt"), cells.text("completion"), "completion", cells)


def preferred(cells: Cells, *, chat: bool) -> Preference:
    """Two answers to one prompt: a prompt of its own, or what two whole conversations begin with alike."""
    chosen, rejected = _unpacked_turns(cells.value("chosen")), _unpacked_turns(cells.value("rejected"))
    if is_whole(chosen) or is_whole(rejected):
        return _forked(cells)
    asked = _asked(cells)
    if not chat and isinstance(asked, str) and isinstance(chosen, str) and isinstance(rejected, str):
        prompt = _announced(asked, cells)
        return Preference(Continuation(prompt, chosen), Continuation(prompt, rejected))
    return Preference(
        _ending(_answered(asked, _said(chosen, "chosen", cells), "chosen", cells), "chosen", cells),
        _ending(_answered(asked, _said(rejected, "rejected", cells), "rejected", cells), "rejected", cells),
    )


def judged(cells: Cells, *, chat: bool) -> Feedback:
    """One answer and its label; the answer stands as in messages, in alpaca, or behind a prompt."""
    label = cells.value("label")
    desirable = verdict(label)
    if desirable is None:
        raise errors.InvalidRow(
            f"{cells.place}: {cells.name('label')} is {repr(label) if isinstance(label, str | int | float) else kind(label)}; it "
            "must be true (a liked answer) or false (a disliked one)"
        )
    if cells.has("messages"):
        return Feedback(_ending(talk(cells), "messages", cells), desirable)
    if cells.has("instruction", "output") and not cells.has("prompt", "completion"):
        return Feedback(instructed(cells), desirable)
    return Feedback(_ending(completed(cells, chat=chat), "completion", cells), desirable)


def _unpacked_turns(value: Any) -> Any:
    """Turns that were written as JSON text are a list; any other text stays one."""
    found = unpacked(value)
    turns = found if isinstance(found, list) else [found]
    return (
        found
        if turns and all(isinstance(turn, dict) and turn.keys() & {"role", "from"} for turn in turns)
        else value
    )


def is_whole(side: Any) -> bool:
    """Whether an answer is a whole conversation: it begins with somebody else's turn."""
    turns = _unpacked_turns(side)
    return last_role(turns[:1]) in {"user", "system"} if isinstance(turns, list) else False


def _asked_once(asked: list[Message], completion: Any, cells: Cells) -> None:
    """A completion that begins with its own prompt would be learned with the prompt twice, and nobody would see it."""
    if not is_whole(completion):
        return
    name = cells.name("completion")
    whole = turns_of(completion, cells.place, name, "assistant")
    prompt, begins = ([turn for turn in turns if turn.role != "system"] for turns in (asked, whole))
    said = [(turn.role, turn.content.strip()) for turn in prompt]
    if said and said == [(turn.role, turn.content.strip()) for turn in begins[: len(said)]]:
        raise errors.InvalidRow(
            f"{cells.place}: {name} begins with the prompt, which would stand there twice; where {name} is a whole conversation, "
            f"set the source's format to messages and columns.messages to {name}"
        )


def _forked(cells: Cells) -> Preference:
    """Two whole conversations; the prompt is what they share."""
    chosen = turns_of(_unpacked_turns(cells.value("chosen")), cells.place, cells.name("chosen"), "assistant")
    rejected = turns_of(
        _unpacked_turns(cells.value("rejected")), cells.place, cells.name("rejected"), "assistant"
    )
    shared = _fork(chosen, rejected)
    if not shared:
        raise errors.InvalidRow(
            f"{cells.place}: {cells.name('chosen')} and {cells.name('rejected')} begin differently, so they share no prompt; let "
            "both begin with the same turns, or give the prompt in a column of its own"
        )
    _same_prompt(cells, chosen[:shared])
    asked, tools = _introduced(chosen[:shared], cells), _tools(cells)
    sides = (
        _ending(conversation([*asked, *side[shared:]], cells.place, len(asked), tools), part, cells)
        for part, side in (("chosen", chosen), ("rejected", rejected))
    )
    return Preference(*sides)


def _fork(one: list[Message], other: list[Message]) -> int:
    """Where two conversations part: behind it both go on with the assistant. 0 where they share no prompt."""
    longest = min(len(one), len(other)) - 1
    same = next((at for at in range(longest) if one[at] != other[at]), longest)
    parts = (at for at in range(same, 0, -1) if one[at].role == other[at].role == "assistant")
    return next(parts, 0)


def _same_prompt(cells: Cells, shared: list[Message]) -> None:
    """A prompt column beside whole conversations says what they begin with; anything else would be lost in silence."""
    prompt = _unpacked_turns(cells.maybe("prompt"))
    if prompt is None:
        return
    asked = turns_of(prompt, cells.place, cells.name("prompt"), "user")
    known = {turn.content.strip() for turn in shared}
    if not all(turn.content.strip() in known for turn in asked):
        raise errors.InvalidRow(
            f"{cells.place}: {cells.name('chosen')} is a whole conversation, but {cells.name('prompt')} says something that is not "
            "in it; keep only the answers in chosen and rejected, or remove the prompt"
        )


def _answered(asked: Asked, answer: Any, part: str, cells: Cells) -> Conversation:
    """A prompt and one answer to it as turns."""
    before = _introduced([Message("user", asked)] if isinstance(asked, str) else asked, cells)
    after = turns_of(answer, cells.place, cells.name(part), "assistant")
    return conversation([*before, *after], cells.place, len(before), _tools(cells))


def _ending(answered: Conversation | Continuation, part: str, cells: Cells) -> Conversation | Continuation:
    """The same; it must end with the answer that is judged."""
    if isinstance(answered, Conversation) and (last := answered.messages[-1].role) != "assistant":
        raise errors.InvalidRow(
            f"{cells.place}: {cells.name(part)} ends with a turn of the {last}, but it is the assistant's answer that is judged; "
            "remove what comes after that answer"
        )
    return answered


def _said(side: Any, part: str, cells: Cells) -> Any:
    """One side's answer: a text (or a number, as CSV has them) or turns."""
    return side if isinstance(side, list | dict) else cells.text(part)


def _asked(cells: Cells) -> Asked:
    """The prompt of a row with two answers, wherever it stands."""
    prompt = _unpacked_turns(cells.maybe("prompt"))
    if isinstance(prompt, list | dict):
        return turns_of(prompt, cells.place, cells.name("prompt"), "user")
    if prompt is not None:
        return cells.text("prompt")
    if cells.maybe("messages") is not None:
        return turns_of(cells.value("messages"), cells.place, cells.name("messages"))
    if cells.maybe("instruction") is not None:
        history = _history(cells)
        return [*history, Message("user", _instruction(cells))] if history else _instruction(cells)
    given = cells.maybe("input")
    if isinstance(given, dict):  # the files of OpenAI's preference fine-tuning
        return turns_of(given.get("messages"), cells.place, f"{cells.name('input')}.messages")
    if given is not None:
        return cells.text("input")
    raise errors.InvalidRow(
        f"{cells.place}: has two answers, but no prompt; name the prompt's column in columns.prompt of the source, or let chosen "
        "and rejected be whole conversations"
    )


def _instruction(cells: Cells) -> str:
    """Instruction and input, a blank line between them; what is empty is left out."""
    parts = [cells.text("instruction"), cells.maybe_text("input")]
    return "\n\n".join(part for part in parts if part.strip())


def _history(cells: Cells) -> list[Message]:
    """Earlier exchanges, as LLaMA-Factory writes them: a list of [asked, answered]."""
    pairs, name = unpacked(cells.maybe("history")) or [], cells.name("history")
    if not isinstance(pairs, list):
        raise errors.InvalidRow(
            f"{cells.place}: {name} is {kind(pairs)}; it must be a list of [asked, answered]"
        )
    turns = []
    for at, pair in enumerate(pairs):
        if not isinstance(pair, list) or len(pair) != PAIR or not all(isinstance(said, str) for said in pair):
            raise errors.InvalidRow(
                f"{cells.place}: {name}[{at}] is not a pair of texts; write [asked, answered]"
            )
        turns += [Message("user", pair[0]), Message("assistant", pair[1])]
    return turns


def _introduced(turns: list[Message], cells: Cells) -> list[Message]:
    """`turns` behind the system prompt of the row's own column, if it has one that says something."""
    said = cells.maybe_text("system")
    if not said or (turns and turns[0] == Message("system", said)):
        return turns
    if turns and turns[0].role == "system" and turns[0].content.strip():
        raise errors.InvalidRow(
            f"{cells.place}: has two system prompts, the column {cells.name('system')!r} and a turn; remove one"
        )
    return [Message("system", said), *turns]


def _announced(prompt: str, cells: Cells) -> str:
    """A prompt of plain text behind the row's system prompt."""
    return "\n\n".join(part for part in (cells.maybe_text("system"), prompt) if part)


def _tools(cells: Cells) -> tuple[Any, ...]:
    """The functions of a row: a column of its own, or OpenAI's place beside the messages."""
    given = cells.maybe("input")
    if isinstance(given, dict) and given.get("tools"):
        return tools_of(given["tools"], cells.place, f"{cells.name('input')}.tools")
    return tools_of(cells.maybe("tools"), cells.place, cells.name("tools"))
