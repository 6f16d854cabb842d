"""Tasks of lm-eval without lm-eval: what Prepare makes of their rows, what it refuses, and the task that lm-eval is handed."""

import json
import re
from typing import Any

import pytest

import trainer_world
from finetune_trainer import config, errors, eval_tasks, metrics, outcome
from trainer_runs import TRIVIA
from trainer_world import TALK, World

HOSTILE = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "!function os.system",
    "{% include '/etc/passwd' %}",
    "{prompt.__class__}",
]

BOOLQ = {
    "name": "boolq",
    "data": {"uri": "pvc://data/boolq.jsonl"},
    "prompt": "{passage}\n{question}? {{yes or no}}",
    "target": "answer",
    "multipleChoice": {"choices": ["no", "yes"]},
}
ROWS = [
    {
        "passage": f"Number {at} is {'even' if at % 2 == 0 else 'odd'}.",
        "question": f"is {at} odd",
        "answer": at % 2,
    }
    for at in range(6)
]


@pytest.fixture
def world(tmp_path, monkeypatch) -> World:
    """A pod whose image has lm-eval."""
    monkeypatch.setattr(eval_tasks, "installed", lambda: True)
    made = World.at(tmp_path)
    made.put("train.jsonl", TALK)
    return made


def asking(*tasks: dict[str, Any], **more: Any) -> config.Run:
    return trainer_world.run(evaluation={"tasks": list(tasks), **more})


def task(**changes: Any) -> config.EvalTask:
    return config.EvalTask.model_validate({**BOOLQ, **changes})


def shown(world: World, rows: list[Any], **changes: Any) -> list[dict[str, Any]]:
    """What Prepare makes of `rows`."""
    world.put("boolq.jsonl", rows)
    run = asking({**BOOLQ, **changes})
    eval_tasks.fetch(run, world.layout, lambda _: None)
    return eval_tasks.read(world.layout.dataset, (run.evaluation.tasks or ())[0])


def test_prepare_leaves_ready_texts_with_the_data(world):
    world.put("boolq.jsonl", ROWS)
    run = asking({**BOOLQ, "fewShot": 1, "limit": 3})

    result = world.prepare(run)

    store = outcome.work_area(run, world.layout)
    found = trainer_world.load(store, result)
    assert found.tasks["boolq"].rows == 3
    found.fetch(store, world.layout.scratch / "again")
    rows = json.loads((world.layout.scratch / "again/tasks/boolq.json").read_text())
    assert rows == [
        {
            "prompt": f"Number {at} is {'even' if at % 2 == 0 else 'odd'}.\nis {at} odd? {{yes or no}}",
            "choices": ["no", "yes"],
            "target": at % 2,
        }
        for at in range(4)
    ]
    assert found.digest == world.prepare(trainer_world.run()).result["dataset"]["digest"], "they shape no row"


def test_an_image_without_lm_eval_is_told_before_anything_is_fetched(world, monkeypatch):
    monkeypatch.setattr(eval_tasks, "installed", lambda: False)
    with pytest.raises(
        errors.UnsupportedHere,
        match="^"
        + re.escape("spec.evaluation.tasks: the trainer image trainer:test does not have lm-eval; use a"),
    ):
        world.prepare(asking(BOOLQ))
    world.prepare(trainer_world.run())


def test_choices_stand_in_the_spec_or_in_the_row(world):
    own = {"choices": None, "choicesColumn": "answers"}
    rows = [
        {**ROWS[0], "answers": ["a", "b", "c"], "answer": "c"},
        {**ROWS[1], "answers": '["x", "y"]', "answer": 0},
    ]
    made = shown(world, rows, multipleChoice=own)
    assert [(row["choices"], row["target"]) for row in made] == [(["a", "b", "c"], 2), (["x", "y"], 0)]


def test_a_number_may_be_a_text_as_in_csv(world):
    own = {"choices": None, "choicesColumn": "answers"}
    rows = [
        {**ROWS[0], "answers": '["x", "y"]', "answer": "1"},
        {**ROWS[1], "answers": '["1", "0"]', "answer": "0"},
    ]
    assert [row["target"] for row in shown(world, rows, multipleChoice=own)] == [1, 1]


def test_a_free_answer_is_a_text(world):
    rows = [{**ROWS[0], "answer": " 42 "}, {**ROWS[1], "answer": 7}]
    made = shown(world, rows, multipleChoice=None, generate={})
    assert [(row["target"], "choices" in row) for row in made] == [("42", False), ("7", False)]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_row_is_never_read_as_a_template(world, text):
    row = {"passage": text, "question": text, "answer": text, "answers": [text, "no"]}
    (made,) = shown(world, [row], multipleChoice={"choicesColumn": "answers"})
    assert made == {"prompt": f"{text}\n{text}? {{yes or no}}", "choices": [text, "no"], "target": 0}


@pytest.mark.parametrize(
    ("rows", "changes", "error", "sentence"),
    [
        (
            [],
            {},
            errors.EmptyDataset,
            "spec.evaluation.tasks[0].data.uri: has no rows, so none is left to ask; add rows",
        ),
        (
            ROWS[:2],
            {"fewShot": 2},
            errors.EmptyDataset,
            "spec.evaluation.tasks[0].data.uri: has 2 rows, and fewShot takes the first 2, so none is left to ask; add rows, or",
        ),
        (
            ROWS,
            {"prompt": "Well?"},
            errors.InvalidTemplate,
            "spec.evaluation.tasks[0].prompt: names no column",
        ),
        (ROWS, {"prompt": "{passage"}, errors.InvalidTemplate, "spec.evaluation.tasks[0].prompt: "),
        (
            ROWS,
            {"prompt": "{passage.upper}"},
            errors.TemplateColumnMissing,
            "spec.evaluation.tasks[0].prompt: names",
        ),
        (
            ROWS,
            {"prompt": "{text}"},
            errors.TemplateColumnMissing,
            "spec.evaluation.tasks[0].prompt: names the column 'text'",
        ),
        (ROWS, {"target": "label"}, errors.ColumnMissing, "boolq.jsonl line 1: has no column 'label'"),
        (
            [{**ROWS[0], "answer": 2}],
            {},
            errors.InvalidRow,
            "boolq.jsonl line 1: answer is none of the row's 2 choices; it must hold the text of one, or its number",
        ),
        ([{**ROWS[0], "answer": True}], {}, errors.InvalidRow, "boolq.jsonl line 1: answer is none of"),
        ([{**ROWS[0], "answer": "No"}], {}, errors.InvalidRow, "boolq.jsonl line 1: answer is none of"),
        (
            [{**ROWS[0], "passage": " "}],
            {"prompt": "{passage}"},
            errors.InvalidRow,
            "boolq.jsonl line 1: the prompt is empty",
        ),
        (
            [{**ROWS[0], "answers": ["a", " "]}],
            {"multipleChoice": {"choicesColumn": "answers"}},
            errors.InvalidRow,
            "boolq.jsonl line 1: answers must be a list of texts",
        ),
        (
            [{**ROWS[0], "answers": ["a", "a"]}],
            {"multipleChoice": {"choicesColumn": "answers"}},
            errors.InvalidRow,
            "boolq.jsonl line 1: answers must hold at least two answers, none of them twice",
        ),
        (
            [{**ROWS[0], "answer": " "}],
            {"multipleChoice": None, "generate": {}},
            errors.InvalidRow,
            "boolq.jsonl line 1: answer is empty; it must hold the right answer",
        ),
    ],
)
def test_what_cannot_be_asked_ends_in_prepare(world, rows, changes, error, sentence):
    world.put("boolq.jsonl", rows)
    with pytest.raises(error, match="^" + re.escape(sentence)):
        world.prepare(asking({**BOOLQ, **changes}))


def test_lm_eval_is_handed_columns_of_ours_and_nothing_of_the_spec_but_names():
    """Its templates begin where a text names no column; `metric`s that it does not know it fetches as scripts."""
    rows = [{"prompt": text, "choices": [text, "no"], "target": 0} for text in HOSTILE]
    asked = task(fewShot=1, multipleChoice={"choices": ["no", "yes"], "metrics": ["acc", "accNorm"]})
    made = eval_tasks.of_lm_eval(asked, rows, list)

    assert made.pop("custom_dataset")() == {"test": rows[1:]}
    assert made == {
        "task": "boolq",
        "output_type": "multiple_choice",
        "test_split": "test",
        "doc_to_text": "prompt",
        "doc_to_choice": "choices",
        "doc_to_target": "target",
        "num_fewshot": 1,
        "fewshot_config": {"sampler": "first_n", "samples": rows[:1]},
        "metric_list": [
            {"metric": name, "aggregation": "mean", "higher_is_better": True} for name in ("acc", "acc_norm")
        ],
    }


def test_a_written_answer_ends_where_the_spec_says():
    made = eval_tasks.of_lm_eval(
        task(multipleChoice=None, generate={"until": ["\n", "Q:"], "maxNewTokens": 5}), [{}], list
    )
    assert made["output_type"] == "generate_until"
    assert made["generation_kwargs"] == {"until": ["\n", "Q:"], "max_gen_toks": 5, "do_sample": False}
    assert [one["metric"] for one in made["metric_list"]] == ["exact_match"]
    assert "doc_to_choice" not in made


def test_figures_are_called_by_task_and_metric():
    run = asking({**BOOLQ, "multipleChoice": {"choices": ["a", "b"], "metrics": ["acc", "accNorm"]}}, TRIVIA)
    assert metrics.of_tasks(run) == ["boolqAcc", "boolqAccNorm", "triviaExactMatch"]
    asked = (run.evaluation.tasks or ())[0]
    assert eval_tasks.figures(asked, {"acc,none": 0.5, "acc_norm,none": 1, "acc_stderr,none": "N/A"}) == {
        "acc": 0.5,
        "accNorm": 1.0,
    }
