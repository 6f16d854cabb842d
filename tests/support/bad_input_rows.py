"""Bad input: rows that are read, but say nothing that could be learned."""

from typing import Any

from bad_input import GOOD, Case, file, row, rows, source, talk

DPO: dict[str, Any] = {"spec": {"method": "DPO"}}
KTO: dict[str, Any] = {"spec": {"method": "KTO"}}
USER = {"role": "user", "content": "Hello?"}
ANSWER = {"role": "assistant", "content": "Hello!"}


def turns(*every: Any, **more: Any) -> dict[str, Any]:
    """A row of messages."""
    return {"messages": list(every), **more}


MEANING = [
    rows("columns of no known format", [{"title": "a", "body": "b"}], "UnknownFormat"),
    rows(
        "columns that look like a prompt and its answer", [{"question": "a", "answer": "b"}], "UnknownFormat"
    ),
    rows("rows inside a row", [{"data": [{"text": "a"}]}], "UnknownFormat"),
    rows(
        "a column that a later row lacks",
        [{"prompt": "a", "completion": "b"}, {"prompt": "a"}],
        "ColumnMissing",
    ),
    rows(
        "columns names one that is not there",
        [{"q": "a", "a": "b"}],
        "ColumnMissing",
        spec=source(columns={"prompt": "q", "completion": "reply"}),
    ),
    row("messages is a text", {"messages": "Hello!"}, "InvalidRow"),
    row("messages is null", {"messages": None}, "InvalidRow"),
    row("a turn that is a text", turns("Hello?"), "InvalidRow"),
    row("a role that nobody knows", turns({"role": "teacher", "content": "a"}), "InvalidRow"),
    row("a role in another spelling", turns({"role": "Assistant", "content": "a"}), "InvalidRow"),
    row("a turn without a role", turns({"content": "a"}), "InvalidRow"),
    row("an answer that is null", talk("Hello?", None), "InvalidRow"),
    row(
        "a picture",
        turns({"role": "user", "content": [{"type": "image_url", "image_url": "a.png"}]}),
        "InvalidRow",
    ),
    row("a column of pictures", turns(USER, ANSWER, images=["a.png"]), "InvalidRow"),
    row("a weight that is neither 0 nor 1", turns(USER, {**ANSWER, "weight": 0.5}), "InvalidRow"),
    row("thoughts beside the words", turns(USER, {**ANSWER, "reasoning_content": "Hm."}), "InvalidRow"),
    row("nobody answers", turns(USER), "NoAssistantTurn"),
    row("no turns at all", turns(), "NoAssistantTurn"),
    row(
        "two system prompts",
        turns({"role": "system", "content": "Be kind."}, USER, ANSWER, system="Be brief."),
        "InvalidRow",
    ),
    row(
        "a tool called by the user",
        turns({**USER, "tool_calls": [{"function": {"name": "f"}}]}, ANSWER),
        "InvalidRow",
    ),
    row(
        "arguments of a tool that are not JSON",
        turns(USER, {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{city"}}]}),
        "InvalidRow",
    ),
    row("a tool without a name", turns(USER, ANSWER, tools=[{"type": "function"}]), "InvalidRow"),
    rows(
        "a speaker of sharegpt that nobody knows",
        [{"conversations": [{"from": "narrator", "value": "a"}, {"from": "gpt", "value": "b"}]}],
        "InvalidRow",
    ),
    rows("an output that is null", [{"instruction": "a", "output": None}], "InvalidRow"),
    rows(
        "history that is not a list of pairs",
        [{"instruction": "a", "output": "b", "history": ["x", "y"]}],
        "InvalidRow",
    ),
    rows("a prompt that is true", [{"prompt": True, "completion": "b"}], "InvalidRow"),
    rows("plain text that is a list", [{"text": ["a", "b"]}], "InvalidRow"),
    file("messages in CSV that are not JSON", "train.csv", b"messages\n[{role: user}]\n", "InvalidRow"),
]

METHODS = [
    rows("preferences for SFT", [{"prompt": "a", "chosen": "b", "rejected": "c"}], "FormatDoesNotFitMethod"),
    rows(
        "preferences as whole conversations for SFT",
        [{"prompt": "a", "chosen": [USER, ANSWER], "rejected": [USER, ANSWER]}],
        "FormatDoesNotFitMethod",
    ),
    rows(
        "a completion that begins with its prompt",
        [{"prompt": "Hello?", "completion": [USER, ANSWER]}],
        "InvalidRow",
    ),
    rows("labels for SFT", [{"prompt": "a", "completion": "b", "label": True}], "FormatDoesNotFitMethod"),
    rows("conversations for DPO", GOOD, "FormatDoesNotFitMethod", **DPO),
    rows(
        "answers without a label for KTO",
        [{"prompt": "a", "completion": "b"}],
        "FormatDoesNotFitMethod",
        **KTO,
    ),
    rows("two answers to nothing", [{"chosen": "a", "rejected": "b"}], "InvalidRow", **DPO),
    rows(
        "two conversations that begin differently",
        [
            {
                "chosen": [{"role": "user", "content": "a"}, ANSWER],
                "rejected": [{"role": "user", "content": "b"}, ANSWER],
            }
        ],
        "InvalidRow",
        **DPO,
    ),
    rows(
        "a better answer that ends with the user",
        [{"prompt": [USER], "chosen": [ANSWER, USER], "rejected": [ANSWER]}],
        "InvalidRow",
        **DPO,
    ),
    rows(
        "a label that is neither true nor false",
        [
            {"prompt": "a", "completion": "b", "label": True},
            {"prompt": "a", "completion": "b", "label": "maybe"},
        ],
        "InvalidRow",
        **KTO,
    ),
]


def template(prompt: str, completion: str) -> dict[str, Any]:
    """The data source with a template."""
    return source(template=[{"prompt": prompt, "completion": completion}])


NO_SYSTEM = (
    "{% for turn in messages %}{% if turn.role == 'system' %}{{ raise_exception('no system turns, please') }}{% endif %}"
    "<|im_start|>{{ turn.role }}\n{{ turn.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""A chat template as some models have it."""

WORDING = [
    rows(
        "a template names a column that is not there",
        [{"document": "a", "headline": "b"}],
        "TemplateColumnMissing",
        spec=template("{document}", "{title}"),
    ),
    rows(
        "a column of the template is missing later",
        [{"document": "a", "title": "b"}, {"document": "a"}],
        "TemplateColumnMissing",
        spec=template("{document}", "{title}"),
    ),
    rows(
        "a column of the template is null",
        [{"document": "a", "title": None}],
        "InvalidRow",
        spec=template("{document}", "{title}"),
    ),
    rows(
        "a brace that is not closed",
        [{"document": "a"}],
        "InvalidTemplate",
        spec=template("{document", "{document}"),
    ),
    rows("braces without a name", [{"document": "a"}], "InvalidTemplate", spec=template("{}", "{document}")),
    rows(
        "braces with more than a name",
        [{"document": "a"}],
        "InvalidTemplate",
        spec=template("{document!r}", "{document}"),
    ),
    rows(
        "a completion without a column",
        [{"document": "a"}],
        "InvalidTemplate",
        spec=template("{document}", "Yes."),
    ),
    Case(
        wrong="a chat template that is not Jinja",
        code=64,
        reason="InvalidChatTemplate",
        spec={"model": {"uri": "pvc://models/tiny", "chatTemplate": "{% for %}"}},
    ),
    Case(
        wrong="a chat template that refuses everything",
        code=64,
        reason="InvalidChatTemplate",
        spec={
            "model": {"uri": "pvc://models/tiny", "chatTemplate": "{{ raise_exception('only one turn') }}"}
        },
    ),
    row(
        "a chat template that refuses a row",
        turns({"role": "system", "content": "Be kind."}, USER, ANSWER),
        "InvalidRow",
        spec={"model": {"uri": "pvc://models/tiny", "chatTemplate": NO_SYSTEM}},
    ),
    Case(
        wrong="a chat template that loses the answers",
        code=64,
        reason="InvalidChatTemplate",
        spec={"model": {"uri": "pvc://models/tiny", "chatTemplate": "{{ messages[0]['content'] }}"}},
    ),
]


def quality(**settings: Any) -> dict[str, Any]:
    """The usual data with other demands on quality."""
    return {"dataset": {"train": [{"uri": "pvc://data/train.jsonl"}], "quality": settings}}


LEFT = [
    rows("nothing but empty answers", [talk(f"q{number}", " ") for number in range(3)], "NothingToLearn"),
    rows(
        "nothing but answers of weight 0",
        [turns({**USER, "content": f"q{number}"}, {**ANSWER, "weight": 0}) for number in range(3)],
        "NothingToLearn",
    ),
    rows("plain text of blanks", [{"text": " "}], "NothingToLearn"),
    rows(
        "answers of the assistant asked of plain text",
        [{"text": "a"}],
        "NothingToLearn",
        spec={"training": {"lossOn": "Assistant"}},
    ),
    rows(
        "answers after the end of maxLength",
        [talk(f"{number} " * 400, "Yes.") for number in range(4)],
        "AllRowsTooLong",
        spec={"training": {"maxLength": 32}},
    ),
    rows("a word on the blocklist in every row", GOOD, "EmptyDataset", spec=quality(blocklist=["is"])),
    rows("every row shorter than minTokens", GOOD, "EmptyDataset", spec=quality(minTokens=500)),
    rows(
        "the same rows to train on and to examine",
        GOOD,
        "EmptyDataset",
        spec={"dataset": {name: [{"uri": "pvc://data/train.jsonl"}] for name in ("train", "eval")}},
    ),
]

CHAPTERS = {"Rows": MEANING, "Rows and methods": METHODS, "Templates": WORDING, "Nothing left": LEFT}
