"""Tool calls are the assistant's: learned as the template writes them, with the end of their turn; what tools answer is not."""
# ruff: noqa: RUF001 - DeepSeek's tokens are written with fullwidth bars

import dataclasses
import json

import pytest

from chat_families import BY_NAME, Case, shipped
from finetune_trainer import errors
from finetune_trainer.data.rows import Conversation, Example, Message, Place
from finetune_trainer.data.tokenise import IGNORED, Tokeniser

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a day.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "Where."},
                "day": {"type": "integer", "description": "In how many days."},
            },
            "required": ["city"],
        },
    },
}
ARGUMENTS = {"city": "서울", "day": 3}
HERMES = '<tool_call>\n{"name": "weather", "arguments": {"city": "서울", "day": 3}}\n</tool_call><|im_end|>'


def call(arguments=ARGUMENTS, name="weather", number="abcdefghi"):
    return {"id": number, "type": "function", "function": {"name": name, "arguments": arguments}}


def conversation(calls, content="", *, reply="It is 21 degrees."):
    """A question, an answer, another question, a call, the tool's answer, the assistant's, a last question and its answer."""
    return Conversation(
        (
            Message("user", "Who are you?"),
            Message("assistant", "A weather service."),
            Message("user", "How warm will it be in Seoul?"),
            Message("assistant", content, more=(("tool_calls", calls),)),
            Message("tool", '{"degrees": 21}', more=(("tool_call_id", "abcdefghi"), ("name", "weather"))),
            Message("assistant", reply),
            Message("user", "Thanks."),
            Message("assistant", "You are welcome."),
        ),
        7,
        (TOOL,),
    )


def learned(case: Case, told: Conversation) -> str:
    (one,) = Tokeniser(case.tokenizer, case.renderer()).encode([Example(Place("a", 1), told, "Assistant")])
    text = case.said(one.input_ids)
    assert "weather" in text
    assert "degrees" in text
    return case.said([label for label in one.labels if label != IGNORED])


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("qwen2.5", HERMES),
        ("qwen3", HERMES),
        ("qwen3-2507", HERMES),
        ("llama3.1", '{"name": "weather", "parameters": {"city": "서울", "day": 3}}<|eot_id|>'),
        ("llama3.2", '{"name": "weather", "parameters": {"city": "서울", "day": 3}}<|eot_id|>'),
        (
            "mistral-tekken",
            '[TOOL_CALLS][{"name": "weather", "arguments": {"city": "서울", "day": 3}, "id": "abcdefghi"}]</s>',
        ),
        (
            "gpt-oss",
            ' to=functions.weather<|channel|>commentary json<|message|>{"city": "서울", "day": 3}<|call|>',
        ),
        ("gemma4", '<|tool_call>call:weather{city:<|"|>서울<|"|>,day:3}<tool_call|>'),
    ],
)
@pytest.mark.parametrize("as_text", [False, True], ids=["data", "text"])
def test_a_call_is_learned_as_the_template_writes_it(name, written, as_text):
    case = BY_NAME[name]
    arguments = json.dumps(ARGUMENTS, ensure_ascii=False) if as_text else ARGUMENTS

    found = learned(case, conversation([call(arguments)]))

    said = [
        case.learned("A weather service.", last=False),
        written,
        case.learned("It is 21 degrees.", last=False),
        case.learned("You are welcome.", last=True),
    ]
    assert found == "".join(said)


def test_words_and_several_calls_of_one_turn_are_learned():
    case = BY_NAME["qwen2.5"]
    calls = [call({"city": "A"}), call({"city": "B"}, name="weather")]

    found = learned(case, conversation(calls, "Let me look."))

    both = "".join(
        f'\n<tool_call>\n{{"name": "weather", "arguments": {{"city": "{city}"}}}}\n</tool_call>'
        for city in "AB"
    )
    assert f"A weather service.<|im_end|>Let me look.{both}<|im_end|>It is 21 degrees.<|im_end|>" in found


def test_arguments_are_text_for_templates_that_want_text():
    case = dataclasses.replace(
        BY_NAME["deepseek-v3"],
        special=(*BY_NAME["deepseek-v3"].special, "<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>",
                 "<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>"),
    )  # fmt: skip

    found = learned(case, dataclasses.replace(conversation([call()]), tools=()))

    assert (
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n```json\n"
        '{"city": "서울", "day": 3}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜><｜end▁of▁sentence｜>It is 21 degrees.'
    ) in found


def test_a_row_that_needs_its_arguments_as_text_changes_no_other():
    """Which rows a process has seen before must not matter: each is tried with data first."""
    wants_text = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{% for c in m.tool_calls or () %}"
        "{{ c.function.name }}{% if c.function.arguments is mapping and c.function.arguments.day > 5 %}{{ 1 + '' }}{% endif %}"
        "{{ c.function.arguments | tojson }}{% endfor %}<|im_end|>\n{% endfor %}"
    )
    renderer = dataclasses.replace(BY_NAME["chatml"], template=wants_text).renderer()
    usual, other = (dataclasses.replace(conversation([call({"day": day})]), tools=()) for day in (3, 6))

    before = renderer.render(usual, Place("a", 1)).text
    refused = renderer.render(other, Place("a", 2)).text

    assert renderer.render(usual, Place("a", 3)).text == before
    assert 'weather{"day": 3}' in before
    assert 'weather"{\\"day\\": 6}"' in refused
    assert "weather" in renderer.prompt(other.messages[:5])


def test_a_call_of_weight_0_is_shown_but_not_learned():
    case = BY_NAME["qwen2.5"]
    told = conversation([call()])
    turns = [dataclasses.replace(turn, learned=at != 3) for at, turn in enumerate(told.messages)]

    found = learned(case, dataclasses.replace(told, messages=tuple(turns)))

    assert found == "A weather service.<|im_end|>It is 21 degrees.<|im_end|>You are welcome.<|im_end|>"


def test_a_command_within_the_arguments_neither_ends_the_turn_nor_is_one():
    case = BY_NAME["qwen2.5"]

    found = learned(case, conversation([call({"city": "a<|im_end|>b"})]))

    assert '{"name": "weather", "arguments": {"city": "a<|im_end|>b"}}\n</tool_call><|im_end|>' in found
    tokenizer = case.tokenizer
    (one,) = Tokeniser(tokenizer, case.renderer()).encode(
        [Example(Place("a", 1), conversation([call({"city": "a<|im_end|>b"})]), "Assistant")]
    )
    ends = one.labels.count(tokenizer.convert_tokens_to_ids("<|im_end|>"))
    assert ends == 4


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("smollm2", r"a line 1: the chat template leaves out the tool call of messages\[3\]"),
        ("llama3", r"a line 1: the chat template leaves out the tool call of messages\[3\]"),
        ("granite", r"a line 1: the chat template leaves out the tool call of messages\[3\]"),
    ],
)
def test_what_a_template_leaves_out_is_told(name, says):
    with pytest.raises(errors.InvalidChatTemplate, match=says):
        learned(BY_NAME[name], conversation([call()]))


def test_tools_that_a_template_does_not_know_are_told():
    told = dataclasses.replace(
        conversation([call()]), messages=conversation([call()]).messages[:2], completion_from=1
    )

    with pytest.raises(
        errors.InvalidChatTemplate, match=r"leaves out the tools; set spec\.model\.chatTemplate"
    ):
        learned(BY_NAME["smollm2"], told)
    with pytest.raises(errors.InvalidChatTemplate, match="leaves out the tools"):
        learned(BY_NAME["deepseek-v3"], conversation([call()]))


def test_words_beside_a_call_that_a_template_leaves_out_are_told():
    """Mistral's template writes a call or words, never both."""
    with pytest.raises(errors.InvalidChatTemplate, match=r"leaves out the words of messages\[3\]"):
        learned(BY_NAME["mistral-tekken"], conversation([call()], "Let me look into the tables."))


def test_a_template_that_refuses_tools_is_told():
    with pytest.raises(errors.InvalidRow, match=r"a line 1: the chat template refuses this conversation"):
        learned(BY_NAME["gemma"], conversation([call()]))


# Thoughts


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("qwen3", ["Eight.<|im_end|>", "<think>\nOdd ones.\n</think>\n\nNine.<|im_end|>"]),
        ("qwen3.5-think", ["Eight.<|im_end|>", "Odd ones.\n</think>\n\nNine.<|im_end|>"]),
        ("qwen3.5-nothink", ["Eight.<|im_end|>", "Odd ones.\n</think>\n\nNine.<|im_end|>"]),
        ("llama3.1", ["<think>\nEven ones.\n</think>\n\nEight.<|eot_id|>", "<think>\nOdd ones.\n</think>\n\nNine.<|eot_id|>"]),
        ("chatml", ["<think>\nEven ones.\n</think>\n\nEight.<|im_end|>", "<think>\nOdd ones.\n</think>\n\nNine.<|im_end|>"]),
    ],
)  # fmt: skip
def test_a_thought_is_learned_where_the_template_keeps_it(name, written):
    case = BY_NAME[name]
    turns = (
        Message("user", "Count."),
        Message("assistant", "<think>\nEven ones.\n</think>\n\nEight."),
        Message("user", "And then?"),
        Message("assistant", "<think>\nOdd ones.\n</think>\n\nNine."),
    )
    (one,) = Tokeniser(case.tokenizer, case.renderer()).encode(
        [Example(Place("a", 1), Conversation(turns, 3), "Assistant")]
    )

    assert case.said([label for label in one.labels if label != IGNORED]) == "".join(written)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("deepseek-v3", Message("assistant", "<think>\nEven ones.\n</think>\n\nEight.")),
        ("chatml", Message("assistant", "Eight.", more=(("reasoning_content", "Even ones."),))),
    ],
    ids=["cut off", "field unknown"],
)
def test_a_thought_of_the_last_answer_that_a_template_leaves_out_is_told(name, answer):
    """Whoever has thoughts in the data wants them learned; DeepSeek's template drops them from every answer."""
    with pytest.raises(
        errors.InvalidChatTemplate,
        match=r"a line 1: the chat template leaves out the thought of messages\[1\]",
    ):
        learned(BY_NAME[name], Conversation((Message("user", "Count the weather."), answer), 1))


def test_reasoning_in_a_field_of_its_own_is_learned():
    case = BY_NAME["qwen3"]
    turns = (
        Message("user", "Count."),
        Message("assistant", "Eight.", more=(("reasoning_content", "Even ones."),)),
    )
    (one,) = Tokeniser(case.tokenizer, case.renderer()).encode(
        [Example(Place("a", 1), Conversation(turns, 1), "Assistant")]
    )

    found = case.said([label for label in one.labels if label != IGNORED])
    assert found == "<think>\nEven ones.\n</think>\n\nEight.<|im_end|>"


def test_a_prompt_knows_the_tools():
    renderer = BY_NAME["qwen2.5"].renderer()

    assert "weather" in renderer.prompt((Message("user", "Hello"),), (TOOL,))
    assert "strftime_now" not in shipped("qwen2_5")
