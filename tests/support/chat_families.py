"""Chat templates of the families people tune, each with a tokenizer of its kind and with what it makes of a turn.

The originals are read from the installed TRL, which compares them byte by byte. Where it has none, the documented wording is
written here, in our own words.
"""
# ruff: noqa: RUF001 - DeepSeek's tokens are written with fullwidth bars

import functools
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trl

import chat_tokenizers
import trainer_tiny_model
from finetune_trainer.data.chat import Renderer
from finetune_trainer.data.families import PLAIN_TEMPLATE
from finetune_trainer.data.rows import Conversation, Example, LossOn, Message, Place
from finetune_trainer.data.tokenise import IGNORED, Encoded, Tokeniser

SHIPPED = Path(trl.__file__).parent / "chat_templates"

SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a "
    "helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] "
    "+ '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\n' }}{% endif %}"
)
ZEPHYR = (
    "{% for message in messages %}\n{% if message['role'] == 'user' %}\n{{ '<|user|>\n' + message['content'] + eos_token }}\n"
    "{% elif message['role'] == 'system' %}\n{{ '<|system|>\n' + message['content'] + eos_token }}\n"
    "{% elif message['role'] == 'assistant' %}\n{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n{% endif %}\n"
    "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}"
)
LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}{% set said = '<<SYS>>\n' + messages[0]['content'] + "
    "'\n<</SYS>>\n\n' %}{% else %}{% set rest = messages %}{% set said = '' %}{% endif %}{% for message in rest %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% set content = said + message['content'] if loop.index0 == 0 else message['content'] %}{% if message['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% else %}{{ ' ' + content.strip() + ' ' + eos_token }}"
    "{% endif %}{% endfor %}"
)
TEKKEN = """\
{{- bos_token }}
{%- set asked = messages | selectattr('role', 'equalto', 'user') | list %}
{%- for message in messages %}
    {%- if message.role == 'system' %}
        {{- '[SYSTEM_PROMPT]' + message.content + '[/SYSTEM_PROMPT]' }}
    {%- elif message.role == 'user' %}
        {%- if tools and message == asked[-1] %}
            {{- '[AVAILABLE_TOOLS]' + (tools | tojson) + '[/AVAILABLE_TOOLS]' }}
        {%- endif %}
        {{- '[INST]' + message.content + '[/INST]' }}
    {%- elif message.tool_calls %}
        {{- '[TOOL_CALLS][' }}
        {%- for call in message.tool_calls %}
            {%- if call.id | length != 9 %}{{ raise_exception('an id has 9 characters') }}{% endif %}
            {{- (call.function | tojson)[:-1] + ', "id": "' + call.id + '"}' + ('' if loop.last else ', ') }}
        {%- endfor %}
        {{- ']' + eos_token }}
    {%- elif message.role == 'assistant' %}
        {{- message.content + eos_token }}
    {%- else %}
        {{- '[TOOL_RESULTS]{"content": ' + message.content + ', "call_id": "' + message.tool_call_id + '"}[/TOOL_RESULTS]' }}
    {%- endif %}
{%- endfor %}
"""
GRANITE = (
    "{% for message in messages %}{{ '<|start_of_role|>' + message.role + '<|end_of_role|>' + message.content + "
    "'<|end_of_text|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_of_role|>assistant<|end_of_role|>' }}{% endif %}"
)
EXAONE = (
    "{% for message in messages %}{% if loop.first and message.role != 'system' %}{{ '[|system|][|endofturn|]\n' }}{% endif %}"
    "{{ '[|' + message.role + '|]' + message.content }}{{ '\n' if message.role == 'user' else '[|endofturn|]\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '[|assistant|]' }}{% endif %}"
)
OLMO2 = (
    "{{ bos_token }}{% for message in messages %}{{ '<|' + message.role + '|>\n' + message.content }}"
    "{% if message.role == 'assistant' %}{{ eos_token }}{% if not loop.last %}{{ '\n' }}{% endif %}{% else %}{{ '\n' }}{% endif %}"
    "{% if loop.last and add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}{% endfor %}"
)
PHI4 = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '<|im_sep|>' + message.content + '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %}"
)
PHI4_MINI = (
    "{% for message in messages %}{{ '<|' + message.role + '|>' + message.content + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% else %}{{ eos_token }}{% endif %}"
)
VICUNA = (
    "{% for message in messages %}{% if message.role == 'system' %}{{ message.content + ' ' }}"
    "{% elif message.role == 'user' %}{{ 'USER: ' + message.content + ' ' }}"
    "{% else %}{{ 'ASSISTANT: ' + message.content + eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
DEEPSEEK_V2 = (
    "{{ bos_token }}{% for message in messages %}{% if message.role == 'user' %}{{ 'User: ' + message.content + '\n\n' }}"
    "{% elif message.role == 'assistant' %}{{ 'Assistant: ' + message.content + eos_token }}"
    "{% else %}{{ message.content + '\n\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)


def mistral(before: str, behind: str, lead: str, after: str) -> str:
    """One of Mistral's wordings, which differ in spaces only."""
    asked = f"{{{{ '{before}' + message['content'] + '{behind}' }}}}"
    answered = f"{{{{ '{lead}' + message['content'] + eos_token + '{after}' }}}}"
    turns = f"{{% if message['role'] == 'user' %}}{asked}{{% else %}}{answered}{{% endif %}}"
    return f"{{{{ bos_token }}}}{{% for message in messages %}}{turns}{{% endfor %}}"


def shipped(name: str) -> str:
    """An original template."""
    return (SHIPPED / f"{name}.jinja").read_text()


@dataclass(frozen=True, kw_only=True)
class Case:
    """A template, its tokenizer, and what of a turn is learned: lead + what is said + end."""

    name: str
    family: str | None
    """In `families.FAMILIES`; None: found by marks."""
    template: str
    kind: chat_tokenizers.Kind
    special: tuple[str, ...]
    end: str
    prefix: str = ""
    """A space that the tokenizer itself puts into the first token behind a special one, as those of Llama 2's kind do."""
    lead: str = ""
    last_lead: str | None = None
    last_end: str | None = None
    bos: str = ""
    eos: str = ""
    system: bool = True
    strip: bool = False
    last_strips: str = ""
    """What is taken off the beginning of an answer that ends the conversation."""
    swallow: bool = False

    def learned(self, said: str, *, last: bool) -> str:
        """What of an answer is learned."""
        lead = self.last_lead if last and self.last_lead is not None else self.lead
        end = self.last_end if last and self.last_end is not None else self.end
        said = (
            said.strip()
            if self.strip
            else said.lstrip(self.last_strips)
            if last and self.last_strips
            else said
        )
        return self.prefix + lead + said + end

    @functools.cached_property
    def tokenizer(self) -> Any:
        """Made once for each family."""
        eos = self.eos or self.end.strip()
        return chat_tokenizers.made(self.kind, self.special, bos=self.bos, eos=eos, swallow=self.swallow)

    def renderer(self) -> Renderer:
        """As inspection makes it."""
        words = self.tokenizer
        specials = {name: token for name, token in words.special_tokens_map.items() if isinstance(token, str)}
        tokens = [str(token) for token in words.added_tokens_decoder.values() if token.special]
        return Renderer(self.template, specials, end_tokens=tokens)

    def said(self, ids: list[int]) -> str:
        """The characters of tokens."""
        return chat_tokenizers.said(self.tokenizer, ids)


CHATML = {
    "special": ("<|im_start|>", "<|im_end|>", "<|endoftext|>"),
    "end": "<|im_end|>",
    "kind": "bytes-nfc",
}
LLAMA3 = {
    "special": ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|python_tag|>", "<|end_of_text|>"),
    "end": "<|eot_id|>", "kind": "bytes", "bos": "<|begin_of_text|>", "strip": True, "family": "Llama 3",
}  # fmt: skip
INST = {"special": ("[INST]", "[/INST]"), "end": "</s>", "bos": "<s>", "system": False}
GEMMA = {
    "special": ("<start_of_turn>", "<end_of_turn>"), "end": "<end_of_turn>", "kind": "metaspace-bare",
    "bos": "<bos>", "eos": "<eos>", "strip": True, "family": "Gemma",
}  # fmt: skip
GEMMA4 = {
    "special": ("<|turn>", "<turn|>", "<|tool_call>", "<tool_call|>"), "end": "<turn|>", "kind": "metaspace-bare",
    "bos": "<bos>", "eos": "<eos>", "strip": True, "family": "Gemma 4",
}  # fmt: skip
PHI3 = {
    "special": ("<|user|>", "<|assistant|>", "<|system|>", "<|end|>"), "end": "<|end|>", "bos": "<s>",
    "eos": "<|endoftext|>",
}  # fmt: skip
DEEPSEEK = {
    "special": ("<｜User｜>", "<｜Assistant｜>"), "end": "<｜end▁of▁sentence｜>", "bos": "<｜begin▁of▁sentence｜>",
    "kind": "bytes",
}  # fmt: skip
HARMONY = ("<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|return|>", "<|call|>")
COMMAND = (
    "<|START_OF_TURN_TOKEN|>",
    "<|END_OF_TURN_TOKEN|>",
    "<|USER_TOKEN|>",
    "<|CHATBOT_TOKEN|>",
    "<|SYSTEM_TOKEN|>",
)
THOUGHT = "<think>\n\n</think>\n\n"

CASES: list[Case] = [
    Case(name="chatml", family="ChatML", template=trainer_tiny_model.CHAT_TEMPLATE, **CHATML),
    Case(name="smollm2", family="ChatML", template=SMOLLM2, **CHATML),
    Case(name="qwen2.5", family="ChatML", template=shipped("qwen2_5"), **CHATML),
    Case(name="qwen3-2507", family="ChatML", template=shipped("qwen3_instruct_2507"), **CHATML),
    Case(name="lfm2", family="ChatML", template=shipped("lfm2_v2"), **CHATML),
    Case(name="qwen3", family="Qwen 3", template=shipped("qwen3"), last_lead=THOUGHT, last_strips="\n", **CHATML),
    # Its prompt holds the whole thought, or the beginning of one:
    Case(name="qwen3.5-nothink", family="Qwen 3", template=shipped("qwen3_5_nothink"), strip=True, **CHATML),
    Case(name="qwen3.5-think", family="Qwen 3", template=shipped("qwen3_5_think"), last_lead="\n</think>\n\n",
         strip=True, **CHATML),
    Case(name="llama3", template=shipped("llama3"), **LLAMA3),
    Case(name="llama3.1", template=shipped("llama3_1"), **LLAMA3),
    Case(name="llama3.2", template=shipped("llama3_2"), **LLAMA3),
    Case(name="llama2", family="Llama 2", template=LLAMA2, kind="metaspace-legacy", special=(), end=" </s>", lead=" ",
         bos="<s>", strip=True),
    Case(name="mistral-0.1", family="Mistral 0.1", template=mistral("[INST] ", " [/INST]", "", " "), kind="metaspace-legacy",
         prefix=" ", **INST),
    Case(name="mistral-0.1-close", family="Mistral 0.1, close", template=mistral("[INST] ", " [/INST]", "", ""),
         kind="metaspace-first", **INST),
    Case(name="mistral-0.2", family="Mistral 0.2", template=mistral(" [INST] ", " [/INST]", " ", ""), lead=" ",
         kind="metaspace-first", **INST),
    Case(name="mistral-0.3", family="Mistral 0.3", template=mistral("[INST] ", "[/INST]", " ", ""), lead=" ",
         kind="metaspace-first", **INST),
    Case(name="mistral-tekken", family="Mistral Tekken", template=TEKKEN, kind="bytes", bos="<s>", end="</s>",
         special=("[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CALLS]", "[TOOL_RESULTS]")),
    Case(name="gemma", template=shipped("gemma"), system=False, **GEMMA),
    Case(name="gemma3", template=shipped("gemma3"), **GEMMA),
    Case(name="gemma4", template=shipped("gemma4"), **GEMMA4),
    Case(name="phi3", family="Phi 3", template=shipped("phi3"), kind="metaspace-legacy", swallow=True, prefix=" ", **PHI3),
    Case(name="phi3.5", family="Phi 3", template=shipped("phi3_5"), kind="metaspace-legacy", **PHI3),
    Case(name="phi4-mini", family="Phi 4 mini", template=PHI4_MINI, kind="bytes", **PHI3),
    Case(name="phi4", family="Phi 4", template=PHI4, kind="bytes", end="<|im_end|>", special=("<|im_start|>", "<|im_sep|>")),
    Case(name="zephyr-tinyllama", family="Zephyr", template=ZEPHYR, kind="metaspace-legacy", special=(), end="</s>", bos="<s>"),
    Case(name="olmo2-falcon3", family="OLMo 2", template=OLMO2, kind="bytes", special=(), end="<|endoftext|>", bos="<|bos|>"),
    Case(name="granite", family="Granite", template=GRANITE, kind="bytes", end="<|end_of_text|>",
         special=("<|start_of_role|>", "<|end_of_role|>")),
    Case(name="exaone", family="EXAONE", template=EXAONE, kind="bytes", end="[|endofturn|]",
         special=("[|system|]", "[|user|]", "[|assistant|]")),
    Case(name="command-r", family="Command R", template=shipped("cohere"), kind="bytes", special=COMMAND, bos="<BOS_TOKEN>",
         end="<|END_OF_TURN_TOKEN|>", strip=True),
    Case(name="deepseek-v3", family="DeepSeek", template=shipped("deepseekv3"), **DEEPSEEK),
    Case(name="gpt-oss", family="gpt-oss", template=shipped("gptoss"), kind="bytes", special=HARMONY, end="<|end|>",
         last_end="<|return|>", lead="<|channel|>final<|message|>", eos="<|return|>"),
    Case(name="plain", family="Plain", template=PLAIN_TEMPLATE, kind="metaspace-first", special=(), end="</s>", bos="<s>"),
    # Templates that mark generations themselves, and some that no family of ours writes:
    Case(name="marked", template=shipped("llama3_training"), **{**LLAMA3, "family": None}),
    Case(name="marked-in-two", family=None, template=shipped("phi3_training"), kind="bytes", **{**PHI3, "end": "<|end|>\n",
         "last_end": "<|end|>\n<|endoftext|>"}),
    Case(name="deepseek-v2", family=None, template=DEEPSEEK_V2, kind="bytes", special=(), end="<|eos|>", bos="<|bos|>", lead=" "),
    Case(name="vicuna", family=None, template=VICUNA, kind="metaspace-legacy", special=(), end="</s>", bos="<s>", lead=" "),
    Case(name="cohere2", family=None, template=shipped("cohere2"), kind="bytes", bos="<BOS_TOKEN>", end="<|END_RESPONSE|>",
         special=(*COMMAND, "<|START_RESPONSE|>", "<|END_RESPONSE|>"), eos="<|END_OF_TURN_TOKEN|>"),
]  # fmt: skip
BY_NAME = {case.name: case for case in CASES}


def encoded(
    case: Case, turns: Sequence[Message], loss_on: LossOn = "Assistant", *, tools: tuple[Any, ...] = ()
) -> Encoded:
    """A conversation as the model trains on it; its last turn is the completion."""
    example = Example(Place("a", 1), Conversation(tuple(turns), len(turns) - 1, tools), loss_on)
    (one,) = Tokeniser(case.tokenizer, case.renderer()).encode([example])
    return one


def learned(case: Case, one: Encoded) -> str:
    """The characters of the supervised tokens."""
    return case.said([label for label in one.labels if label != IGNORED])


def answers(case: Case, turns: Sequence[Message]) -> str:
    """What of `turns` is to be learned."""
    last = len(turns) - 1
    said = [
        case.learned(turn.content, last=at == last)
        for at, turn in enumerate(turns)
        if turn.role == "assistant" and turn.learned
    ]
    return composed(case, "".join(said))


def composed(case: Case, text: str) -> str:
    """`text` as the tokenizer reads it: Qwen's composes letters and their accents, SentencePiece has a sign for the space."""
    if case.kind == "bytes-nfc":
        return unicodedata.normalize("NFC", text)
    return text.replace("▁", " ") if case.kind.startswith("metaspace") else text
