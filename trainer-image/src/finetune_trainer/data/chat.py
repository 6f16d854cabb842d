"""Conversations to text by the model's own chat template, and which characters of it are the assistant's.

The mask is found in this order; what cannot be proven is refused, never guessed:

1. the template marks generations itself (`{% generation %}`)
2. a family's wording gives the same text (`families`)
3. each turn is what the template adds to the turns before it
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finetune_trainer import errors
from finetune_trainer.data import families
from finetune_trainer.data.families import Family, Span
from finetune_trainer.data.rows import Conversation, Message, Place

GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
DATE = "26 Jul 2024"
"""What Llama's templates call today when nobody says: a rendering must not change from one day to the next."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A conversation as the model sees it."""

    text: str
    spans: tuple[Span, ...]
    """One for each turn of the assistant: its words and the end of the turn."""


class Renderer:
    """One chat template with one tokenizer's special tokens."""

    def __init__(self, template: str, specials: Mapping[str, str], *, end_tokens: Sequence[str]) -> None:
        """`specials`: `bos_token`, `eos_token`, ...; `end_tokens`: texts of all special tokens, any of which may end a turn."""
        self.template = template
        self._specials = dict(specials)
        self._ends = tuple(sorted(set(end_tokens), key=len, reverse=True))
        self._marked = bool(GENERATION.search(template))
        self._family: Family | None = None
        self.endless = 0
        """Conversations whose last answer the template does not end, so that eos had to be put there."""

    def prompt(self, messages: Sequence[Message]) -> str:
        """The text after which the assistant speaks."""
        return self._text(messages, generation_prompt=True)

    def render(self, conversation: Conversation, place: Place) -> Rendered:
        """Text and mask. Raises `InvalidRow` where the template refuses, `InvalidChatTemplate` where no mask can be proven."""
        messages = conversation.messages
        try:
            text, marked = self._marked_text(messages)
            found = marked or self._by_family(messages, text) or self._by_growth(messages, text)
        except errors.Interrupted:  # SIGTERM may come at any moment, in the middle of a template too
            raise
        except Exception as error:
            raise errors.InvalidRow(
                f"{place}: the chat template refuses this conversation ({_first_line(error)}); bring its turns into the order "
                "that the model knows, or set spec.model.chatTemplate"
            ) from error
        if found is None or not self._faithful(messages, text, found):
            raise errors.InvalidChatTemplate(
                f"{place}: in what the chat template makes of this conversation the assistant's words cannot be told from the "
                "rest; set spec.model.chatTemplate to one with {% generation %} around them"
            )
        return self._ended(Rendered(text, tuple(self._with_end(text, span) for span in found)))

    def _text(self, messages: Sequence[Message], *, generation_prompt: bool = False) -> str:
        return str(self._jinja(messages, add_generation_prompt=generation_prompt)[0][0])

    def _marked_text(self, messages: Sequence[Message]) -> tuple[str, list[Span] | None]:
        """The text and, where the template marks them, the spans of the generations."""
        if not self._marked:
            return self._text(messages), None
        texts, generations = self._jinja(messages, return_assistant_tokens_mask=True)
        return str(texts[0]), [(int(start), int(end)) for start, end in generations[0]]

    def _jinja(self, messages: Sequence[Message], **options: Any) -> Any:
        from transformers.utils import chat_template_utils  # noqa: PLC0415 - seconds of import

        seen: dict[str, Any] = {**self._specials, "date_string": DATE, **options}
        turns = [message.wire() for message in messages]
        return chat_template_utils.render_jinja_template([turns], chat_template=self.template, **seen)

    def _by_family(self, messages: Sequence[Message], text: str) -> list[Span] | None:
        """The first family that fits; the last row's is asked first."""
        asked = [self._family, *families.FAMILIES] if self._family else families.FAMILIES
        for family in asked:
            if family and (found := families.spans(family, messages, text, self._specials)) is not None:
                self._family = family
                return self._behind_prompt(messages, text, found) if family.lead_of_last else found
        return None

    def _behind_prompt(self, messages: Sequence[Message], text: str, found: list[Span]) -> list[Span]:
        """`found`, the last span without what the prompt gives already: some templates prompt with an empty thought."""
        if messages[-1].role != "assistant":
            return found
        *others, (start, end) = found
        return [*others, (max(start, _shared(text, self.prompt(messages[:-1]))), end)]

    def _by_growth(self, messages: Sequence[Message], text: str) -> list[Span] | None:
        """Each turn as what the template adds to the turns before it."""
        turns = [at for at, message in enumerate(messages) if message.role == "assistant"]
        found = [self._grown(messages[:at], messages[at].content.strip(), text) for at in turns]
        return None if None in found else [span for span in found if span]

    def _grown(self, before: Sequence[Message], answer: str, text: str) -> Span | None:
        """Where `answer` stands in `text`, given the turns before it; None where that cannot be told.

        The turn begins where `text` leaves what the template would give as a prompt. Templates of thinking models put a thought
        of their own before the answer there: it is not learned.
        """
        prompt = self.prompt(before)
        start = _shared(text, prompt)
        begins = text.find(answer, start)
        between = text[start:begins]
        if (
            begins < 0
            or not text.startswith(self._text(before))
            or any(token in between for token in self._ends)
        ):
            return None
        whole = start == len(prompt) and not between.strip()
        return (start if whole else begins), begins + len(answer)

    def _with_end(self, text: str, span: Span) -> Span:
        """`span` with the end of its turn: templates that mark generations may leave it outside."""
        start, end = span
        inside = text[start:end].rstrip().endswith(self._ends)
        return span if inside else (start, end + self._end_of_turn(text[end:]))

    def _end_of_turn(self, rest: str) -> int:
        """Characters of `rest` up to and with the special token that ends the turn; 0 where none follows."""
        blank = len(rest) - len(rest.lstrip())
        token = next((token for token in self._ends if rest.startswith(token, blank)), "")
        return blank + len(token) if token else 0

    def _faithful(self, messages: Sequence[Message], text: str, found: Sequence[Span]) -> bool:
        """Whether every answer stands whole in a span of its own."""
        answers = [message.content.strip() for message in messages if message.role == "assistant"]
        return len(answers) == len(found) and all(
            answer in text[start:end] for answer, (start, end) in zip(answers, found, strict=True)
        )

    def _ended(self, rendered: Rendered) -> Rendered:
        """The same with eos behind the last answer, where the template leaves it open: nobody could learn to stop from it."""
        start, end = rendered.spans[-1]
        if rendered.text[end:].strip() or any(token in rendered.text[start:end] for token in self._ends):
            return rendered
        self.endless += 1
        eos = self._specials.get("eos_token", "")
        return Rendered(rendered.text[:end] + eos, (*rendered.spans[:-1], (start, end + len(eos))))


def _shared(one: str, other: str) -> int:
    """Length of the beginning that two texts have in common."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (left, right) in pairs if left != right), min(len(one), len(other)))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
