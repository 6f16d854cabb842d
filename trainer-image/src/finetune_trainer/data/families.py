"""How the chat templates that people use write a turn: used for the mask only, never to render.

A template is text with logic; what of its output the assistant said cannot be read off it. So each family's wording stands
here as a table, with the learned part marked. A conversation is rendered by the model's own template, and a family applies
only where writing the turns by its row gives exactly the end of that text, from the question before the first answer on.
What comes before (system prompts, dates, default sentences) is whatever the template makes it: it is never learned. A row
that does not fit can therefore never give a wrong mask, only none: `marks` looks then.
"""

# ruff: noqa: RUF001 - DeepSeek's tokens are written with fullwidth bars

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from finetune_trainer.data.rows import Message

Span = tuple[int, int]
"""Start and end (exclusive) in characters."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """The wording of turns. `{bos}` and `{eos}` stand for the tokenizer's own."""

    name: str
    models: str
    """Models that write so, for people."""
    user: tuple[str, str]
    """Before and after what the user says."""
    header: str
    """Before the assistant's turn; given as the prompt at inference, so not learned."""
    lead: str = ""
    """Learned, before the assistant's words: a space that belongs to their first token, for example."""
    lead_of_last: str | None = None
    """The same for a turn that ends the conversation, where it differs."""
    end: str
    """Learned, behind the assistant's words: the end of the turn."""
    end_of_last: str | None = None
    """The same for a turn that ends the conversation, where it differs."""
    after: str = ""
    """Not learned, behind the end of the turn; behind an answer that ends the conversation it may be missing."""
    system: tuple[str, str] | None = None
    """Before and after a system turn in the middle of a conversation; None: there are none."""
    tails: tuple[str, ...] = ("",)
    """What may stand behind the last turn."""
    strip: bool = False
    """Whether spaces around what is said are taken off."""

    def filled(self, specials: Mapping[str, str]) -> "Family | None":
        """The same in one tokenizer's words; None where it has no token to end a turn with."""
        bos, eos = specials.get("bos_token", ""), specials.get("eos_token", "")
        if "{eos}" in self.end and not eos:
            return None

        def told(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(told(part) for part in value)
            return value.replace("{bos}", bos).replace("{eos}", eos) if isinstance(value, str) else value

        return replace(self, **{field.name: told(getattr(self, field.name)) for field in fields(self)})


def _chatml(name: str, models: str, **more: str) -> Family:
    return Family(
        name=name,
        models=models,
        user=("<|im_start|>user\n", "<|im_end|>\n"),
        system=("<|im_start|>system\n", "<|im_end|>\n"),
        header="<|im_start|>assistant\n",
        end="<|im_end|>",
        after="\n",
        **more,  # type: ignore[arg-type] # only ever a text field
    )


FAMILIES: tuple[Family, ...] = (
    _chatml("ChatML", "Qwen 2 and 2.5, Qwen 3 Instruct 2507, QwQ, SmolLM2, Yi, Hermes, LFM2"),
    # Qwen 3 puts an empty thought before the last answer. It is learned: the prompt at inference ends before it.
    _chatml("Qwen 3", "Qwen 3 and 3.5", lead_of_last="<think>\n\n</think>\n\n"),
    Family(
        name="Llama 3",
        models="Llama 3, 3.1, 3.2 and 3.3, Nemotron of Llama 3",
        user=("<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"),
        system=("<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>"),
        header="<|start_header_id|>assistant<|end_header_id|>\n\n",
        end="<|eot_id|>",
        strip=True,
    ),
    Family(
        name="Llama 2",
        models="Llama 2 Chat, Code Llama Instruct",
        user=("{bos}[INST] ", " [/INST]"),
        header="",
        lead=" ",
        end=" {eos}",
        strip=True,
    ),
    Family(
        name="Mistral 0.1",
        models="Mistral 7B Instruct 0.1 and 0.2, Mixtral as first published",
        user=("[INST] ", " [/INST]"),
        header="",
        end="{eos}",
        after=" ",
        tails=("", " "),
    ),
    Family(
        name="Mistral 0.1, close",
        models="the same without the space between turns",
        user=("[INST] ", " [/INST]"),
        header="",
        end="{eos}",
    ),
    Family(
        name="Mistral 0.2",
        models="Mistral 7B Instruct 0.2, Mixtral as published now",
        user=(" [INST] ", " [/INST]"),
        header="",
        lead=" ",
        end="{eos}",
    ),
    Family(
        name="Mistral 0.3",
        models="Mistral 7B Instruct 0.3, Mistral Large, Codestral",
        user=("[INST] ", "[/INST]"),
        header="",
        lead=" ",
        end="{eos}",
    ),
    Family(
        name="Mistral Tekken",
        models="Mistral Nemo, Ministral, Mistral Small 3",
        user=("[INST]", "[/INST]"),
        header="",
        end="{eos}",
        system=("[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"),
    ),
    Family(
        name="Gemma",
        models="Gemma 1, 2 and 3",
        user=("<start_of_turn>user\n", "<end_of_turn>\n"),
        header="<start_of_turn>model\n",
        end="<end_of_turn>",
        after="\n",
        strip=True,
    ),
    Family(
        name="Gemma 4",
        models="Gemma 4",
        user=("<|turn>user\n", "<turn|>\n"),
        header="<|turn>model\n",
        end="<turn|>",
        after="\n",
        strip=True,
    ),
    Family(
        name="Phi 3",
        models="Phi 3 and 3.5",
        user=("<|user|>\n", "<|end|>\n"),
        system=("<|system|>\n", "<|end|>\n"),
        header="<|assistant|>\n",
        end="<|end|>",
        after="\n",
        tails=("", "{eos}"),
    ),
    Family(
        name="Phi 4 mini",
        models="Phi 4 mini",
        user=("<|user|>", "<|end|>"),
        system=("<|system|>", "<|end|>"),
        header="<|assistant|>",
        end="<|end|>",
        tails=("", "{eos}"),
    ),
    Family(
        name="Phi 4",
        models="Phi 4",
        user=("<|im_start|>user<|im_sep|>", "<|im_end|>"),
        system=("<|im_start|>system<|im_sep|>", "<|im_end|>"),
        header="<|im_start|>assistant<|im_sep|>",
        end="<|im_end|>",
    ),
    Family(
        name="Zephyr",
        models="Zephyr, TinyLlama, StableLM Zephyr",
        user=("<|user|>\n", "{eos}\n"),
        system=("<|system|>\n", "{eos}\n"),
        header="<|assistant|>\n",
        end="{eos}",
        after="\n",
        tails=("", "\n"),
    ),
    Family(
        name="OLMo 2",
        models="OLMo 2, Tulu 3, Falcon 3",
        user=("<|user|>\n", "\n"),
        system=("<|system|>\n", "\n"),
        header="<|assistant|>\n",
        end="{eos}",
        after="\n",
    ),
    Family(
        name="Granite",
        models="Granite 3 and 4",
        user=("<|start_of_role|>user<|end_of_role|>", "<|end_of_text|>\n"),
        system=("<|start_of_role|>system<|end_of_role|>", "<|end_of_text|>\n"),
        header="<|start_of_role|>assistant<|end_of_role|>",
        end="<|end_of_text|>",
        after="\n",
    ),
    Family(
        name="EXAONE",
        models="EXAONE 3 and 3.5",
        user=("[|user|]", "\n"),
        system=("[|system|]", "[|endofturn|]\n"),
        header="[|assistant|]",
        end="[|endofturn|]",
        after="\n",
    ),
    Family(
        name="Command R",
        models="Command R and R+, Aya",
        user=("<|START_OF_TURN_TOKEN|><|USER_TOKEN|>", "<|END_OF_TURN_TOKEN|>"),
        header="<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
        end="<|END_OF_TURN_TOKEN|>",
        strip=True,
    ),
    Family(
        name="DeepSeek",
        models="DeepSeek V2.5, V3 and R1, and what was distilled from it",
        user=("<｜User｜>", ""),
        header="<｜Assistant｜>",
        end="<｜end▁of▁sentence｜>",
    ),
    Family(
        name="gpt-oss",
        models="gpt-oss (Harmony)",
        user=("<|start|>user<|message|>", "<|end|>"),
        header="<|start|>assistant",
        # Which channel it speaks in is the model's own decision: the prompt ends before it.
        lead="<|channel|>final<|message|>",
        end="<|end|>",
        end_of_last="<|return|>",
    ),
    Family(
        name="Plain",
        models="models without a chat template of their own",
        user=("### User:\n", "\n\n"),
        system=("### System:\n", "\n\n"),
        header="### Assistant:\n",
        end="{eos}",
        after="\n\n",
    ),
)

PLAIN_TEMPLATE = """\
{{- bos_token }}
{%- for message in messages %}
    {{- '### ' + message['role'] | capitalize + ':\\n' + message['content'] }}
    {{- eos_token + '\\n\\n' if message['role'] == 'assistant' else '\\n\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '### Assistant:\\n' }}
{%- endif %}
"""
"""For models that have no chat template: nothing but words that every tokenizer has, and its own end of text."""


def spans(family: Family, messages: Sequence[Message], rendered: str) -> list[Span] | None:
    """Where the assistant's turns lie in `rendered`, one span a turn; None where the wording of `family` (filled) does not fit."""
    first = next(at for at, message in enumerate(messages) if message.role == "assistant")
    written = _written(family, messages, first)
    if written is None:
        return None
    body, found = written
    asked = messages[first - 1] if first else None
    opening = family.header
    if asked and asked.role == "user":
        opening = _said(family, asked) + family.user[1] + opening
    for ending in _endings(family, messages[-1].role == "assistant"):
        begins = len(rendered) - len(body) - len(ending)
        if (
            begins >= len(opening)
            and rendered.endswith(ending)
            and rendered.startswith(body, begins)
            and rendered.endswith(opening, 0, begins)
        ):
            return [(start + begins, end + begins) for start, end in found]
    return None


def _written(family: Family, messages: Sequence[Message], first: int) -> tuple[str, list[Span]] | None:
    """The conversation from the first answer's first character to the end of the last turn, and the learned spans in it."""
    parts: list[str] = []
    length, found = 0, []
    for at, message in enumerate(messages[first:], start=first):
        last = at == len(messages) - 1
        if message.role == "assistant":
            header = family.header if at > first else ""
            lead = family.lead_of_last if last and family.lead_of_last is not None else family.lead
            end = family.end_of_last if last and family.end_of_last is not None else family.end
            learned = lead + _said(family, message) + end
            begins = length + len(header)
            found.append((begins, begins + len(learned)))
            text = header + learned + ("" if last else family.after)
        else:
            around = {"user": family.user, "system": family.system}.get(message.role)
            if around is None:
                return None
            text = around[0] + _said(family, message) + around[1]
        parts.append(text)
        length += len(text)
    return "".join(parts), found


def _endings(family: Family, answered: bool) -> Sequence[str]:  # noqa: FBT001 - a property of the conversation
    """What may stand behind the end of the last turn."""
    return (*(family.after + tail for tail in family.tails), "") if answered else family.tails


def _said(family: Family, message: Message) -> str:
    return message.content.strip() if family.strip else message.content
