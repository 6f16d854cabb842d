"""When the base is asked: before training only where that changes it, for the first step need not wait."""

import json
from pathlib import Path

import pytest

import golden_losses
from finetune_trainer import comparing, report
from golden_losses import Case

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Could not find a config file"),
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated"),
]

ADAPTERS = [
    case
    for case in golden_losses.CASES
    if case.name
    in {"SFT LoRA dropout", "SFT DoRA", "SFT QLoRA", "SFT modulesToSave", "SFT NEFTune", "DPO LoRA"}
]


@pytest.fixture
def stages(monkeypatch) -> list[str]:
    """The stages in the order they begin in."""
    seen: list[str] = []
    tell = report.ProgressWriter.tell

    def told(self, **changes):
        if (stage := changes.get("stage")) and stage not in seen:
            seen.append(stage)
        return tell(self, **changes)

    monkeypatch.setattr(report.ProgressWriter, "tell", told)
    return seen


def base_of(root: Path, case: Case) -> tuple[bytes, list[float]]:
    """What the base said, and the training losses."""
    given = golden_losses.a_task(root, case)
    golden_losses.go(given)
    return (given.work / comparing.BASE).read_bytes(), golden_losses.losses(given)


@pytest.mark.parametrize("case", ADAPTERS, ids=lambda case: case.name)
def test_a_trained_adapter_put_aside_leaves_the_very_base(case, tmp_path, monkeypatch, stages):
    after = base_of(tmp_path / "after", case)
    assert stages.index("Train") < stages.index("EvaluateBase")
    stages.clear()
    monkeypatch.setattr(comparing.Comparing, "before", comparing.Comparing._base)
    assert base_of(tmp_path / "before", case) == after
    assert stages.index("EvaluateBase") < stages.index("Train")


def test_where_all_weights_learn_the_base_is_asked_first(tmp_path, stages):
    (case,) = [case for case in golden_losses.CASES if case.name == "SFT Full"]
    base_of(tmp_path / "pod", case)
    assert stages.index("EvaluateBase") < stages.index("Train")


def test_after_a_measurement_between_the_steps_it_says_again_that_it_trains(tmp_path, monkeypatch):
    given = golden_losses.a_task(tmp_path / "pod", ADAPTERS[0])
    run = json.loads(given.run.read_text())
    run["evaluation"]["everySteps"] = 2
    given.run.write_text(json.dumps(run))
    seen: dict[int, str] = {}
    tell = report.ProgressWriter.tell

    def told(self, **changes):
        now = tell(self, **changes)
        if "loss" in changes:
            seen[now.step] = now.stage
        return now

    monkeypatch.setattr(report.ProgressWriter, "tell", told)
    golden_losses.go(given)
    assert seen == dict.fromkeys(range(1, 7), "Train")
