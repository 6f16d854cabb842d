"""Tasks of lm-eval over data of one's own: typed fields, of which the trainer makes what lm-eval reads. See docs/decisions/0029."""

from typing import Annotated, Literal

import pydantic

from finetune_operator.api.base import Form, SecretRef, Value, rule, uri_of, with_rules
from finetune_operator.api.sources import DATA_SCHEMES, Column, Template

Choice = Annotated[str, pydantic.Field(min_length=1, max_length=1024)]


class TaskData(Value):
    """The rows of a task."""

    uri: Annotated[str, uri_of(DATA_SCHEMES)]
    """As for a data source: a file, a folder, a Hub dataset. The profile's `allowed.datasets` applies to it too."""
    credentials_secret_ref: SecretRef | None = None
    """Secret for `uri`. Absent: the output's when the bucket is the same, else the pod's own identity."""
    split: Annotated[str, pydantic.Field(min_length=1, max_length=128)] | None = None
    """The files of one split, recognised by their names. Absent: as for a data source."""


class MultipleChoice(Value):
    """Which of some answers the model finds likeliest after the prompt."""

    model_config = with_rules(
        rule("has(self.choices) != has(self.choicesColumn)", "set exactly one of choices and choicesColumn"),
    )

    choices: Annotated[list[Choice], pydantic.Field(min_length=2, max_length=64)] | None = None
    """The same answers for every row."""
    choices_column: Column | None = None
    """Column with each row's own answers: a list of texts."""
    metrics: Annotated[list[Literal["acc", "accNorm"]], pydantic.Field(min_length=1, max_length=2)] = (
        pydantic.Field(default=["acc"])
    )
    """acc: the share of rows whose right answer is the likeliest. accNorm: the likeliest per character."""


class Generate(Value):
    """What the model says after the prompt, word for word: exactMatch."""

    until: Annotated[
        list[Annotated[str, pydantic.Field(min_length=1, max_length=64)]], pydantic.Field(max_length=8)
    ] = pydantic.Field(default=["\n"])
    """Texts that end an answer."""
    max_new_tokens: Annotated[int, pydantic.Field(ge=1, le=4096)] = 32
    """Longest answer (tokens)."""


class EvalTask(Value):
    """One task of lm-eval. Its figures are called by its name and the metric: `boolqAcc`."""

    model_config = with_rules(
        rule(
            "has(self.multipleChoice) != has(self.generate)", "set exactly one of multipleChoice and generate"
        ),
    )

    name: Annotated[
        str,
        pydantic.Field(min_length=1, max_length=32),
        Form("^[a-z][A-Za-z0-9]*$", "must hold only letters and digits, and begin with a small letter"),
    ]
    """Letters and digits; begins with a small letter."""
    data: TaskData
    """The rows of the task."""
    prompt: Template
    """What the model reads: `{column}` stands for the row's value, `{{` and `}}` for braces. The answer follows after a space."""
    target: Column
    """Column with the right answer: its text, or for choices its number, counted from 0."""
    multiple_choice: MultipleChoice | None = None
    """Answers to choose from."""
    generate: Generate | None = None
    """The answer is written freely."""
    few_shot: Annotated[int, pydantic.Field(ge=0, le=32)] = 0
    """This many rows, the first ones, are shown with their answers before each prompt, and are not asked themselves."""
    limit: Annotated[int, pydantic.Field(ge=1, le=10000)] = 200
    """At most this many rows are asked: the first ones after those of `fewShot`."""
