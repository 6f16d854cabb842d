"""Conversations to text by the model's own chat template, and which characters of it are the assistant's.

The mask is found in this order; what cannot be proven is refused, never guessed:

1. the template marks generations itself (`{% generation %}`)
2. a family's wording gives the same text (`families`): one rendering, as fast as the template
3. a second rendering with marks around everybody's words gives the same text without them (`marks`, `provenance`)

A turn is learned from where the prompt at inference ends to the end of the turn: whatever the prompt does not give, the model
has to say itself.
"""

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from finetune_trainer import errors
from finetune_trainer.data import families, marks
from finetune_trainer.data.chat_template import ChatTemplate, Turns
from finetune_trainer.data.families import Family, Span
from finetune_trainer.data.provenance import Provenance
from finetune_trainer.data.rows import Conversation, Message, Place

SPOKEN = frozenset(
    f"{opening}{name}{closing}"
    for name in ("think", "tool_call", "tool_response")
    for opening, closing in (("<", ">"), ("</", ">"))
) | {"[THINK]", "[/THINK]"}
"""Control tokens of some tokenizers that people write into an answer on purpose."""
_ASKED, _ANSWERED = Message("user", "What is seven?"), Message("assistant", "A number.")
_AGAIN = (Message("user", "And eight?"), Message("assistant", "Another one."))
_SYSTEM = Message("system", "You are brief.")
PROBES = tuple((*before, _ASKED, _ANSWERED, *more) for more in (_AGAIN, ()) for before in ((), (_SYSTEM,)))
"""Conversations that a template is tried on: it must render one of them."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A conversation as the model sees it."""

    text: str
    spans: tuple[Span, ...]
    """One for each turn of the assistant, learned or not: its words and the end of the turn."""
    plain: tuple[Span, ...] = ()
    """Stretches between control tokens in which somebody writes one: they must be tokenised as plain text."""
    endless: bool = False
    """Whether the template leaves the last answer open, so that eos had to be put there."""


class Renderer:
    """One chat template with one tokenizer's special tokens."""

    def __init__(self, template: str, specials: Mapping[str, str], *, end_tokens: Sequence[str]) -> None:
        """`specials`: `bos_token`, `eos_token`, ...; `end_tokens`: texts of all special tokens, any of which may end a turn."""
        self.template = template
        self._chat = ChatTemplate(template, specials)
        self._eos = specials.get("eos_token", "")
        self._ends = marks.Control(end_tokens)
        unspoken = [token for token in end_tokens if token not in SPOKEN]
        ends_of_text = {specials.get("bos_token"), self._eos}
        self.written = tuple(sorted({token for token in unspoken if token in template} - ends_of_text))
        """Special tokens that the template writes: where plain text holds one, a template has rendered it."""
        self._said = marks.Control(unspoken)
        self._provenance = Provenance(self._chat, self._said, self._ends)
        self._families = [known for family in families.FAMILIES if (known := family.filled(specials))]
        self._given: dict[str, int] = {}
        self.endless = 0
        """Conversations whose last answer the template does not end, so that eos had to be put there."""
        self.literal = 0
        """Conversations in which somebody writes a control token of the model: it is read as plain text."""

    @property
    def family(self) -> str | None:
        """The family whose wording fitted a conversation last; None where none has yet."""
        return self._families[0].name if self._given else None

    def prompt(self, messages: Sequence[Message], tools: Sequence[Any] = ()) -> str:
        """The text after which the assistant speaks."""
        return self._chat.prompt(messages, tools)

    def render(self, conversation: Conversation, place: Place) -> Rendered:
        """Text and mask. Raises `InvalidRow` where the template refuses, `InvalidChatTemplate` where no mask can be proven."""
        rendered = self._rendered(conversation, str(place))
        self.literal += bool(rendered.plain)
        self.endless += rendered.endless
        return rendered

    def check(self, field: str) -> None:
        """Try the template on small conversations; `field` says where it came from. Raises `InvalidChatTemplate`."""
        if wrong := self._chat.syntax_error():
            line, says = wrong
            raise errors.InvalidChatTemplate(
                f"{field}: line {line} is not valid Jinja ({says}); correct the template"
            )
        refused: errors.TrainerError | None = None
        for turns in PROBES:
            try:
                rendered = self._rendered(Conversation(turns, len(turns) - 1), field, tried=True)
            except (errors.InvalidRow, errors.InvalidChatTemplate) as error:
                refused = refused or error
                continue
            self._check_prompt(field, turns, rendered)
            return
        raise errors.InvalidChatTemplate(str(refused)) from refused

    def _check_prompt(self, field: str, turns: Sequence[Message], rendered: Rendered) -> None:
        prompt, start = self.prompt(turns[:-1]), rendered.spans[-1][0]
        if rendered.text.startswith(prompt) and (header := rendered.text[len(prompt) : start].strip()):
            raise errors.InvalidChatTemplate(
                f"{field}: does not open the assistant's turn: where add_generation_prompt is true, the text must end with "
                f"{header!r}, as before every answer; add it"
            )

    def _rendered(self, conversation: Conversation, where: str, *, tried: bool = False) -> Rendered:
        """`tried`: the conversation is one of `PROBES`, and `where` the field of the template."""
        try:
            return self._proven(conversation, where, tried=tried)
        except (errors.TrainerError, errors.Interrupted):  # SIGTERM may come in the middle of a template too
            raise
        except Exception as error:
            if tried:
                raise errors.InvalidChatTemplate(
                    f"{where}: refuses a small conversation of user and assistant, with and without a system prompt "
                    f"({_first_line(error)}); correct the template, or leave it out to take the model's own"
                ) from error
            raise errors.InvalidRow(
                f"{where}: the chat template refuses this conversation ({_first_line(error)}); bring its turns into the order "
                "that the model knows, or set spec.model.chatTemplate"
            ) from error

    def _proven(self, conversation: Conversation, where: str, *, tried: bool) -> Rendered:
        messages, tools = conversation.messages, conversation.tools
        made = self._chat.rendering(messages, tools)
        missing = marks.lost(made.turns, tools, made.text) or marks.lost_thought(made.turns, made.text)
        if missing and tried:
            raise errors.InvalidChatTemplate(
                f"{where}: leaves out {missing} of a small conversation; let it write every turn, or leave it out to take the "
                "model's own"
            )
        if missing:
            raise errors.InvalidChatTemplate(
                f"{where}: the chat template leaves out {missing}; set spec.model.chatTemplate to one that writes everything, or "
                "remove what it leaves out from the rows"
            )
        known = self._by_family(messages, made.text) if made.generations is None else None
        token = self._look_alike(made.turns, tools)
        if known is not None and token is None:
            return Rendered(made.text, tuple(known))
        standing = None
        if token is not None or made.generations is None:
            standing = self._provenance.standing(made.turns, tools)
            standing = standing if standing.text == made.text else None
        if token is not None and (standing is None or not standing.literal):
            raise errors.InvalidRow(
                f"{where}: a turn contains {token!r}, which is one of the model's special tokens, and the chat template does not "
                "keep it apart from its own; write it differently, or remove the row"
            )
        literal = standing.literal if standing else ()
        if made.generations is not None:
            found = [self._with_end(made.text, span, literal) for span in made.generations]
        else:
            found = known or (standing and self._provenance.spans(made.turns, tools, standing)) or []
        if not _faithful(made.turns, made.text, found):
            raise errors.InvalidChatTemplate(
                f"{where}: in the output of the chat template, the assistant's words cannot be told apart from the rest; set "
                "spec.model.chatTemplate to one that puts {% generation %} and {% endgeneration %} around them"
            )
        plain = standing.stretches(self._ends) if standing else ()
        return self._ended(Rendered(made.text, tuple(found), plain), literal)

    def _by_family(self, messages: Sequence[Message], text: str) -> list[Span] | None:
        """The first family that fits; the last row's is asked first."""
        for at, family in enumerate(self._families):
            if (found := families.spans(family, messages, text)) is not None:
                if at:
                    self._families.insert(0, self._families.pop(at))
                return self._behind_prompt(family, messages, found)
        return None

    def _behind_prompt(self, family: Family, messages: Sequence[Message], found: list[Span]) -> list[Span]:
        """`found`, the last span without what the prompt gives already: some templates prompt with an empty thought."""
        if messages[-1].role != "assistant":
            return found
        if family.name not in self._given:
            lead = family.lead_of_last or ""
            before = self.prompt(messages[:-1]) if lead else ""
            sizes = range(len(lead), 0, -1)
            self._given[family.name] = next((size for size in sizes if before.endswith(lead[:size])), 0)
        given = self._given[family.name]
        if not given:
            return found
        *others, (start, end) = found
        return [*others, (start + given, end)]

    def _with_end(self, text: str, span: Span, literal: Sequence[Span]) -> Span:
        """`span` with the end of its turn: templates that mark generations may leave it outside."""
        start, end = span
        stop = start + len(text[start:end].rstrip())
        inside = self._ends.closing(text[start:stop])
        if inside and (stop - len(inside), stop) not in literal:
            return span
        return start, end + self._ends.behind(text, end)

    def _ended(self, rendered: Rendered, literal: Sequence[Span]) -> Rendered:
        """The same with eos behind the last answer, where the template leaves it open: nobody could learn to stop from it."""
        start, end = rendered.spans[-1]
        closed = any(
            (a + start, b + start) not in literal for a, b in self._ends.all(rendered.text[start:end])
        )
        if closed or rendered.text[end:].strip():
            return rendered
        spans = (*rendered.spans[:-1], (start, end + len(self._eos)))
        return replace(rendered, text=rendered.text[:end] + self._eos, spans=spans, endless=True)

    def _look_alike(self, turns: Turns, tools: Sequence[Any]) -> str | None:
        """The first control token that somebody says."""
        for turn in turns:
            if found := self._said.said(turn["content"]):
                return found
            if len(turn) > len(("role", "content")) and (found := self._said.said(_json(turn))):
                return found
        return self._said.said(_json(tools)) if tools else None


def _faithful(turns: Turns, text: str, found: Sequence[Span]) -> bool:
    """Whether every answer stands whole in a span of its own, in order."""
    answers = [turn for turn in turns if turn["role"] == "assistant"]
    if len(answers) != len(found) or any(a[1] > b[0] for a, b in itertools.pairwise(found)):
        return False
    pairs = zip(answers, found, strict=True)
    return all(marks.lost([answer], (), text[start:end]) is None for answer, (start, end) in pairs)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
