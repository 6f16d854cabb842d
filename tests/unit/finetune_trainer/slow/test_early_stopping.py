"""Training stops where the held-out loss no longer falls: the same step, disturbed or not."""

import json
from pathlib import Path

import pytest

import golden_losses
import trainer_runs
from finetune_trainer import callbacks, config
from finetune_trainer.task import Task

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Could not find a config file"),
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated"),
]

CASE = golden_losses.Case(
    "early", "SFT", golden_losses.LORA, {"earlyStopping": {"patience": 2, "threshold": 100.0}}
)
"""No loss falls by 100: the first measurement is the lowest, and the third the last."""


def a_task(root: Path, *, resume: Path | None = None) -> Task:
    given = golden_losses.a_task(root, CASE, resume=resume)
    changed = trainer_runs.document(
        tuning=CASE.tuning, training=CASE.training, evaluation={"everySteps": 1}, checkpoint={"everySteps": 2}
    )
    changed["tuning"] = CASE.tuning
    given.run.write_text(config.Run.model_validate(changed).model_dump_json(by_alias=True, exclude_none=True))
    return given


@pytest.mark.parametrize(
    ("losses", "patience", "threshold", "enough"),
    [
        ([], 1, 0.0, False),
        ([3.0, 2.0, 1.0], 1, 0.0, False),
        ([3.0, 3.0], 1, 0.0, True),
        ([3.0, 2.0, 2.1], 2, 0.0, False),
        ([3.0, 2.0, 2.1, 2.0], 2, 0.0, True),
        ([3.0, 2.0, 2.1, 1.9], 2, 0.0, False),
        ([3.0, 2.9, 2.8], 2, 0.5, True),
        ([3.0, 2.8, 2.4], 2, 0.5, False),
    ],
)
def test_it_is_enough_when_patience_is_used_up(losses, patience, threshold, enough):
    history = [{"loss": 1.0}, *({"step": 1, "eval_loss": loss} for loss in losses)]
    asked = config.EarlyStopping(patience=patience, threshold=threshold)
    assert callbacks.no_longer_falls(history, asked) is enough


def test_a_run_stops_early_and_so_does_the_same_run_resumed(tmp_path: Path):
    whole = a_task(tmp_path / "whole" / "pod")
    trained = golden_losses.go(whole)
    assert (trained.step, trained.total_steps) == (3, 6)
    assert sorted(path.name for path in whole.finished.iterdir()) == ["step-2", "step-3"]
    expected = (whole.artefact / "adapter_model.safetensors").read_bytes()

    for step in ("step-2", "step-3"):
        resumed = a_task(tmp_path / step / "pod", resume=whole.finished / step)
        assert golden_losses.go(resumed).step == 3
        assert (resumed.artefact / "adapter_model.safetensors").read_bytes() == expected


def test_a_measurement_that_was_cut_short_is_made_up_for(tmp_path: Path):
    whole = a_task(tmp_path / "whole" / "pod")
    golden_losses.go(whole)
    resume = whole.finished / "step-2"
    state = resume / "trainer_state.json"
    kept = json.loads(state.read_text())
    kept["log_history"] = [e for e in kept["log_history"] if not ("eval_loss" in e and e["step"] == 2)]
    state.write_text(json.dumps(kept))
    assert golden_losses.go(a_task(tmp_path / "resumed" / "pod", resume=resume)).step == 3
