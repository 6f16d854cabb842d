"""The turns of a conversation as data writes them: OpenAI's `role` and `content`, sharegpt's `from` and `value`, tool calls."""

import json
from typing import Any

from finetune_trainer import errors
from finetune_trainer.data.columns import kind, no_text, unpacked
from finetune_trainer.data.rows import ROLES, Conversation, Message, Place

OPENAI = {role: role for role in ROLES} | {"developer": "system", "function": "tool"}
"""OpenAI's words for who speaks -> ours, which are those of chat templates."""
SHAREGPT = {
    **OPENAI,
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "ai": "assistant",
    "observation": "tool",
    "tool_response": "tool",
    "function_response": "tool",
    "function_call": "assistant",
    "tool_call": "assistant",
}
SPEAKERS = ("system", "human", "gpt", "tool")
"""sharegpt's usual ones."""
PLAIN = ("role", "content")
"""Keys of a turn that is nothing but words."""
THOUGHTS = ("reasoning_content", "reasoning", "thinking")
"""Keys in which answers of thinking models come with their thoughts."""
CALLS = ("function_call", "tool_call")
"""sharegpt's speakers whose value is a call as JSON text."""


def turns_of(value: Any, place: Place, column: str, role: str | None = None) -> list[Message]:
    """The turns of a column. With `role`, a plain text is one turn of it, and one turn may stand without a list around it."""
    if isinstance(value, str) and role:
        return [Message(role, value)]
    value = unpacked(value)
    if isinstance(value, dict) and role:
        return [_turn(value, place, column)]
    if not isinstance(value, list):
        looks = isinstance(value, str) and value.lstrip().startswith(("[", "{"))
        written = ", written as valid JSON" if looks else ""
        raise errors.InvalidRow(
            f"{place}: {column} is {kind(value)}; it must be a list of {{role, content}}{written}"
        )
    return [_turn(turn, place, f"{column}[{at}]") for at, turn in enumerate(value)]


def is_sharegpt(value: Any) -> bool:
    """Whether the turns of a column are sharegpt's."""
    turns = unpacked(value)
    first = turns[0] if isinstance(turns, list) and turns else None
    return isinstance(first, dict) and "from" in first and "role" not in first


def last_role(value: Any) -> str | None:
    """Who speaks last in a column of turns, in the words of chat templates; None where that cannot be told."""
    turns = unpacked(value)
    last = turns[-1] if isinstance(turns, list) and turns else None
    speaker = last.get("role", last.get("from")) if isinstance(last, dict) else None
    return SHAREGPT.get(speaker) if isinstance(speaker, str) else None


def conversation(
    turns: list[Message], place: Place, completion_from: int | None = None, tools: tuple[Any, ...] = ()
) -> Conversation:
    """Turns that hold at least one of the assistant's. The completion begins with its last one where nothing else is said."""
    answers = [at for at, turn in enumerate(turns) if turn.role == "assistant"]
    if not answers or (completion_from is not None and answers[-1] < completion_from):
        roles = ", ".join(turn.role for turn in turns) or "none"
        raise errors.NoAssistantTurn(
            f"{place}: has no assistant turn (its roles: {roles}), so nothing can be learned from it; add the answer, or remove "
            "the row"
        )
    begins = answers[-1] if completion_from is None else completion_from
    said = [turn for turn in turns if turn.role != "system" or turn.content.strip()]
    return Conversation(tuple(said), begins - (len(turns) - len(said)), tools)


def _turn(turn: Any, place: Place, path: str) -> Message:
    """One turn. Raises `InvalidRow`."""
    if not isinstance(turn, dict):
        raise errors.InvalidRow(
            f"{place}: {path} is {kind(turn)}; a turn must be an object with role and content"
        )
    if "from" in turn and "role" not in turn:
        return _sharegpt_turn(turn, place, path)
    role, content = _role(turn.get("role"), OPENAI, place, path), turn.get("content")
    if len(turn) == len(PLAIN) and isinstance(content, str):
        return Message(role, content)  # nearly all turns are: nothing else need be looked for
    _check_thoughts(turn, place, path)
    more = _more(turn, role, place, path)
    if content is None and more and more[0][0] == "tool_calls":
        content = ""  # what OpenAI writes beside a call; templates would print the word None
    said = _content(content, place, f"{path}.content", tool=role == "tool")
    return Message(role, said, _learned(turn, place, path), more)


def _sharegpt_turn(turn: dict[str, Any], place: Place, path: str) -> Message:
    role, said = _role(turn["from"], SHAREGPT, place, path, "from"), turn.get("value")
    learned = _learned(turn, place, path)
    if turn["from"] not in CALLS:
        return Message(role, _content(said, place, f"{path}.value", tool=role == "tool"), learned)
    calls = _calls(unpacked(said), place, f"{path}.value")
    return Message(role, "", learned, (("tool_calls", calls),))


def _role(name: Any, known: dict[str, str], place: Place, path: str, key: str = "role") -> str:
    """Who speaks, in the words of chat templates."""
    if isinstance(name, str) and name in known:
        return known[name]
    usual = ", ".join(ROLES if key == "role" else SPEAKERS)
    if name is None:
        raise errors.InvalidRow(f"{place}: {path} has no {key}; give it one of {usual}")
    hint = SHAREGPT.get(str(name).lower())
    cure = f"write {hint!r} instead" if hint else f"use one of {usual}"
    raise errors.InvalidRow(f"{place}: {path}.{key} is {name!r}; {cure}")


def _learned(turn: dict[str, Any], place: Place, path: str) -> bool:
    """OpenAI's weight of a turn, 0 or 1."""
    name = "weight" if turn.get("weight") is not None else "loss_weight"
    weight = turn.get(name)
    if weight is None or (isinstance(weight, int | float) and weight in {0, 1}):
        return weight != 0
    raise errors.InvalidRow(
        f"{place}: {path}.{name} is {weight!r}; it must be 1 (learned) or 0 (shown, not learned)"
    )


def _check_thoughts(turn: dict[str, Any], place: Place, path: str) -> None:
    """A thought beside the words would be lost: templates disagree about where it stands, and most print none."""
    for name in THOUGHTS:
        if turn.get(name):
            raise errors.InvalidRow(
                f"{place}: {path}.{name} would not be learned; write it into content as the model should say it "
                "(<think>...</think>), or remove it"
            )


def _content(content: Any, place: Place, path: str, *, tool: bool = False) -> str:
    """The words of a turn: a text, or a list of text parts as OpenAI's API has them; what a tool gives may be an object."""
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(_is_text(part) for part in content):
        return "".join(part.get("text", part.get("value")) for part in content)
    if isinstance(content, list):
        other = next((part.get("type") for part in content if isinstance(part, dict)), None)
        what = "that is not text" if other is None or other == "text" else f"of the type {other!r}"
        raise errors.InvalidRow(f"{place}: {path} holds a part {what}; only texts can be learned")
    if tool and isinstance(content, dict):
        return json.dumps(content, ensure_ascii=False)
    raise errors.InvalidRow(f"{place}: {path} {no_text(content)}")


def _is_text(part: Any) -> bool:
    return (
        isinstance(part, dict)
        and part.get("type") == "text"
        and isinstance(part.get("text", part.get("value")), str)
    )


def _more(turn: dict[str, Any], role: str, place: Place, path: str) -> tuple[tuple[str, Any], ...]:
    """Tool calls, the call that a result answers, and a name, where the turn has them; always in this order."""
    calls, old = turn.get("tool_calls"), turn.get("function_call")
    more: list[tuple[str, Any]] = []
    if calls or old:
        if role != "assistant":
            raise errors.InvalidRow(
                f"{place}: {path} calls a tool, but only the assistant can; correct its role"
            )
        name = "tool_calls" if calls else "function_call"
        more.append(("tool_calls", _calls(unpacked(calls or old), place, f"{path}.{name}")))
    more += [(key, str(turn[key])) for key in ("tool_call_id", "name") if turn.get(key)]
    return tuple(more)


def _calls(value: Any, place: Place, path: str) -> list[dict[str, Any]]:
    """Calls in OpenAI's form, their arguments as objects: that is how chat templates want them."""
    calls = value if isinstance(value, list) else [value]
    return [
        _call(call, place, f"{path}[{at}]" if isinstance(value, list) else path)
        for at, call in enumerate(calls)
    ]


def _call(call: Any, place: Place, path: str) -> dict[str, Any]:
    function = call.get("function") or call if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise errors.InvalidRow(
            f'{place}: {path} is not a tool call; write {{"name": ..., "arguments": {{...}}}}'
        )
    given = function.get("arguments")
    arguments = unpacked(given) if given else {}
    if not isinstance(arguments, dict):
        raise errors.InvalidRow(
            f"{place}: the arguments of {path} ({function['name']}) are not a JSON object; correct them"
        )
    made = {
        "type": "function",
        "function": {"name": function["name"], "arguments": _plain(arguments, place)},
    }
    return {"id": str(call["id"]), **made} if call.get("id") else made


def tools_of(value: Any, place: Place, column: str) -> tuple[Any, ...]:
    """The functions that the assistant may call, as JSON schemas in OpenAI's form; a list, or a list as JSON text."""
    found = unpacked(value)
    if not found or (isinstance(found, str) and not found.strip()):
        return ()
    if not isinstance(found, list):
        raise errors.InvalidRow(
            f"{place}: {column} is {kind(found)}; it must be a list of functions, or such a list written as JSON"
        )
    return tuple(_tool(tool, place, f"{column}[{at}]") for at, tool in enumerate(found))


def _tool(tool: Any, place: Place, path: str) -> dict[str, Any]:
    tool = unpacked(tool)
    function = tool.get("function", tool) if isinstance(tool, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise errors.InvalidRow(
            f"{place}: {path} is not a function; write {{name, description, parameters}}, or {{type: function, function: {{name, "
            "description, parameters}}"
        )
    return {"type": "function", "function": _plain(function, place)}


def _plain(value: Any, place: Place) -> Any:
    """JSON data without the nulls of Parquet, which gives every object the keys of all the others."""
    if place.unit != "row":
        return value
    if isinstance(value, dict):
        return {key: _plain(one, place) for key, one in value.items() if one is not None}
    return [_plain(one, place) for one in value] if isinstance(value, list) else value
