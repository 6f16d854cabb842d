"""Which characters of a rendering the assistant said, for templates of no known family: by marks around everybody's words."""

from collections.abc import Sequence
from typing import Any

from finetune_trainer.data import marks
from finetune_trainer.data.chat_template import ChatTemplate, Turns
from finetune_trainer.data.families import Span
from finetune_trainer.data.marks import Control, Standing


class Provenance:
    """Finds turns in what one template writes."""

    def __init__(self, template: ChatTemplate, said: Control, ends: Control) -> None:
        """`said`: tokens that are marked where people say them; `ends`: tokens that may end a turn."""
        self._template = template
        self._said = said
        self._ends = ends

    def standing(self, turns: Turns, tools: Sequence[Any], *, prompt: bool = False) -> Standing:
        """The conversation rendered with marks, and what the marks say. Its text may be another than without them."""
        shown = self._said.broken(tools)
        marked = marks.marked(turns, self._said)
        return marks.read(self._template.text(marked, shown, prompt=prompt), self._said)

    def spans(self, turns: Turns, tools: Sequence[Any], standing: Standing) -> list[Span] | None:
        """One span for each turn of the assistant's; None where one of them cannot be told from the rest."""
        spans: list[Span] = []
        for at in (at for at, turn in enumerate(turns) if turn["role"] == "assistant"):
            span = self._turn(turns, tools, at, standing)
            if span is None:
                return None
            spans.append(span)
        return spans

    def _turn(self, turns: Turns, tools: Sequence[Any], at: int, standing: Standing) -> Span | None:
        if at not in standing.words:
            return None
        start, end = self._start(turns, tools, at, standing), self._end(turns, tools, at, standing)
        others = [span for other, span in standing.words.items() if other != at]
        if start is None or end is None or any(a < end and b > start for a, b in others):
            return None
        return start, end

    def _start(self, turns: Turns, tools: Sequence[Any], at: int, standing: Standing) -> int | None:
        """Where the prompt at inference ends. Behind the last words before the turn, prompt and text go on alike."""
        words = standing.words[at][0]
        prompt = self.standing(turns[:at], tools, prompt=True)
        asked = max(prompt.words, key=lambda index: prompt.words[index][1], default=None)
        if asked is None:
            opening, before = prompt.text, 0
        elif asked in standing.words:
            opening, before = prompt.text[prompt.words[asked][1] :], standing.words[asked][1]
        else:
            return None
        if before > words:
            return None
        content, gap = turns[at]["content"], standing.text[before:words]
        given = _shared(opening, gap)
        if given == len(opening):
            return before + given
        thought = marks.thought(content)
        if marks.split_thought(content)[1].strip() and not (thought and thought in gap):
            return words
        # A thought or a tool call: behind the last line or control token that prompt and text have in common.
        return before + max(opening.rfind("\n", 0, given) + 1, self._ends.last(opening[:given]))

    def _end(self, turns: Turns, tools: Sequence[Any], at: int, standing: Standing) -> int | None:
        """Behind the end of the turn. Behind the name of a called tool come its arguments, and whatever closes them."""
        end = standing.words[at][1]
        if not turns[at].get("tool_calls"):
            return end + self._ends.behind(standing.text, end)
        alone = self.standing(turns[: at + 1], tools)
        if at not in alone.words:
            return None
        closing = alone.text[alone.words[at][1] :]
        rest = closing[: _shared(closing, standing.text[end:])]
        own = [
            stop for start, stop in self._ends.all(rest) if (start + end, stop + end) not in standing.literal
        ]
        if own:
            return end + own[-1]
        if rest != closing:
            return None
        end += len(rest.rstrip())
        return end + self._ends.behind(standing.text, end)


def _shared(one: str, other: str) -> int:
    """Length of the beginning that two texts have in common."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (left, right) in pairs if left != right), min(len(one), len(other)))
