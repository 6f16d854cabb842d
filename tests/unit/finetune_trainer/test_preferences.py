"""Two answers to one prompt, and answers with a verdict: where the prompt is found, and what is refused."""

import pytest

from finetune_trainer import config, errors
from finetune_trainer.data import formats
from finetune_trainer.data.columns import Columns
from finetune_trainer.data.rows import Conversation, Feedback, Message, Place, Preference, Row

HERE = Place("pairs.jsonl", 5)
FIELD = "spec.dataset.train[0]"
ASKED = {"role": "user", "content": "Why?"}
GOOD = {"role": "assistant", "content": "Because."}
BAD = {"role": "assistant", "content": "No."}


def source(**settings) -> config.DataSource:
    return config.DataSource.model_validate({"uri": "s3://b/pairs.jsonl", **settings})


def recognised(values: dict, method: str, **settings) -> str:
    return formats.recognise(Row(HERE, values), source(**settings), FIELD, method=method)


def understood(values: dict, method: str = "DPO", **settings):
    found = recognised(values, method, **settings)
    columns = Columns.of(source(**settings).columns)
    return formats.understand(Row(HERE, values), found, columns, "Completion", chat=True).content


def pair(*asked: Message) -> Preference:
    def side(said: str) -> Conversation:
        return Conversation((*asked, Message("assistant", said)), len(asked))

    return Preference(side("Because."), side("No."))


WHY = Message("user", "Why?")


@pytest.mark.parametrize(
    "values",
    [
        {"prompt": "Why?", "chosen": "Because.", "rejected": "No."},
        {"prompt": [ASKED], "chosen": "Because.", "rejected": "No."},
        {"prompt": [ASKED], "chosen": [GOOD], "rejected": [BAD]},
        {"prompt": "Why?", "chosen": GOOD, "rejected": BAD},
        {"prompt": "Why?", "chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]},
        {"prompt": [ASKED], "chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]},
        {"prompt": None, "question": "Why?", "chosen": "Because.", "rejected": "No."},
        {"chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]},
        {
            "chosen": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "Because."}],
            "rejected": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "No."}],
        },
        {"messages": [ASKED], "chosen": "Because.", "rejected": "No."},
        {"input": {"messages": [ASKED]}, "preferred_output": [GOOD], "non_preferred_output": [BAD]},
        {"instruction": "Why?", "input": "", "chosen": "Because.", "rejected": "No."},
        {"instruction": "Why?", "output": "Hm.", "chosen": "Because.", "rejected": "No."},
        {"system": " ", "input": "Why?", "chosen": "Because.", "rejected": "No."},
    ],
)
def test_the_prompt_is_found_wherever_it_stands(values):
    assert understood(values) == pair(WHY)


def test_whole_conversations_part_where_the_assistant_answers_differently():
    begun = [{"role": "system", "content": "Be kind."}, ASKED, GOOD, ASKED]

    found = understood({"chosen": [*begun, GOOD], "rejected": [*begun, BAD]})

    assert found == pair(
        Message("system", "Be kind."), WHY, Message("assistant", "Because."), Message("user", "Why?")
    )


def test_equal_conversations_still_have_a_prompt_and_answers():
    found = understood({"chosen": [ASKED, GOOD], "rejected": [ASKED, GOOD]})

    assert found.chosen == found.rejected
    assert found.chosen.completion_from == 1


def test_answers_may_go_on_for_several_turns():
    found = understood({"chosen": [ASKED, GOOD], "rejected": [ASKED, BAD, ASKED, BAD]})

    assert found.chosen.completion_from == found.rejected.completion_from == 1
    assert len(found.rejected.messages) == 4


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"chosen": "Because.", "rejected": "No."}, "has two answers, but no prompt"),
        (
            {"chosen": [ASKED, GOOD], "rejected": [{**ASKED, "content": "How?"}, BAD]},
            "chosen and rejected begin differently, so they share no prompt",
        ),
        (
            {"prompt": "How?", "chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]},
            "chosen is a whole conversation, but prompt says something that is not in it",
        ),
        (
            {"prompt": "Why?", "chosen": [GOOD, ASKED], "rejected": [BAD]},
            "chosen ends with a turn of the user",
        ),
        ({"prompt": "Why?", "chosen": "Because.", "rejected": None}, "rejected is null; it must be a text"),
        (
            {"prompt": "Why?", "chosen": ["Because."], "rejected": "No."},
            r"chosen\[0\] is a text; a turn must be",
        ),
        (
            {
                "system": "Be kind.",
                "prompt": [{"role": "system", "content": "Be brief."}, ASKED],
                "chosen": "a",
                "rejected": "b",
            },
            "has two system prompts, the column 'system' and a turn; remove one",
        ),
        (
            {"instruction": "Why?", "history": [["a"]], "chosen": "a", "rejected": "b"},
            r"history\[0\] is not a pair of texts",
        ),
        (
            {"instruction": "Why?", "history": "a", "chosen": "a", "rejected": "b"},
            "history is a text; it must be a list",
        ),
    ],
)
def test_pairs_that_mean_nothing_are_told_with_their_place(values, says):
    with pytest.raises(errors.InvalidRow, match=f"^pairs.jsonl line 5: .*{says}"):
        understood(values)


@pytest.mark.parametrize("label", [True, 1, 1.0, "true", "True", " TRUE ", "1"])
def test_a_verdict_is_welcome(label):
    found = understood({"prompt": "Why?", "completion": "Because.", "label": label}, "KTO")

    assert found == Feedback(Conversation((WHY, Message("assistant", "Because.")), 1), desirable=True)


@pytest.mark.parametrize("label", [False, 0, 0.0, "false", "False", "0"])
def test_a_verdict_is_unwelcome(label):
    assert not understood({"messages": [ASKED, BAD], "label": label}, "KTO").desirable


@pytest.mark.parametrize(
    ("label", "told"), [("good", "'good'"), (2, "2"), (None, "null"), ([True], "a list")]
)
def test_a_verdict_that_is_none_is_told_with_its_place(label, told):
    values = {"prompt": "Why?", "completion": "Because.", "label": label}

    with pytest.raises(errors.InvalidRow, match=rf"line 5: label is {told}; it must be true"):
        understood(values, "KTO", format="unpaired-preference")


def test_the_answer_that_is_judged_must_be_the_last_word():
    with pytest.raises(errors.InvalidRow, match="messages ends with a turn of the user"):
        understood({"messages": [ASKED, GOOD, ASKED], "label": True}, "KTO")


PAIR = {"prompt": "Why?", "chosen": "Because.", "rejected": "No."}
VERDICT = {"prompt": "Why?", "completion": "Because.", "label": False}
SPOKEN = {"messages": [ASKED, GOOD]}


@pytest.mark.parametrize(
    ("method", "values", "says"),
    [
        (
            "SFT",
            PAIR,
            r"spec\.method SFT wants answers to learn from .*has preference \(prompt, chosen, .*set spec.method to DPO or ORPO",
        ),
        (
            "SFT",
            VERDICT,
            r"has unpaired-preference .*set spec.method to KTO for this data, or set spec\.dataset\.train\[0\]\.format",
        ),
        ("SFT", {**SPOKEN, "label": True}, "has unpaired-preference"),
        (
            "DPO",
            SPOKEN,
            r"spec\.method DPO wants a better and a worse answer .*has messages \(messages\); set spec.method to SFT",
        ),
        ("ORPO", {"text": "x"}, "ORPO wants .*has text .*set spec.method to SFT"),
        ("DPO", VERDICT, "set spec.method to KTO for this data$"),
        (
            "KTO",
            PAIR,
            "KTO wants single answers, each with a label .*set spec.method to DPO or ORPO for this data$",
        ),
        ("KTO", SPOKEN, "set spec.method to SFT for this data$"),
    ],
)
def test_method_and_format_must_fit(method, values, says):
    with pytest.raises(errors.FormatDoesNotFitMethod, match=rf"^spec\.dataset\.train\[0\]: .*{says}"):
        recognised(values, method)


WHOLE = {"chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]}


@pytest.mark.parametrize(
    ("values", "advised"),
    [
        (PAIR, {"format": "prompt-completion", "columns": {"completion": "chosen"}}),
        # As UltraFeedback has it: the prompt stands in the conversations too.
        ({"prompt": "Why?", **WHOLE}, {"format": "messages", "columns": {"messages": "chosen"}}),
        (WHOLE, {"format": "messages", "columns": {"messages": "chosen"}}),
        (
            {"messages": [ASKED], "chosen": "Because.", "rejected": "No."},
            {"format": "prompt-completion", "columns": {"prompt": "messages", "completion": "chosen"}},
        ),
        (
            {"question": "Why?", "preferred_output": [GOOD], "non_preferred_output": [BAD]},
            {"format": "prompt-completion", "columns": {"completion": "preferred_output"}},
        ),
        (
            {"instruction": "Why?", "chosen": "Because.", "rejected": "No."},
            {"format": "prompt-completion", "columns": {"prompt": "instruction", "completion": "chosen"}},
        ),
    ],
    ids=["texts", "UltraFeedback", "conversations", "turns before", "OpenAI", "instruction"],
)
def test_sft_of_the_better_answers_is_advised_so_that_it_works(values, advised):
    columns = ", ".join(f"{part}: {name}" for part, name in advised["columns"].items())
    with pytest.raises(errors.FormatDoesNotFitMethod) as told:
        recognised(values, "SFT")

    assert str(told.value).endswith(
        f", or learn the better answers alone: set {FIELD}.format to {advised['format']} and {FIELD}.columns to {{{columns}}}"
    )
    assert understood(values, "SFT", **advised) == Conversation((WHY, Message("assistant", "Because.")), 1)


def test_where_sft_cannot_learn_the_better_answers_it_is_not_advised():
    with pytest.raises(errors.FormatDoesNotFitMethod, match=r"to DPO or ORPO for this data$"):
        recognised({"input": {"messages": [ASKED]}, "chosen": [GOOD], "rejected": [BAD]}, "SFT")


@pytest.mark.parametrize(
    ("prompt", "completion", "method"),
    [
        ("Why?", [ASKED, GOOD], "SFT"),
        ([{"role": "system", "content": "Be brief."}, ASKED], [ASKED, GOOD], "SFT"),
        ("Why? ", [{"role": "system", "content": "Be brief."}, ASKED, GOOD], "KTO"),
    ],
)
def test_a_completion_that_begins_with_its_prompt_is_refused(prompt, completion, method):
    values = {"prompt": prompt, "completion": completion, **({"label": True} if method == "KTO" else {})}
    with pytest.raises(
        errors.InvalidRow,
        match=r"^pairs\.jsonl line 5: completion begins with the prompt, which would stand there twice; .* format to messages",
    ):
        understood(values, method)


def test_a_completion_may_go_on_with_another_turn_of_the_user():
    more = {"role": "user", "content": "And then?"}

    found = understood({"prompt": [ASKED, GOOD], "completion": [more, BAD]}, "SFT")

    assert [turn.content for turn in found.messages] == ["Why?", "Because.", "And then?", "No."]


def test_a_format_that_is_named_must_fit_as_well():
    with pytest.raises(errors.FormatDoesNotFitMethod, match="has preference"):
        recognised(PAIR, "SFT", format="preference")


@pytest.mark.parametrize(
    ("values", "by_method"),
    [
        # As UltraFeedback has it: whole conversations, and the better one again.
        (
            {"prompt": "Why?", "chosen": [ASKED, GOOD], "rejected": [ASKED, BAD], "messages": [ASKED, GOOD]},
            {"SFT": "messages", "DPO": "preference"},
        ),
        ({**PAIR, "completion": "Because."}, {"SFT": "prompt-completion", "ORPO": "preference"}),
        ({**SPOKEN, "label": "spam"}, {"SFT": "messages"}),
        ({**SPOKEN, "label": 7}, {"SFT": "messages"}),
    ],
)
def test_of_several_formats_that_fit_the_method_chooses(values, by_method):
    assert {method: recognised(values, method) for method in by_method} == by_method


def test_a_conversation_beside_two_answers_is_their_prompt_and_no_training_data():
    talk = [ASKED, GOOD, ASKED]

    with pytest.raises(errors.FormatDoesNotFitMethod, match="has preference"):
        recognised({"messages": talk, "chosen": "a", "rejected": "b"}, "SFT")


def test_the_chosen_answers_alone_can_be_learned_when_they_are_named():
    settings = {"format": "prompt-completion", "columns": {"completion": "chosen"}}

    assert understood(PAIR, "SFT", **settings) == Conversation((WHY, Message("assistant", "Because.")), 1)


@pytest.mark.parametrize("found", ["preference", "unpaired-preference"])
def test_answers_are_judged_as_wholes(found):
    assert formats.loss_on(found, None, FIELD) == formats.loss_on(found, "Completion", FIELD) == "Completion"
    for said in ("Assistant", "All"):
        with pytest.raises(
            errors.FormatDoesNotFitMethod, match=rf"^spec\.training\.lossOn: {said} .*set it to Completion"
        ):
            formats.loss_on(found, said, FIELD)


RENAMED = {
    "messages": (SPOKEN, "SFT"),
    "prompt": (PAIR, "DPO"),
    "completion": (VERDICT, "KTO"),
    "instruction": ({"instruction": "a", "output": "b"}, "SFT"),
    "input": ({"instruction": "a", "input": "c", "output": "b"}, "SFT"),
    "output": ({"instruction": "a", "output": "b"}, "SFT"),
    "history": ({"instruction": "a", "output": "b", "history": [["c", "d"]]}, "SFT"),
    "system": ({**SPOKEN, "system": "Be kind."}, "SFT"),
    "tools": ({**SPOKEN, "tools": [{"name": "weather"}]}, "SFT"),
    "text": ({"text": "a"}, "SFT"),
    "chosen": (PAIR, "DPO"),
    "rejected": (PAIR, "ORPO"),
    "label": (VERDICT, "KTO"),
}


@pytest.mark.parametrize("part", RENAMED)
def test_every_part_may_have_another_name(part):
    values, method = RENAMED[part]
    renamed = {("열" if name == part else name): value for name, value in values.items()}

    assert understood(renamed, method, columns={part: "열"}) == understood(values, method)
    without = {name: value for name, value in renamed.items() if name != "열"}
    with pytest.raises(errors.ColumnMissing, match=r"^spec\.dataset\.train\[0\]\.columns: .*no column '열'"):
        understood(without, method, columns={part: "열"})


def test_every_part_is_renamed_here():
    assert set(RENAMED) == set(config.Columns.model_fields)


@pytest.mark.parametrize("part", ["chosen", "rejected", "input"])
def test_the_parts_of_openais_preferences_may_have_other_names(part):
    usual = {"chosen": "preferred_output", "rejected": "non_preferred_output", "input": "input"}
    values = {"input": {"messages": [ASKED]}, "preferred_output": [GOOD], "non_preferred_output": [BAD]}
    renamed = {("other" if name == usual[part] else name): value for name, value in values.items()}

    assert understood(renamed, columns={part: "other"}) == pair(WHY)
