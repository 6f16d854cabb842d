"""Runs that ask tasks of lm-eval of base and tuned model: result, card, report, gate, and both stages as real processes."""

import json
from pathlib import Path
from typing import Any

import pytest

import trainer_runs
from finetune_trainer import comparing, errors, fine_tuning, prepared
from finetune_trainer.interruption import Interruption
from finetune_trainer.layout import Layout
from finetune_trainer.prepared import AskedTask
from finetune_trainer.task import Task
from trainer_processes import ran

pytestmark = [
    pytest.mark.filterwarnings("ignore:Could not find a config file"),
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated"),
]

NEXT = {
    "name": "next",
    "data": {"uri": "pvc://data/next.jsonl"},
    "prompt": "Which number comes after {number}?",
    "target": "right",
    "multipleChoice": {"choicesColumn": "answers", "metrics": ["acc", "accNorm"]},
    "fewShot": 1,
    "limit": 6,
}
SAID = {
    "name": "said",
    "data": {"uri": "pvc://data/next.jsonl"},
    "prompt": "{number}",
    "target": "right",
    "generate": {"maxNewTokens": 4},
}
FIGURES = {"nextAcc", "nextAccNorm", "saidExactMatch"}
ROWS = [
    {"number": at, "answers": [str(at - 1), str(at + 1), "none"], "right": str(at + 1)} for at in range(2, 12)
]


def a_run(
    root: Path, *, gate: str, tasks: tuple[dict[str, Any], ...] = (NEXT, SAID), **changes: Any
) -> tuple[Layout, Task]:
    """A prepared run with tasks, about to be trained."""
    layout = trainer_runs.pod(root, evaluation={"tasks": list(tasks), "gate": [gate]}, **changes)
    layout.make_folders()
    ready = trainer_runs.prepare_by_hand(layout.dataset)
    rows = {
        "next": [{"prompt": f"{row['number']}", "choices": row["answers"], "target": 1} for row in ROWS],
        "said": [{"prompt": f"{row['number']}", "target": row["right"]} for row in ROWS],
    }
    facts = {}
    for task in tasks:
        file = layout.dataset / AskedTask.name_of(task["name"])
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(rows[task["name"]]))
        facts[task["name"]] = AskedTask(
            file=prepared.FileFacts.of(file), rows=len(ROWS) - task.get("fewShot", 0)
        )
    ready = ready.model_copy(update={"tasks": facts})
    (layout.dataset / prepared.DOCUMENT).write_text(ready.model_dump_json(by_alias=True))
    given = Task(
        run=layout.run, attempt=1, dataset=layout.dataset, model=layout.claims / "models/tiny",
        progress=layout.progress, work=layout.scratch / "ranks",
    )  # fmt: skip
    given.work.mkdir(parents=True)
    return layout, given


def trained(given: Task) -> Any:
    fine_tuning.FineTuning(given, Interruption(), rank=0, world=1).go()
    return json.loads(given.trained.read_text())["evaluation"]


def test_base_and_tuned_are_told_in_result_card_and_report(tmp_path):
    _, given = a_run(tmp_path / "pod", gate="tuned.nextAcc <= 1")

    found = trained(given)

    for side in ("base", "tuned"):
        assert set(found[side]["other"]) == FIGURES
    base = json.loads((given.work / comparing.BASE).read_text())["measured"]["other"]
    assert base == found["base"]["other"]
    for page in ("README.md", "report.html"):
        text = (given.artefact / page).read_text()
        assert all(name in text for name in FIGURES)
        assert "tasks of lm-eval" in text
    assert (
        "pvc://data/next.jsonl, 9 rows asked, 1 shown before each, sha256:"
        in (given.artefact / "report.html").read_text()
    )
    assert "lm-eval 0.4.13" in (given.artefact / "report.html").read_text()


def test_the_base_is_asked_without_the_adapter(tmp_path):
    """Whatever training makes of the tuned model, the base's figures stay."""
    found = []
    for at, rate in enumerate((0.01, 1.0)):
        _, given = a_run(
            tmp_path / f"{at}", gate="tuned.nextAcc <= 1", tasks=(NEXT,), training={"learningRate": rate}
        )
        found.append(trained(given))
    assert found[0]["base"]["other"] == found[1]["base"]["other"]
    assert found[0]["base"]["loss"] == found[1]["base"]["loss"]


def test_a_gate_over_a_task_holds_a_result_back(tmp_path):
    _, given = a_run(tmp_path / "pod", gate="tuned.nextAcc > 1.5")
    with pytest.raises(errors.GateNotMet, match=r"tuned\.nextAcc > 1\.5 \(tuned\.nextAcc is "):
        trained(given)


def test_rows_that_cannot_be_read_end_the_run_before_it_trains(tmp_path):
    layout, given = a_run(tmp_path / "pod", gate="tuned.nextAcc <= 1")
    (layout.dataset / AskedTask.name_of("next")).unlink()
    with pytest.raises(FileNotFoundError):
        trained(given)
    assert not (given.work / comparing.BASE).exists()


def test_the_base_is_asked_again_where_other_rows_are_asked(tmp_path):
    """A job that goes on from another's checkpoint finds what that base was measured at."""
    asked = set()
    for at, changed in enumerate(({}, {"fewShot": 2}, {"limit": 5})):
        _, given = a_run(tmp_path / f"{at}", gate="tuned.loss < 100", tasks=({**NEXT, **changed},))
        ran_once = fine_tuning.FineTuning(given, Interruption(), rank=0, world=1)
        asked.add(ran_once._asking.digest)
    assert len(asked) == 3


@pytest.mark.parametrize("tuning", ["LoRA", "Full"])
def test_both_stages_as_their_pods_run_them(tmp_path, tuning):
    """Real processes, each without the libraries that its run leaves out."""
    layout = trainer_runs.pod(
        tmp_path / "pod",
        evaluation={"tasks": [NEXT, SAID], "gate": ["tuned.saidExactMatch >= 0"]},
        training={"maxSteps": 2},
        tuning={"type": tuning, "lora": {}},
    )
    (layout.claims / "data/next.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))

    digest = ran(layout, "prepare", "--attempt", "1")["result"]["dataset"]["digest"]
    told = ran(layout, "train", "--attempt", "1", "--prepared", digest)

    assert told["reason"] == "Published"
    for side in ("base", "tuned"):
        assert set(told["result"]["evaluation"][side]["other"]) == FIGURES
