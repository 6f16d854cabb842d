"""Turns, tool calls, tools, weights: what is meant by them, and what is refused with its place."""

import pytest

from finetune_trainer import errors
from finetune_trainer.data import turns
from finetune_trainer.data.rows import Message, Place

HERE = Place("talk.jsonl", 3)
TABLE = Place("talk.parquet", 3, "row")
USER = {"role": "user", "content": "Why?"}


def read(*given, column: str = "messages", place: Place = HERE) -> list[Message]:
    return turns.turns_of(list(given), place, column)


def call(**function) -> dict:
    return {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": function}]}


@pytest.mark.parametrize(
    ("speaker", "role"),
    [
        ("human", "user"),
        ("user", "user"),
        ("gpt", "assistant"),
        ("assistant", "assistant"),
        ("bot", "assistant"),
        ("system", "system"),
        ("tool", "tool"),
        ("observation", "tool"),
    ],
)
def test_the_speakers_of_sharegpt_are_those_of_templates(speaker, role):
    assert read({"from": speaker, "value": "x"}) == [Message(role, "x")]


def test_a_call_of_sharegpt_is_a_tool_call_and_several_are_several():
    (one,) = read({"from": "function_call", "value": '{"name": "a", "arguments": {"x": 1}}'})
    (two,) = read({"from": "function_call", "value": '[{"name": "a", "arguments": "{}"}, {"name": "b"}]'})

    assert one.content == two.content == ""
    assert one.wire()["tool_calls"] == [
        {"type": "function", "function": {"name": "a", "arguments": {"x": 1}}}
    ]
    assert [made["function"] for made in two.wire()["tool_calls"]] == [
        {"name": "a", "arguments": {}},
        {"name": "b", "arguments": {}},
    ]


def test_arguments_become_objects_and_nothing_of_a_call_is_lost():
    given = {
        "role": "assistant",
        "content": "I will look.",
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "a", "arguments": '{"도시": "부산"}'}}
        ],
    }
    (message, result) = read(
        given, {"role": "tool", "tool_call_id": "c1", "name": "a", "content": {"맑음": True}}
    )

    assert message.wire() == {
        "role": "assistant",
        "content": "I will look.",
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "a", "arguments": {"도시": "부산"}}}
        ],
    }
    assert result.wire() == {"role": "tool", "content": '{"맑음": true}', "tool_call_id": "c1", "name": "a"}


def test_parquets_nulls_are_not_arguments_but_those_of_json_are():
    arguments = {"town": "Oslo", "island": None}

    assert read(call(name="a", arguments=arguments))[0].more[0][1][0]["function"]["arguments"] == arguments
    assert read(call(name="a", arguments=arguments), place=TABLE)[0].more[0][1][0]["function"][
        "arguments"
    ] == {"town": "Oslo"}


@pytest.mark.parametrize(
    ("weight", "learned"), [(0, False), (1, True), (None, True), (0.0, False), (1.0, True)]
)
@pytest.mark.parametrize("name", ["weight", "loss_weight"])
def test_a_weight_says_whether_a_turn_is_learned(name, weight, learned):
    assert read({"role": "assistant", "content": "x", name: weight})[0].learned is learned


@pytest.mark.parametrize(
    ("turn", "says"),
    [
        (
            {"role": "assistant", "content": "x", "weight": 0.5},
            r"messages\[0\]\.weight is 0\.5; it must be 1",
        ),
        ({"role": "assistant", "content": "x", "weight": "1"}, r"messages\[0\]\.weight is '1'"),
        (
            {"role": "assistant", "content": "x", "reasoning_content": "Hm."},
            r"messages\[0\]\.reasoning_content would not be learned; write it into content",
        ),
        ({"from": "gpt", "value": None}, r"messages\[0\]\.value is null; it must be a text"),
        ({"from": "narrator", "value": "x"}, r"messages\[0\]\.from is 'narrator'; use one of system, human"),
        ({"from": ["gpt"], "value": "x"}, r"messages\[0\]\.from is \['gpt'\]; use one of system, human"),
        (
            {"role": "Assistant", "content": "x"},
            r"messages\[0\]\.role is 'Assistant'; write 'assistant' instead",
        ),
        ({"from": "function_call", "value": "weather(Oslo)"}, r'value is not a tool call; write \{"name"'),
        ({"from": "function_call", "value": "[[]]"}, r"value\[0\] is not a tool call"),
        (
            call(name="a", arguments="{town: Oslo}"),
            r"arguments of messages\[0\]\.tool_calls\[0\] \(a\) are not a JSON",
        ),
        (call(name="a", arguments=[1]), r"\(a\) are not a JSON object; correct them"),
        (call(arguments={}), r"messages\[0\]\.tool_calls\[0\] is not a tool call"),
        ({**call(name="a"), "role": "user"}, r"messages\[0\] calls a tool, but only the assistant can"),
        ({**call(name="a"), "content": 3}, r"messages\[0\]\.content is a number; it must be a text"),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]},
            r"content holds a part of the type 'image_url'; only texts can be learned",
        ),
        ({"role": "user", "content": ["x"]}, r"content holds a part that is not text"),
        ({"role": "user", "content": [{"type": "text"}]}, r"content holds a part that is not text"),
        ({"role": "user", "content": {"a": 1}}, r"content is an object; it must be a text"),
    ],
)
def test_a_turn_that_means_nothing_is_told_with_its_place(turn, says):
    with pytest.raises(errors.InvalidRow, match=f"^talk.jsonl line 3: .*{says}"):
        read(turn)


FUNCTION = {"name": "weather", "description": "of a town", "parameters": {"type": "object"}}
WHOLE = {"type": "function", "function": FUNCTION}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ()),
        ("", ()),
        ([], ()),
        ("[]", ()),
        ([FUNCTION], (WHOLE,)),
        ([WHOLE], (WHOLE,)),
        ('[{"name": "weather", "description": "of a town", "parameters": {"type": "object"}}]', (WHOLE,)),
    ],
)
def test_tools_are_json_schemas_however_they_are_written(value, expected):
    assert turns.tools_of(value, HERE, "tools") == expected


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("weather", "tools is a text; it must be a list of functions, or such a list written as JSON"),
        (FUNCTION, "tools is an object"),
        (["weather"], r"tools\[0\] is not a function; write \{name, description, parameters\}"),
        ([{"function": "weather"}], r"tools\[0\] is not a function"),
    ],
)
def test_tools_that_are_none_are_told_with_their_place(value, says):
    with pytest.raises(errors.InvalidRow, match=f"^talk.jsonl line 3: {says}"):
        turns.tools_of(value, HERE, "tools")


def test_json_text_that_nests_too_deep_is_a_text():
    with pytest.raises(errors.InvalidRow, match="messages is a text; it must be a list"):
        turns.turns_of("[" * 100_000, HERE, "messages")


def test_empty_keys_beside_the_words_say_nothing():
    turn = {
        "role": "assistant",
        "content": "x",
        "reasoning_content": None,
        "tool_calls": [],
        "refusal": None,
        "name": "",
    }

    assert read(turn) == [Message("assistant", "x")]
