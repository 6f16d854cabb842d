"""What is learned, read back: the supervised tokens of a conversation are the assistant's words and the ends of turn."""
# ruff: noqa: RUF001 - DeepSeek's tokens are written with fullwidth bars

import copy
import functools
from dataclasses import dataclass
from pathlib import Path

import pytest
import trl
from transformers import AutoTokenizer

import trainer_tiny_model
from finetune_trainer import errors
from finetune_trainer.data.chat import Renderer
from finetune_trainer.data.families import PLAIN_TEMPLATE
from finetune_trainer.data.rows import Continuation, Conversation, Example, Message, Place, Text
from finetune_trainer.data.tokenise import IGNORED, Tokeniser

SHIPPED = Path(trl.__file__).parent / "chat_templates"
"""Original templates of many models, as TRL compares them byte by byte."""

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


def mistral(before: str, behind: str, lead: str, after: str) -> str:
    asked = f"{{{{ '{before}' + message['content'] + '{behind}' }}}}"
    answered = f"{{{{ '{lead}' + message['content'] + eos_token + '{after}' }}}}"
    turns = f"{{% if message['role'] == 'user' %}}{asked}{{% else %}}{answered}{{% endif %}}"
    return f"{{{{ bos_token }}}}{{% for message in messages %}}{turns}{{% endfor %}}"


@dataclass(frozen=True)
class Case:
    """A family: its template, and how it ends a turn."""

    name: str
    template: str
    end: str
    lead: str = ""
    last_lead: str = ""
    system: bool = True


def shipped(name: str) -> str:
    return (SHIPPED / f"{name}.jinja").read_text()


CASES = [
    Case("chatml", trainer_tiny_model.CHAT_TEMPLATE, "<|im_end|>"),
    Case("smollm2", SMOLLM2, "<|im_end|>"),
    Case("qwen2.5", shipped("qwen2_5"), "<|im_end|>"),
    Case("qwen3", shipped("qwen3"), "<|im_end|>", last_lead="<think>\n\n</think>\n\n"),
    Case("qwen3-2507", shipped("qwen3_instruct_2507"), "<|im_end|>"),
    Case("llama3", shipped("llama3"), "<|eot_id|>"),
    Case("llama3.1", shipped("llama3_1"), "<|eot_id|>"),
    Case("llama3.2", shipped("llama3_2"), "<|eot_id|>"),
    Case("llama2", LLAMA2, " </s>", lead=" "),
    Case("mistral-0.1", mistral("[INST] ", " [/INST]", "", " "), "</s>", system=False),
    Case("mistral-0.2", mistral(" [INST] ", " [/INST]", " ", ""), "</s>", lead=" ", system=False),
    Case("mistral-0.3", mistral("[INST] ", "[/INST]", " ", ""), "</s>", lead=" ", system=False),
    Case("mistral-nemo", mistral("[INST]", "[/INST]", "", ""), "</s>", system=False),
    Case("gemma", shipped("gemma"), "<end_of_turn>", system=False),
    Case("gemma3", shipped("gemma3"), "<end_of_turn>"),
    Case("phi3", shipped("phi3"), "<|end|>"),
    Case("phi3.5", shipped("phi3_5"), "<|end|>"),
    Case("zephyr-tinyllama", ZEPHYR, "</s>"),
    Case("plain", PLAIN_TEMPLATE, "</s>"),
    Case("qwen3.5", shipped("qwen3_5_nothink"), "<|im_end|>"),  # its prompt holds the empty thought
    # Templates that mark generations themselves, and some that no family of ours writes:
    Case("marked", shipped("llama3_training"), "<|eot_id|>"),
    Case("deepseek-v3", shipped("deepseekv3"), "<｜end▁of▁sentence｜>"),
    Case("gemma4", shipped("gemma4"), "<turn|>"),
]  # fmt: skip

TURNS = (
    Message("user", "What is the capital of France?"),
    Message("assistant", "Paris.\n\nIt lies on the Seine: a river."),
    Message("user", "And of Korea? assistant, 한국어로"),
    Message("assistant", "서울 🙂"),
)
SYSTEM = Message("system", "You answer briefly.")


@functools.cache
def loaded():
    return AutoTokenizer.from_pretrained(trainer_tiny_model.folder())


def tokenizer(case: Case):
    made = copy.deepcopy(loaded())
    special = [
        "<s>",
        "</s>",
        "[INST]",
        "[/INST]",
        case.end.strip(),
        "<|user|>",
        "<|assistant|>",
        "<|endoftext|>",
    ]
    made.add_special_tokens({"additional_special_tokens": special, "bos_token": "<s>", "eos_token": "</s>"})
    return made


def renderer(template: str, words) -> Renderer:
    specials = {"bos_token": words.bos_token, "eos_token": words.eos_token}
    return Renderer(template, specials, end_tokens=words.all_special_tokens)


def learned(words, encoded) -> str:
    return words.decode([label for label in encoded.labels if label != IGNORED])


@pytest.mark.parametrize("with_system", [False, True], ids=["bare", "system"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_assistants_words_and_ends_of_turn_are_learned_and_nothing_else(case, with_system):
    if with_system and not case.system:
        pytest.skip("the template refuses system turns")
    words = tokenizer(case)
    rendering = renderer(case.template, words)
    messages = (SYSTEM, *TURNS) if with_system else TURNS
    conversation = Conversation(messages, len(messages) - 1)

    (encoded,) = Tokeniser(words, rendering).encode([Example(Place("a", 1), conversation, "Assistant")])

    first = case.lead + TURNS[1].content + case.end
    last = (case.last_lead or case.lead) + TURNS[3].content + case.end
    assert learned(words, encoded) == first + last
    assert words.decode(encoded.input_ids) == rendering.render(conversation, Place("a", 1)).text
    assert rendering.endless == 0


def test_only_the_last_turn_is_learned_where_the_completion_is_asked_for():
    words = tokenizer(CASES[0])
    example = Example(Place("a", 1), Conversation(TURNS, 3), "Completion")

    (encoded,) = Tokeniser(words, renderer(CASES[0].template, words)).encode([example])

    assert learned(words, encoded) == "서울 🙂<|im_end|>"


def test_everything_is_learned_where_all_is_asked_for():
    words = tokenizer(CASES[0])
    example = Example(Place("a", 1), Conversation(TURNS, 3), "All")

    (encoded,) = Tokeniser(words, renderer(CASES[0].template, words)).encode([example])

    assert encoded.labels == encoded.input_ids


def test_a_question_after_the_last_answer_is_not_learned():
    words = tokenizer(CASES[0])
    example = Example(Place("a", 1), Conversation((*TURNS, Message("user", "Thanks")), 3), "Assistant")

    (encoded,) = Tokeniser(words, renderer(CASES[0].template, words)).encode([example])

    assert learned(words, encoded).endswith("서울 🙂<|im_end|>")
    assert words.decode(encoded.input_ids).endswith("Thanks<|im_end|>\n")


def test_an_answer_that_looks_like_the_header_is_found_where_it_is():
    words = tokenizer(CASES[2])
    turns = (Message("user", "assistant"), Message("assistant", "assistant"))

    (encoded,) = Tokeniser(words, renderer(shipped("qwen3_5_nothink"), words)).encode(
        [Example(Place("a", 1), Conversation(turns, 1), "Assistant")]
    )

    assert learned(words, encoded).strip().startswith("assistant")
    assert encoded.supervised < 5


def test_a_template_without_an_end_of_turn_gets_one():
    words = tokenizer(CASES[0])
    rendering = renderer("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}", words)

    (encoded,) = Tokeniser(words, rendering).encode(
        [Example(Place("a", 1), Conversation(TURNS[:2], 1), "Assistant")]
    )

    assert learned(words, encoded).endswith("Seine: a river.</s>")
    assert rendering.endless == 1


@pytest.mark.parametrize(
    ("template", "turns", "error", "says"),
    [
        (shipped("gemma"), (SYSTEM, *TURNS), errors.InvalidRow, r"a line 1: .*System role not supported"),
        (LLAMA2, (TURNS[0], TURNS[0], TURNS[1]), errors.InvalidRow, "roles must alternate"),
        ("{{ nothing.here }}", TURNS, errors.InvalidRow, "nothing"),
        ("{% for %}", TURNS, errors.InvalidRow, "chat template"),
        ("always the same", TURNS, errors.InvalidChatTemplate, r"leaves out the words of messages\[0\]"),
    ],
)
def test_a_template_that_does_not_fit_the_row_is_told(template, turns, error, says):
    with pytest.raises(error, match=says):
        renderer(template, tokenizer(CASES[0])).render(Conversation(turns, len(turns) - 1), Place("a", 1))


def test_plain_text_is_learned_whole_and_ends():
    words = tokenizer(CASES[0])

    (encoded,) = Tokeniser(words, renderer(PLAIN_TEMPLATE, words)).encode(
        [Example(Place("a", 1), Text("Once."), "All")]
    )

    assert words.decode(encoded.input_ids) == "Once.</s>"
    assert encoded.labels == encoded.input_ids


def test_a_completion_keeps_all_its_tokens_where_the_tokenizer_would_merge_over_the_border():
    words = tokenizer(CASES[0])
    whole = words("return")["input_ids"]
    example = Example(Place("a", 1), Continuation("ret", "urn"), "Completion")

    (encoded,) = Tokeniser(words, renderer(PLAIN_TEMPLATE, words)).encode([example])

    assert len(whole) == 1
    assert learned(words, encoded) == "urn</s>"
    assert words.decode(encoded.input_ids) == "return</s>"


@pytest.mark.parametrize(("loss_on", "says"), [
    ("Assistant", "서울 🙂<|im_end|>"),
    ("Completion", "서울 🙂<|im_end|>"),
    ("All", None),
])  # fmt: skip
def test_a_turn_of_weight_0_is_shown_but_not_learned(loss_on, says):
    words = tokenizer(CASES[0])
    asked, answer, *more = TURNS
    turns = (asked, Message("assistant", answer.content, learned=False), *more)
    example = Example(Place("a", 1), Conversation(turns, 1), loss_on)

    (encoded,) = Tokeniser(words, renderer(CASES[0].template, words)).encode([example])

    whole = words.decode(encoded.input_ids)
    assert answer.content in whole
    assert learned(words, encoded) == (says or whole.replace(answer.content + "<|im_end|>", ""))
