import pytest

from finetune_trainer import config, errors
from finetune_trainer.data import formats, templates
from finetune_trainer.data.columns import Columns
from finetune_trainer.data.rows import Continuation, Conversation, Message, Place, Row, Text

PLACE = Place("tickets.jsonl", 7)
FIELD = "spec.dataset.train[0]"


def source(**settings) -> config.DataSource:
    return config.DataSource.model_validate({"uri": "s3://b/tickets.jsonl", **settings})


def understood(values: dict, *, chat: bool = True, method: str = "SFT", **settings):
    row, given = Row(PLACE, values), source(**settings)
    found = formats.recognise(row, given, FIELD, method=method)
    columns = Columns.of(given.columns)
    return found, formats.understand(
        row, found, columns, formats.loss_on(found, None, FIELD), chat=chat
    ).content


def talk(*turns: tuple[str, str], completion_from: int | None = None) -> Conversation:
    messages = tuple(Message(role, content) for role, content in turns)
    return Conversation(messages, len(turns) - 1 if completion_from is None else completion_from)


ASKED = {"role": "user", "content": "Why?"}
ANSWERED = {"role": "assistant", "content": "Because."}


@pytest.mark.parametrize(
    ("values", "found", "means"),
    [
        ({"messages": [ASKED, ANSWERED]}, "messages", talk(("user", "Why?"), ("assistant", "Because."))),
        (
            {
                "messages": [{"role": "system", "content": " "}, ASKED, ANSWERED],
                "prompt": "x",
                "completion": "y",
            },
            "messages",
            talk(("user", "Why?"), ("assistant", "Because.")),
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
                    },
                    ANSWERED,
                ]
            },
            "messages",
            talk(("user", "ab"), ("assistant", "Because.")),
        ),
        (
            {"instruction": "Add.", "input": "1 2", "output": "3"},
            "alpaca",
            talk(("user", "Add.\n\n1 2"), ("assistant", "3")),
        ),
        (
            {"instruction": "Hi", "input": "", "output": "Ho"},
            "alpaca",
            talk(("user", "Hi"), ("assistant", "Ho")),
        ),
        ({"instruction": "Hi", "output": 3}, "alpaca", talk(("user", "Hi"), ("assistant", "3"))),
        (
            {"system": "Be kind.", "instruction": "Hi", "input": None, "output": "Ho"},
            "alpaca",
            talk(("system", "Be kind."), ("user", "Hi"), ("assistant", "Ho")),
        ),
        ({"prompt": "a", "completion": "b"}, "prompt-completion", talk(("user", "a"), ("assistant", "b"))),
        (
            {"prompt": [ASKED, ANSWERED, ASKED], "completion": [ANSWERED]},
            "prompt-completion",
            talk(("user", "Why?"), ("assistant", "Because."), ("user", "Why?"), ("assistant", "Because.")),
        ),
        ({"text": "Once upon a time", "n": 1}, "text", Text("Once upon a time")),
    ],
)
def test_a_format_is_recognised_by_its_columns(values, found, means):
    assert understood(values) == (found, means)


def test_prompt_and_completion_stay_plain_text_without_a_chat_template():
    assert understood({"prompt": "a", "completion": "b"}, chat=False)[1] == Continuation("a", "b")


def test_columns_may_have_other_names():
    given = understood({"q": "Hi", "a": "Ho"}, columns={"prompt": "q", "completion": "a"})

    assert given == ("prompt-completion", talk(("user", "Hi"), ("assistant", "Ho")))


@pytest.mark.parametrize(
    ("values", "settings", "error", "says"),
    [
        (
            {"foo": 1, "bar": 2},
            {},
            errors.UnknownFormat,
            r"tickets\.jsonl line 7 .*foo, bar.*messages.*alpaca.*template",
        ),
        (
            {"q": 1},
            {"columns": {"prompt": "question"}},
            errors.ColumnMissing,
            "no column 'question'; it has q",
        ),
        (
            {"text": "x"},
            {"format": "alpaca"},
            errors.ColumnMissing,
            "no column 'instruction' .it has text.; add the column",
        ),
        ({"messages": "hi"}, {}, errors.InvalidRow, "line 7: messages is a text; it must be a list"),
        ({"messages": ["hi"]}, {}, errors.InvalidRow, r"messages\[0\] is a text; a turn must be an object"),
        (
            {"messages": [ASKED, {"role": "assistant", "content": None}]},
            {},
            errors.InvalidRow,
            r"messages\[1\].content is null",
        ),
        (
            {"messages": [ASKED, {"role": "assistant"}]},
            {},
            errors.InvalidRow,
            r"messages\[1\].content is null",
        ),
        ({"messages": [{"role": "human", "content": "x"}]}, {}, errors.InvalidRow, "write 'user' instead"),
        (
            {"messages": [{"role": "robot", "content": "x"}]},
            {},
            errors.InvalidRow,
            "use one of system, user, assistant",
        ),
        (
            {"messages": [ASKED, {**ANSWERED, "weight": 0.5}]},
            {},
            errors.InvalidRow,
            r"messages\[1\].weight is 0.5; it must be 1",
        ),
        ({"messages": [ASKED, {**ANSWERED, "weight": [1]}]}, {}, errors.InvalidRow, r"weight is \[1\]"),
        ({"messages": []}, {}, errors.NoAssistantTurn, "line 7: has no assistant turn"),
        (
            {"messages": [ASKED]},
            {},
            errors.NoAssistantTurn,
            r"line 7: has no assistant turn \(its roles: user\)",
        ),
        ({"prompt": [ASKED, ANSWERED], "completion": [ASKED]}, {}, errors.NoAssistantTurn, "line 7"),
        ({"instruction": "x", "output": None}, {}, errors.InvalidRow, "output is null; it must be a text"),
        ({"text": ["x"]}, {}, errors.InvalidRow, "text is a list"),
    ],
)
def test_rows_that_mean_nothing_are_told_with_their_place(values, settings, error, says):
    with pytest.raises(error, match=says):
        understood(values, **settings)


@pytest.mark.parametrize(
    ("found", "loss"),
    [
        ("messages", "Assistant"),
        ("alpaca", "Assistant"),
        ("prompt-completion", "Completion"),
        ("text", "All"),
    ],
)
def test_what_is_learned_follows_from_the_format(found, loss):
    assert formats.loss_on(found, None, FIELD) == loss
    assert formats.loss_on(found, "All", FIELD) == "All"


def test_turns_cannot_be_asked_for_where_there_are_none():
    with pytest.raises(errors.NothingToLearn, match=r"spec\.training\.lossOn: Assistant .*plain text"):
        formats.loss_on("text", "Assistant", FIELD)


def wordings(*given: dict):
    parsed = [config.PromptTemplate.model_validate(one) for one in given]
    return templates.parse(parsed, f"{FIELD}.template")


def test_a_template_puts_the_columns_into_the_authors_words():
    words = wordings({"system": "{{{who}}}", "prompt": "제목:\n{본문}", "completion": "{title}"})
    row = Row(PLACE, {"본문": "긴 글 {x}", "title": "글", "who": "an editor"})

    example = templates.understand(row, words, "Assistant", seed=1)

    assert example.content == talk(
        ("system", "{an editor}"), ("user", "제목:\n긴 글 {x}"), ("assistant", "글")
    )


def test_with_several_templates_each_row_draws_one_by_the_seed():
    words = wordings({"prompt": "A {x}", "completion": "{x}"}, {"prompt": "B {x}", "completion": "{x}"})

    def drawn(seed: int) -> str:
        rows = [Row(Place("a", number), {"x": str(number)}) for number in range(64)]
        return "".join(
            templates.understand(row, words, "Assistant", seed=seed).content.messages[0].content[0]
            for row in rows
        )

    assert drawn(1) == drawn(1) != drawn(2)
    assert 16 < drawn(1).count("A") < 48


def test_rows_that_say_the_same_draw_the_same_template_wherever_they_stand():
    words = wordings(*({"prompt": f"{n} {{x}}", "completion": "{y}"} for n in range(32)))

    def drawn(**values) -> str:
        row = Row(Place("a", values.pop("number")), values)
        return templates.understand(row, words, "Assistant", seed=1).content.messages[0].content

    assert {drawn(number=n, x="같은 글", y=1, id=n) for n in range(64)} == {drawn(number=0, y=1, x="같은 글")}
    assert len({drawn(number=1, x="같은 글", y=n) for n in range(64)}) > 16


@pytest.mark.parametrize(
    ("template", "error", "says"),
    [
        (
            {"prompt": "{document}", "completion": "{title}"},
            errors.TemplateColumnMissing,
            "'title'.*it has document, headline",
        ),
        (
            {"prompt": "{document", "completion": "{headline}"},
            errors.InvalidTemplate,
            r"template\[0\].prompt: ",
        ),
        ({"prompt": "{}", "completion": "{headline}"}, errors.InvalidTemplate, "bare name of a column"),
        (
            {"prompt": "{document!r}", "completion": "{headline}"},
            errors.InvalidTemplate,
            "bare name of a column",
        ),
        ({"prompt": "{document}", "completion": "Yes"}, errors.InvalidTemplate, "names no column"),
    ],
)
def test_a_template_that_does_not_fit_is_told(template, error, says):
    row = Row(PLACE, {"document": "x", "headline": "y"})

    with pytest.raises(error, match=says):
        templates.check(wordings(template), row)
