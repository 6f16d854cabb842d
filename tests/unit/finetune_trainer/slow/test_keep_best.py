"""The step with the lowest held-out loss is published, whatever came after it and however often the run was interrupted."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import golden_losses
import trainer_runs
from finetune_trainer import best, checkpoint, config, task
from finetune_trainer.task import Task

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Could not find a config file"),
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated"),
]


def a_task(root: Path, tuning: dict[str, Any], *, resume: Path | None = None, **training: Any) -> Task:
    """Six steps, the held-out loss measured and a checkpoint made at each."""
    case = golden_losses.Case("best", "SFT", tuning, training)
    given = golden_losses.a_task(root, case, resume=resume)
    changed = trainer_runs.document(
        training=training, evaluation={"everySteps": 1, "keepBest": True}, checkpoint={"everySteps": 1}
    )
    changed["tuning"] = tuning
    given.run.write_text(config.Run.model_validate(changed).model_dump_json(by_alias=True, exclude_none=True))
    return given


def measured(given: Task) -> dict[int, float]:
    """Held-out loss by step, that of the last step but for a run that stopped early."""
    history = json.loads((given.artefact / "metrics.json").read_text())["history"]
    return {entry["step"]: entry["eval_loss"] for entry in history if "eval_loss" in entry}


def adapter(folder: Path) -> bytes:
    return (folder / "adapter_model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Task:
    """A run that nobody disturbed."""
    given = a_task(tmp_path_factory.mktemp("whole") / "pod", golden_losses.DROPOUT)
    golden_losses.go(given)
    return given


def test_the_best_step_is_published_bit_for_bit_and_not_the_last(whole: Task):
    trained = task.Trained.model_validate_json(whole.trained.read_bytes())
    losses = measured(whole)

    assert sorted(losses) == [1, 2, 3, 4, 5]
    lowest = min(losses, key=lambda step: losses[step])
    assert (trained.step, trained.kept_step) == (6, lowest)
    assert adapter(whole.artefact) == adapter(whole.finished / f"step-{lowest}")
    assert adapter(whole.artefact) != adapter(whole.finished / "step-6")
    assert trained.evaluation.tuned.loss == losses[lowest]


@pytest.mark.parametrize("step", ["step-3", "step-6"])
def test_a_run_that_goes_on_elsewhere_publishes_the_same(whole: Task, step: str, tmp_path: Path):
    """All that the other pod gets is the checkpoint."""
    sealed = checkpoint.sealed(
        whole.finished / step, step=1, fingerprint="f", time=checkpoint.datetime.now().astimezone()
    )
    assert {best.WEIGHTS, best.DOCUMENT} <= sealed.files.keys()

    resumed = a_task(tmp_path / "pod", golden_losses.DROPOUT, resume=whole.finished / step)
    again = golden_losses.go(resumed)

    assert again.kept_step == task.Trained.model_validate_json(whole.trained.read_bytes()).kept_step
    assert adapter(resumed.artefact) == adapter(whole.artefact)


def test_a_run_that_stops_early_publishes_its_best(tmp_path: Path):
    given = a_task(tmp_path / "pod", golden_losses.LORA, earlyStopping={"patience": 2, "threshold": 100.0})
    trained = golden_losses.go(given)

    losses = measured(given)
    assert (trained.step, sorted(losses)) == (3, [1, 2, 3])
    assert losses[trained.kept_step] == min(losses.values())
    assert adapter(given.artefact) == adapter(given.finished / f"step-{trained.kept_step}")


def test_of_whole_weights_the_best_ones_are_published(tmp_path: Path):
    given = a_task(tmp_path / "pod", golden_losses.FULL)
    trained = golden_losses.go(given)

    published, kept = load_file(given.artefact / "model.safetensors"), load_file(given.work / best.WEIGHTS)
    assert trained.evaluation.tuned.loss == min(measured(given).values())
    assert published.keys() == kept.keys()
    assert all(torch.equal(published[name], kept[name].to(published[name].dtype)) for name in kept)


def test_only_a_lower_loss_takes_the_place_of_the_best(tmp_path: Path):
    model = torch.nn.Linear(2, 2)
    kept = best.Best(tmp_path, None)
    assert kept.kept is None
    for step, loss in ((1, 3.0), (2, 2.0), (3, 2.0), (4, 2.5)):
        with torch.no_grad():
            model.weight.fill_(step)
        kept.see(model, step=step, loss=loss)

    kept.restore(model)

    assert kept.kept == best.Kept(step=2, loss=2.0)
    assert model.weight.tolist() == [[2.0, 2.0], [2.0, 2.0]]
    assert best.Best(tmp_path / "elsewhere", tmp_path.parent).kept is None
