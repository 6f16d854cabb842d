"""How the chat templates that people use write a turn: used for the mask only, never to render.

A template is text with logic; what of its output the assistant said cannot be read off it. So each family's wording stands
here as a table, with the learned part marked. A conversation is rendered by the model's own template, and a family applies
only where writing the turns by its row gives exactly the end of that text, from the first answer on. What comes before
(system prompts, dates, default sentences) is whatever the template makes it: it is never learned. A row that does not fit
can therefore never give a wrong mask, only no mask.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from finetune_trainer.data.rows import Message

Span = tuple[int, int]
"""Start and end (exclusive) in characters."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """The wording of turns. `{bos}` and `{eos}` stand for the tokenizer's own."""

    name: str
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
    after: str = ""
    """Not learned, behind the end of the turn."""
    system: tuple[str, str] | None = None
    """Before and after a system turn in the middle of a conversation; None: there are none."""
    tails: tuple[str, ...] = ("",)
    """What may stand behind the last turn."""
    strip: bool = False
    """Whether spaces around what is said are taken off."""


def _chatml(name: str, **more: str) -> Family:
    return Family(
        name=name,
        user=("<|im_start|>user\n", "<|im_end|>\n"),
        system=("<|im_start|>system\n", "<|im_end|>\n"),
        header="<|im_start|>assistant\n",
        end="<|im_end|>",
        after="\n",
        **more,  # type: ignore[arg-type] # only ever a text field
    )


FAMILIES: tuple[Family, ...] = (
    _chatml("ChatML, Qwen 2.5, SmolLM2"),
    # Qwen 3 puts an empty thought before the last answer. It is learned: the prompt at inference ends before it.
    _chatml("Qwen 3", lead_of_last="<think>\n\n</think>\n\n"),
    Family(
        name="Llama 3",
        user=("<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"),
        system=("<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>"),
        header="<|start_header_id|>assistant<|end_header_id|>\n\n",
        end="<|eot_id|>",
        strip=True,
    ),
    Family(name="Llama 2", user=("{bos}[INST] ", " [/INST]"), header="", lead=" ", end=" {eos}", strip=True),
    Family(
        name="Mistral 0.1", user=("[INST] ", " [/INST]"), header="", end="{eos}", after=" ", tails=("", " ")
    ),
    Family(name="Mistral 0.2", user=(" [INST] ", " [/INST]"), header="", lead=" ", end="{eos}"),
    Family(name="Mistral 0.3", user=("[INST] ", "[/INST]"), header="", lead=" ", end="{eos}"),
    Family(name="Mistral Nemo", user=("[INST]", "[/INST]"), header="", end="{eos}"),
    Family(
        name="Gemma",
        user=("<start_of_turn>user\n", "<end_of_turn>\n"),
        header="<start_of_turn>model\n",
        end="<end_of_turn>",
        after="\n",
        strip=True,
    ),
    Family(
        name="Phi 3",
        user=("<|user|>\n", "<|end|>\n"),
        system=("<|system|>\n", "<|end|>\n"),
        header="<|assistant|>\n",
        end="<|end|>",
        after="\n",
        tails=("", "{eos}"),
    ),
    Family(
        name="Zephyr, TinyLlama",
        user=("<|user|>\n", "{eos}\n"),
        system=("<|system|>\n", "{eos}\n"),
        header="<|assistant|>\n",
        end="{eos}",
        after="\n",
        tails=("", "\n"),
    ),
    Family(
        name="Plain",
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


def spans(
    family: Family, messages: Sequence[Message], rendered: str, specials: Mapping[str, str]
) -> list[Span] | None:
    """Where the assistant's turns lie in `rendered`, one span a turn; None where the family's wording does not fit."""
    written = _written(family, messages, specials)
    if written is None:
        return None
    body, found = written
    for tail in family.tails:
        whole = body + _filled(tail, specials)
        if rendered.endswith(whole) and rendered[: -len(whole)].endswith(_filled(family.header, specials)):
            before = len(rendered) - len(whole)
            return [(start + before, end + before) for start, end in found]
    return None


def _written(
    family: Family, messages: Sequence[Message], specials: Mapping[str, str]
) -> tuple[str, list[Span]] | None:
    """The conversation from the first answer's first character on, and the learned spans in it."""
    first = next(at for at, message in enumerate(messages) if message.role == "assistant")
    text, found = "", []
    for at, message in enumerate(messages[first:], start=first):
        said = message.content.strip() if family.strip else message.content
        if message.role == "assistant":
            text += _filled(family.header, specials) if at > first else ""
            lead = (
                family.lead if family.lead_of_last is None or at < len(messages) - 1 else family.lead_of_last
            )
            learned = _filled(lead, specials) + said + _filled(family.end, specials)
            found.append((len(text), len(text) + len(learned)))
            text += learned + _filled(family.after, specials)
        else:
            around = family.user if message.role == "user" else family.system
            if around is None:
                return None
            text += _filled(around[0], specials) + said + _filled(around[1], specials)
    return text, found


def _filled(wording: str, specials: Mapping[str, str]) -> str:
    return wording.replace("{bos}", specials.get("bos_token", "")).replace(
        "{eos}", specials.get("eos_token", "")
    )
