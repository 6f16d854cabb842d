"""W&B offline, MLflow and TensorBoard hold the figures of metrics.jsonl: real training, interrupted and gone on with."""

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stories
import tracker_figures
import trainer_runs
from finetune_trainer.layout import Layout
from tracker_figures import Figures
from trainer_processes import copied, ran, slow_steps, start

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

UID = trainer_runs.JOB["uid"]
EXPERIMENT = "support"
STEPS = 12


def heard(place: str) -> bool:
    """Whether MLflow knows of the first step."""
    try:
        return ("loss", 1) in tracker_figures.of_mlflow(place, UID, EXPERIMENT)[1]
    except (AssertionError, ValueError):
        return False


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> tuple[Layout, dict[str, Any], str]:
    """A job that was interrupted and gone on with; its last word; MLflow's place, which has heard of both attempts."""
    folder = tmp_path_factory.mktemp("trackers")
    place = (folder / "mlruns").as_uri()
    layout = trainer_runs.pod(
        folder / "first",
        training={"maxSteps": STEPS},
        evaluation={"everySteps": 4},
        checkpoint={"everySteps": 50},
        tracking={
            "wandb": {"project": "p", "mode": "Offline"},
            "mlflow": {"trackingUri": place, "experiment": EXPERIMENT},
            "tensorboard": {},
        },
    )
    digest = ran(layout, "prepare", "--attempt", "1")["result"]["dataset"]["digest"]
    first = start(layout, "train", "--attempt", "1", "--prepared", digest, **slow_steps(STEPS, 4))
    # The trackers' libraries take seconds to import, longer than all these steps on a fast machine.
    stories.wait_until(
        lambda: heard(place) or first.poll() is not None, bool, what="MLflow to hear of a step", seconds=90
    )
    first.send_signal(signal.SIGTERM)
    assert first.wait(timeout=60) == 75
    half, told = tracker_figures.of_mlflow(place, UID, EXPERIMENT)
    assert (half.info.status, ("loss", 1) in told, ("loss", STEPS) in told) == ("RUNNING", True, False)
    second = copied(layout, folder / "second")
    return second, ran(second, "train", "--attempt", "2", "--prepared", digest), place


def result(layout: Layout) -> Path:
    return layout.claims / "output/tiny"


def expected(layout: Layout) -> Figures:
    """metrics.jsonl: every step, and what was measured between them."""
    figures = tracker_figures.logged(result(layout) / "metrics.jsonl")
    assert {step for name, step in figures if name == "loss"} == set(range(1, STEPS + 1))
    assert {name for name, _ in figures} >= {"loss", "learning_rate", "grad_norm", "epoch", "eval_loss"}
    return figures


def evaluated(told: dict[str, Any]) -> dict[str, float]:
    found = told["result"]["evaluation"]
    return {
        f"{side}/{name}": found[side][name] for side in ("base", "tuned") for name in ("loss", "perplexity")
    }


def test_nothing_went_wrong_beside_the_training(published):
    assert "warnings" not in published[1]["result"]["progress"]


def test_wandb_offline_holds_the_same_figures(published):
    layout, told, _ = published
    run, figures = tracker_figures.of_wandb(result(layout) / f"wandb/run-{UID}.wandb")
    assert figures == expected(layout)
    assert (run["id"], run["name"]) == (UID, "tiny")
    assert run["settings"]["training.learningRate"] == 0.01
    assert run["settings"]["resolved.totalSteps"] == STEPS
    assert {name: run["summary"][name] for name in evaluated(told)} == evaluated(told)


def test_mlflow_holds_the_same_figures_in_one_run(published):
    layout, told, place = published
    run, figures = tracker_figures.of_mlflow(place, UID, EXPERIMENT)
    last = {(name, STEPS): value for name, value in evaluated(told).items()}
    assert figures == expected(layout) | last
    assert (run.info.status, run.info.run_name) == ("FINISHED", "tiny")
    assert run.data.params["training.learningRate"] == "0.01"


def test_tensorboard_holds_the_same_figures_in_32_bits(published):
    layout, told, _ = published
    last = {(name, STEPS): value for name, value in evaluated(told).items()}
    wanted = {key: np.float32(value) for key, value in (expected(layout) | last).items()}
    assert tracker_figures.of_tensorboard(result(layout) / "tensorboard") == wanted


def test_the_files_are_the_results_and_name_no_path_of_the_pod(published):
    layout = published[0]
    folder = result(layout)
    (events,) = (folder / "tensorboard").iterdir()
    (wandb,) = (folder / "wandb").iterdir()
    manifest = (folder / "finetune-manifest.json").read_text()
    for path in (events, wandb):
        assert f'"{path.relative_to(folder)}"' in manifest
        assert str(layout.scratch.parent).encode() not in path.read_bytes()
