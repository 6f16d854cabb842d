"""Where each message's words stand in what a chat template made of a conversation: found by rendering it a second time, marked.

Marks are Unicode's noncharacters, which no text may hold and no template knows. The rendering without them must be the
rendering of the conversation as it is, character by character; otherwise the marks have changed what the template did, and
nothing is proven.
"""

import itertools
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finetune_trainer.data.families import Span

BEGIN, END, CLOSE, BREAK = "\ufdd0", "\ufdd1", "\ufdd2", "\ufdd3"
_MARK = re.compile(f"(?P<kind>{BEGIN}|{END})(?P<turn>\\d+)(?P<call>\\.\\d+)?{CLOSE}|{BREAK}")
_THOUGHT = "</think>"
_SPACE = 256
"""Characters of space that may stand between an answer and the end of its turn."""
_UNTOUCHED = ("role", "id", "tool_call_id", "type")
"""Fields that templates compare or count the characters of."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A rendering, and where in it the words of each message stand."""

    text: str
    words: dict[int, Span]
    """Index of a message -> from its first to its last word: the answer behind a thought, and the names of called tools.

    Messages whose words are not there, or there twice, are missing.
    """
    literal: tuple[Span, ...]
    """Words of the conversation that look like control tokens."""

    def stretches(self, control: "Control") -> tuple[Span, ...]:
        """What stands between the template's own control tokens, wherever somebody writes one."""
        if not self.literal:
            return ()
        own = [span for span in control.all(self.text) if span not in self.literal]
        edges = [0, *itertools.chain.from_iterable(own), len(self.text)]
        between = zip(edges[::2], edges[1::2], strict=True)
        spots = [spot for spot, _ in self.literal]
        return tuple((a, b) for a, b in between if any(a <= spot < b for spot in spots))


class Control:
    """The tokenizer's control tokens, looked for in what people say."""

    def __init__(self, tokens: Sequence[str]) -> None:
        """`tokens`: texts of the tokens that a tokenizer reads as one wherever they stand."""
        self.tokens = tuple(sorted({token for token in tokens if len(token) > 1}, key=len, reverse=True))
        self._starts = sorted({token[:2] for token in self.tokens})
        self._any = re.compile("|".join(map(re.escape, self.tokens)) or "(?!)")

    def said(self, text: str) -> str | None:
        """The first control token in `text`."""
        if not any(
            start in text for start in self._starts
        ):  # much faster than the expression, and nearly always enough
            return None
        found = self._any.search(text)
        return found.group() if found else None

    def broken(self, value: Any) -> Any:
        """`value` (JSON data) with every look-alike in its texts broken by a mark."""
        if isinstance(value, str):
            return self._any.sub(lambda found: found.group()[0] + BREAK + found.group()[1:], value)
        if isinstance(value, Mapping):
            return {key: part if key in _UNTOUCHED else self.broken(part) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [self.broken(part) for part in value]
        return value

    def at(self, text: str, spot: int) -> str:
        """The control token that begins at `spot`, or nothing."""
        found = self._any.match(text, spot)
        return found.group() if found else ""

    def all(self, text: str) -> list[Span]:
        """Where control tokens stand in `text`."""
        return [found.span() for found in self._any.finditer(text)]

    def last(self, text: str) -> int:
        """Where the last control token of `text` ends; 0 where there is none."""
        return max((end for _, end in self.all(text)), default=0)

    def behind(self, text: str, end: int) -> int:
        """Characters behind `end` up to and with a control token that follows, space before it or not; 0 where none does."""
        rest = text[end : end + _SPACE]
        blank = len(rest) - len(rest.lstrip())
        token = self.at(text, end + blank)
        return blank + len(token) if token else 0

    def closing(self, text: str) -> str:
        """The control token that ends `text`, or nothing."""
        return next((token for token in self.tokens if text.endswith(token)), "")


def marked(turns: Sequence[Mapping[str, Any]], control: Control) -> list[dict[str, Any]]:
    """`turns` as a template wants them, with marks around what each says."""
    return [_marked(at, turn, control) for at, turn in enumerate(turns)]


def _marked(at: int, turn: Mapping[str, Any], control: Control) -> dict[str, Any]:
    made: dict[str, Any] = control.broken(turn)
    content = turn["content"]
    thought, said = split_thought(content) if turn["role"] == "assistant" else ("", content)
    words = said.strip()
    if words:
        begins = len(thought) + said.index(words)
        before, after = content[:begins], content[begins + len(words) :]
        made["content"] = control.broken(before) + _between(f"{at}", control.broken(words)) + after
    if turn.get("tool_calls"):
        calls = enumerate(made["tool_calls"])
        made["tool_calls"] = [_marked_call(f"{at}.{number}", call) for number, call in calls]
    return made


def _marked_call(key: str, call: Any) -> Any:
    function = call.get("function", call)
    named = {**function, "name": _between(key, str(function.get("name", "")))}
    return {**call, "function": named} if "function" in call else named


def _between(key: str, words: str) -> str:
    return f"{BEGIN}{key}{CLOSE}{words}{END}{key}{CLOSE}"


def split_thought(content: str) -> tuple[str, str]:
    """A thought in `<think>` with the space behind it, and the answer: templates drop the first from earlier turns."""
    if _THOUGHT not in content:
        return "", content
    behind = content.rindex(_THOUGHT) + len(_THOUGHT)
    answer = content[behind:].lstrip()
    return content[: len(content) - len(answer)], answer


def thought(content: str) -> str:
    """What stands between `<think>` and `</think>`."""
    return split_thought(content)[0].strip().removesuffix(_THOUGHT).strip().removeprefix("<think>").strip()


def read(rendered: str, control: Control) -> Standing:
    """The rendering of marked turns, and what the marks said."""
    parts: list[str] = []
    spots: dict[tuple[int, str, str], list[int]] = {}
    breaks: list[int] = []
    length = behind = 0
    for found in _MARK.finditer(rendered):
        parts.append(rendered[behind : found.start()])
        length += len(parts[-1])
        behind = found.end()
        if found["kind"]:
            spots.setdefault((int(found["turn"]), found["call"] or "", found["kind"]), []).append(length)
        else:
            breaks.append(length - 1)
    text = "".join([*parts, rendered[behind:]])
    literal = tuple((spot, spot + len(control.at(text, spot))) for spot in breaks)
    turns = sorted({turn for turn, _, _ in spots})
    words = {turn: span for turn in turns if (span := _words(turn, spots))}
    return Standing(text, words, literal)


def _words(turn: int, spots: Mapping[tuple[int, str, str], Sequence[int]]) -> Span | None:
    """From the first to the last word of a turn. Results of tools may repeat the tool's name: its first place counts."""
    mine = {(call, kind): found for (at, call, kind), found in spots.items() if at == turn}
    if any(not call and len(found) > 1 for (call, _), found in mine.items()):
        return None
    if any(((call, END) in mine) != ((call, BEGIN) in mine) for call, _ in mine):
        return None
    return (
        min(found[0] for (_, kind), found in mine.items() if kind == BEGIN),
        max(found[0] for (_, kind), found in mine.items() if kind == END),
    )


def lost(turns: Sequence[Mapping[str, Any]], tools: Sequence[Any], text: str) -> str | None:
    """What of the conversation `text` does not hold, as a person calls it; None where nothing is missing."""
    said = [_answer(turn) for turn in turns]
    for at, words in enumerate(said):
        if words not in text and not _holds(text, words.strip()):
            return f"the words of messages[{at}] (of role {turns[at]['role']})"
    if not tools and not any("tool_calls" in turn for turn in turns):
        return None
    wanted: Counter[str] = Counter()
    for at, turn in enumerate(turns):
        for name in map(_name, turn.get("tool_calls") or ()):
            wanted[name] += 1
            if not _times(text, said, name, wanted[name]):
                return f"the tool call of messages[{at}]"
    for name in map(_name, tools):
        wanted[name] += 1
        if not _times(text, said, name, wanted[name]):
            return "the tools"
    return None


def lost_thought(turns: Sequence[Mapping[str, Any]], text: str) -> str | None:
    """The same of the thought of an answer that ends the conversation. Of earlier turns templates leave it out on purpose."""
    last = turns[-1]
    if last["role"] != "assistant" or (_THOUGHT not in last["content"] and "reasoning_content" not in last):
        return None
    thoughts = (thought(last["content"]), str(last.get("reasoning_content") or "").strip())
    kept = all(_holds(text, one) for one in thoughts)
    return None if kept else f"the thought of messages[{len(turns) - 1}]"


def _answer(turn: Mapping[str, Any]) -> str:
    content: str = turn["content"]
    return split_thought(content)[1] if turn["role"] == "assistant" else content


def _name(tool: Any) -> str:
    function = tool.get("function", tool) if isinstance(tool, Mapping) else {}
    return str(function.get("name", ""))


def _times(text: str, said: Sequence[str], name: str, times: int) -> bool:
    """Whether `name` stands in `text` so often besides where people say it."""
    return text.count(name) >= sum(words.count(name) for words in said) + times


def _holds(text: str, said: str) -> bool:
    """Whether `said` stands in `text`: as it is, as JSON, or with other space."""
    return (
        said in text
        or json.dumps(said, ensure_ascii=False)[1:-1] in text
        or json.dumps(said)[1:-1] in text
        or "".join(said.split()) in "".join(text.split())
    )
