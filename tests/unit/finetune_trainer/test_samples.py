"""What base and tuned model are asked: the spec's prompts, then the first held-out rows with their own answers."""

from finetune_trainer.data import samples
from finetune_trainer.data.rows import (
    Continuation,
    Conversation,
    Example,
    Feedback,
    Message,
    Place,
    Preference,
    Text,
)

HERE = Place("rows.jsonl", 1)


class Words:
    """Each character is a token."""

    def __call__(self, text: str, *, add_special_tokens: bool) -> dict[str, list[int]]:
        return {"input_ids": ([1] if add_special_tokens else []) + [ord(letter) for letter in text]}


class Renderer:
    def prompt(self, messages: list[Message], tools: tuple = ()) -> str:
        told = "".join(f"<{tool['function']['name']}>" for tool in tools)
        return told + "".join(f"<{one.role}>{one.content}" for one in messages) + "<assistant>"


def prompts(*, chat: bool) -> samples.Prompts:
    return samples.Prompts(tokenizer=Words(), renderer=Renderer(), chat=chat)


def talk(*turns: tuple[str, str]) -> Example:
    return Example(HERE, Conversation(tuple(Message(*turn) for turn in turns), 0), "Assistant")


def text_of(sample: samples.Sample) -> str:
    return "".join(chr(token) for token in sample.input_ids)


def test_a_prompt_of_the_spec_is_one_user_turn():
    (sample,) = prompts(chat=True).samples(["Hello?"], [])

    assert sample.source == "spec"
    assert sample.messages == ({"role": "user", "content": "Hello?"},)
    assert sample.expected is None
    assert text_of(sample) == "<user>Hello?<assistant>"


def test_a_held_out_conversation_is_asked_up_to_its_last_answer():
    held = talk(("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"))

    (sample,) = prompts(chat=True).samples([], [held])

    assert sample.source == "held-out"
    assert text_of(sample) == "<user>a<assistant>b<user>c<assistant>"
    assert sample.expected == "d"


def test_a_held_out_prompt_is_asked_as_plain_text_where_rows_are_plain():
    held = Example(HERE, Continuation("Title:\n", "A title"), "Completion")

    (sample,) = prompts(chat=False).samples([], [held])

    assert text_of(sample) == "\x01Title:\n"
    assert sample.expected == "A title"


def test_three_held_out_rows_are_enough_and_plain_text_asks_nothing():
    held = [
        Example(HERE, Text("prose"), "All"),
        *(talk(("user", str(n)), ("assistant", "x")) for n in range(5)),
    ]

    made = prompts(chat=True).samples(["p"], held)

    assert [one.messages[0]["content"] for one in made] == ["p", "0", "1", "2"]


def asked(content) -> list[tuple[str, str | None]]:
    made = prompts(chat=True).samples([], [Example(HERE, content, "Completion")])
    return [(text_of(one), one.expected) for one in made]


def talking(*turns: tuple[str, str]) -> Conversation:
    return talk(*turns).content


def test_of_two_answers_the_better_one_is_expected():
    pair = Preference(
        talking(("user", "a"), ("assistant", "good")), talking(("user", "a"), ("assistant", "bad"))
    )

    assert asked(pair) == [("<user>a<assistant>", "good")]


def test_a_bad_answer_is_nothing_to_expect():
    answered = talking(("user", "a"), ("assistant", "b"))

    assert asked(Feedback(answered, desirable=True)) == [("<user>a<assistant>", "b")]
    assert asked(Feedback(answered, desirable=False)) == []


def test_tools_are_shown_and_a_call_is_an_answer():
    call = {"type": "function", "function": {"name": "weather", "arguments": {"town": "부산"}}}
    turns = (Message("user", "a"), Message("assistant", "", more=(("tool_calls", [call]),)))
    tool = {"type": "function", "function": {"name": "weather"}}

    ((text, expected),) = asked(Conversation(turns, 1, (tool,)))

    assert text == "<weather><user>a<assistant>"
    assert '"town": "부산"' in expected


def test_plain_rows_beside_conversations_are_asked_as_they_were_trained_on():
    assert asked(Continuation("Title:\n", "x")) == [("\x01Title:\n", "x")]


def test_metrics_of_answers_ask_as_many_as_they_are_told():
    held = [talk(("user", str(n)), ("assistant", "x")) for n in range(9)]

    assert len(prompts(chat=True).samples([], held, most=5)) == 5
