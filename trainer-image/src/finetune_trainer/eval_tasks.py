"""Tasks of lm-eval (`evaluation.tasks`), all but the asking: rows become ready texts in Prepare, and texts a task.

Nothing of a stranger reaches lm-eval but plain texts in columns whose names are ours: it would run the Python of a task's YAML,
read any file that one includes, and render prompts by a Jinja that is no sandbox. See docs/decisions/0029.
"""

import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from finetune_trainer import config, errors
from finetune_trainer.data import columns, sources, templates
from finetune_trainer.data.rows import Row
from finetune_trainer.data.sources import Fetched, Spot
from finetune_trainer.data.templates import Part, Wording
from finetune_trainer.layout import Layout
from finetune_trainer.plural import counted
from finetune_trainer.prepared import AskedTask, FileFacts

LM_EVAL = "lm_eval"
"""The package, which is an extra of ours."""

METRICS = {"acc": "acc", "accNorm": "acc_norm", "exactMatch": "exact_match"}
"""Our names of metrics, and lm-eval's. One that lm-eval does not know it would fetch from the Hub, as a script."""

Shown = dict[str, Any]
"""A row as lm-eval sees it: `prompt`, `target` (a text, or the number of a choice) and, where there are some, `choices`."""


def check(run: config.Run) -> None:
    """Raises `UnsupportedHere` where tasks are asked for and this image lacks lm-eval."""
    if run.evaluation.tasks and not installed():
        raise errors.UnsupportedHere(
            f"spec.evaluation.tasks: the trainer image {run.image} does not have lm-eval; use a FineTuneProfile whose image "
            "is made from lm-eval-image, or leave tasks out"
        )


def installed() -> bool:
    """Whether lm-eval is there."""
    return importlib.util.find_spec(LM_EVAL) is not None


def fetch(run: config.Run, layout: Layout, told: Callable[[str], object]) -> dict[str, AskedTask]:
    """Read the rows of each task, and write them into the prepared dataset as ready texts; the facts by the task's name.

    No more rows are read than are asked or shown. Raises storage's errors, `InvalidTemplate`, `TemplateColumnMissing`,
    `ColumnMissing`, `InvalidRow`, `EmptyDataset`.
    """
    made = {}
    for at, task in enumerate(run.evaluation.tasks or ()):
        source = config.DataSource(
            uri=task.data.uri,
            credentials_secret_ref=task.data.credentials_secret_ref,
            split=task.data.split,
            max_samples=task.few_shot + task.limit,
        )
        spot = Spot(f"{_field(at)}.data", layout.data / "tasks" / str(at))
        rows = _shown(task, sources.fetch_one(run, layout, source, spot, told), _field(at))
        file = layout.dataset / AskedTask.name_of(task.name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
        made[task.name] = AskedTask(file=FileFacts.of(file), rows=len(rows) - task.few_shot)
    return made


def _field(at: int) -> str:
    return f"spec.evaluation.tasks[{at}]"


def _shown(task: config.EvalTask, source: Fetched, field: str) -> list[Shown]:
    """The rows of `task`, those first that are shown before each prompt."""
    prompt = templates.parts(task.prompt, f"{field}.prompt")
    if not any(column for _, column in prompt):
        raise errors.InvalidTemplate(
            f"{field}.prompt: names no column, so every row would ask the same; name one as {{column}}"
        )
    wording = Wording(f"{field}.prompt", (), prompt, ())
    rows = []
    for row in source.rows():
        templates.check((wording,), row)
        rows.append(_row(task, prompt, row))
    if len(rows) <= task.few_shot:
        held = counted(len(rows), "row") if rows else "no rows"
        shown = f", and fewShot takes the first {task.few_shot}" if task.few_shot else ""
        fewer = f", or lower {field}.fewShot" if task.few_shot else ""
        raise errors.EmptyDataset(
            f"{field}.data.uri: has {held}{shown}, so none is left to ask; add rows{fewer}"
        )
    return rows


def _row(task: config.EvalTask, prompt: tuple[Part, ...], row: Row) -> Shown:
    asked = templates.filled(prompt, row)
    if not asked.strip():
        raise errors.InvalidRow(
            f"{row.place}: the prompt is empty; fill in the columns that it names, or remove the row"
        )
    if task.multiple_choice is None:
        return {"prompt": asked, "target": _text(row, task.target)}
    choices = _choices(task.multiple_choice, row)
    return {"prompt": asked, "choices": choices, "target": _number(row, task.target, choices)}


def _text(row: Row, column: str) -> str:
    text = columns.text_of(row, column).strip()
    if not text:
        raise errors.InvalidRow(f"{row.place}: {column} is empty; it must hold the right answer")
    return text


def _choices(asked: config.MultipleChoice, row: Row) -> list[str]:
    """The answers of `row`, at least two different ones."""
    if asked.choices_column is None:
        return list(asked.choices or ())
    found = columns.unpacked(columns.column(row, asked.choices_column))
    if not isinstance(found, list) or not all(isinstance(one, str) and one.strip() for one in found):
        raise errors.InvalidRow(
            f"{row.place}: {asked.choices_column} must be a list of texts, none of them empty; correct the row"
        )
    if len(found) < 2 or len(set(found)) < len(found):  # noqa: PLR2004 - a choice is between two
        raise errors.InvalidRow(
            f"{row.place}: {asked.choices_column} must hold at least two answers, none of them twice; correct the row"
        )
    return found


def _number(row: Row, column: str, choices: list[str]) -> int:
    """Which of `choices` is right, counted from 0."""
    said = columns.column(row, column)
    if isinstance(said, int) and not isinstance(said, bool) and 0 <= said < len(choices):
        return said
    if isinstance(said, str) and said in choices:
        return choices.index(said)
    if isinstance(said, str) and said.isdecimal() and int(said) < len(choices):
        return int(said)  # CSV knows only texts; a choice of that very text comes first
    raise errors.InvalidRow(
        f"{row.place}: {column} is none of the row's {len(choices)} choices; it must hold the text of one, or its number, counted "
        "from 0"
    )


def read(dataset: Path, task: config.EvalTask) -> list[Shown]:
    """The rows of `task` in the prepared `dataset`, as `fetch` left them."""
    found: list[Shown] = json.loads((dataset / AskedTask.name_of(task.name)).read_text(encoding="utf-8"))
    return found


def of_lm_eval(
    task: config.EvalTask, rows: list[Shown], table: Callable[[list[Shown]], Any]
) -> dict[str, Any]:
    """The task as lm-eval reads it; `table` makes a dataset of rows.

    Prompt, choices and target are named by their columns, which lm-eval looks up before it would take a text for a template.
    """
    shots, asked = rows[: task.few_shot], rows[task.few_shot :]
    made: dict[str, Any] = {
        "task": task.name,
        "custom_dataset": lambda: {"test": table(asked)},
        "test_split": "test",
        "doc_to_text": "prompt",
        "doc_to_target": "target",
        "num_fewshot": len(shots),
        "fewshot_config": {"sampler": "first_n", "samples": shots},
        "metric_list": [
            {"metric": METRICS[metric], "aggregation": "mean", "higher_is_better": True}
            for metric in task.metrics
        ],
    }
    if task.generate:
        until = {
            "until": list(task.generate.until),
            "max_gen_toks": task.generate.max_new_tokens,
            "do_sample": False,
        }
        return {**made, "output_type": "generate_until", "generation_kwargs": until}
    return {**made, "output_type": "multiple_choice", "doc_to_choice": "choices"}


def figures(task: config.EvalTask, found: Mapping[str, Any]) -> dict[str, float]:
    """lm-eval's results of `task` (`acc,none` and the like) by the names of our figures, without the task's own."""
    return {metric: float(found[f"{METRICS[metric]},none"]) for metric in task.metrics}
