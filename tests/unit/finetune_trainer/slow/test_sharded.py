"""Weights shared out over two processes: FSDP2 over gloo, which stands in for GPUs that nobody here has."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import golden_losses
import trainer_sharded
import trainer_shards
from finetune_trainer import comparing, task
from finetune_trainer.supervisor import launch
from finetune_trainer.task import Task
from golden_losses import FULL, Case

pytestmark = pytest.mark.slow

SFT = Case("sharded", "SFT", FULL)
MEASURED: dict[str, Any] = {"evaluation": {"everySteps": 2, "samples": ["What is the answer?"]}}
WEIGHTS = "pytorch_model_fsdp.bin"


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> list[dict[str, Any]]:
    """What two ranks have found out about shards, by rank."""
    root, port = tmp_path_factory.mktemp("shards"), str(launch.free_port())
    here = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(trainer_shards.__file__).parent)}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-m", "trainer_shards", str(rank), port, str(root / str(rank))], env=here
        )
        for rank in range(2)
    ]
    try:
        assert [rank.wait(timeout=trainer_sharded.PATIENCE) for rank in ranks] == [0, 0]
    finally:
        for rank in ranks:
            rank.kill()
    return [json.loads((root / str(rank)).read_text()) for rank in range(2)]


@pytest.mark.parametrize("rank", [0, 1])
def test_what_is_gathered_and_handed_out_is_the_same_to_the_bit(shared, rank):
    found = shared[rank]
    assert found["shares"] == [True, True]
    assert (found["gathered"], found["moved"], found["put back"], found["spread"]) == (True, True, True, True)
    for both in ("said", "replaced", "trains on"):
        of_shards, of_the_whole = found[both]
        assert of_shards == of_the_whole


def test_checkpointing_by_the_model_gathers_nothing_twice(shared):
    """transformers warns of it, for the FSDP of old."""
    plain, checkpointed = shared[0]["gathers"]
    assert plain == checkpointed > 0


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Task:
    given = trainer_sharded.a_task(tmp_path_factory.mktemp("sharded") / "pod", SFT, **MEASURED)
    trainer_sharded.train(given)
    return given


def published(given: Task) -> dict[str, torch.Tensor]:
    return load_file(given.artefact / "model.safetensors")


def trained(given: Task) -> task.Trained:
    return task.Trained.model_validate_json(given.trained.read_bytes())


def compare(sharded: Task, copied: Task, *, rounding: float) -> None:
    """Losses and evaluation of a run with shards are those of one with copies, up to the order of sums."""
    assert golden_losses.losses(sharded) == pytest.approx(golden_losses.losses(copied), rel=rounding)
    ours, theirs = trained(sharded).evaluation, trained(copied).evaluation
    for one in ("base", "tuned"):
        assert getattr(ours, one).loss == pytest.approx(getattr(theirs, one).loss, rel=rounding)


def test_shards_train_what_copies_do(undisturbed, tmp_path):
    copied = trainer_sharded.a_task(tmp_path / "pod", SFT, **MEASURED)
    trainer_sharded.train(copied, program="finetune_trainer.rank")

    compare(undisturbed, copied, rounding=1e-5)
    ours, theirs = published(undisturbed), published(copied)
    assert ours.keys() == theirs.keys()
    history = [
        json.loads((one.artefact / "metrics.json").read_text())["history"] for one in (undisturbed, copied)
    ]
    ours, theirs = ({one["step"]: one["eval_loss"] for one in told if "eval_loss" in one} for told in history)
    assert ours == pytest.approx(theirs, rel=1e-5)
    assert sorted(ours) == [2, 4]


def test_what_is_published_is_what_was_trained(undisturbed):
    kept = torch.load(undisturbed.finished / "step-6" / WEIGHTS, weights_only=True)
    found = published(undisturbed)
    assert all(torch.equal(found[name], kept[name].to(found[name].dtype)) for name in found)
    settings = json.loads((undisturbed.artefact / "config.json").read_text())
    assert settings["architectures"] == ["Qwen3ForCausalLM"]


def test_a_checkpoint_holds_weights_once_and_the_dice_of_every_rank(undisturbed):
    names = {path.name for path in (undisturbed.finished / "step-2").iterdir()}
    assert {WEIGHTS, "optimizer.bin", "scheduler.pt", "trainer_state.json", comparing.BASE} <= names
    assert {"rng_state_0.pth", "rng_state_1.pth"} <= names
    assert not [name for name in names if name.endswith(".safetensors")]


@pytest.mark.parametrize("step", ["step-2", "step-6"])
def test_a_run_that_goes_on_publishes_the_same_to_the_bit(undisturbed, step, tmp_path):
    again = trainer_sharded.a_task(tmp_path / "pod", SFT, resume=undisturbed.finished / step, **MEASURED)
    trainer_sharded.train(again)

    before, after = published(undisturbed), published(again)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert golden_losses.losses(again) == golden_losses.losses(undisturbed)
    assert trained(again).evaluation == trained(undisturbed).evaluation


def test_a_base_that_is_asked_something_new_is_the_base_all_the_same(undisturbed, tmp_path):
    other = {"evaluation": {**MEASURED["evaluation"], "maxNewTokens": 4}}
    again = trainer_sharded.a_task(tmp_path / "pod", SFT, resume=undisturbed.finished / "step-4", **other)
    trainer_sharded.train(again)

    assert trained(again).evaluation == trained(undisturbed).evaluation
    assert all(torch.equal(published(again)[name], one) for name, one in published(undisturbed).items())


def test_packs_train_what_they_do_with_copies(tmp_path):
    """Over two processes: how many tokens a pass holds differs between them."""
    (case,) = [case for case in golden_losses.CASES if case.name == "SFT Full packing"]
    sharded, copied = (trainer_sharded.a_task(tmp_path / name, case) for name in ("sharded", "copied"))
    trainer_sharded.train(sharded)
    trainer_sharded.train(copied, program="finetune_trainer.rank")

    compare(sharded, copied, rounding=1e-5)


@pytest.mark.parametrize("name", ["DPO Full"])
def test_every_method_trains_with_shards(name, tmp_path):
    """Two processes share the rows of the very steps whose losses are pinned for one."""
    (case,) = [case for case in golden_losses.CASES if case.name == name]
    given = trainer_sharded.a_task(tmp_path / "pod", case)
    trainer_sharded.train(given)

    found = golden_losses.pinned(golden_losses.losses(given))
    assert found == pytest.approx(golden_losses.read()[name], rel=1e-4)
    assert trained(given).evaluation.tuned.loss != trained(given).evaluation.base.loss


def test_kto_trains_with_shards(tmp_path):
    """It compares the rows of all processes' passes: pinned losses are those of one process."""
    case = Case("KTO", "KTO", FULL)
    sharded, copied = (trainer_sharded.a_task(tmp_path / name, case) for name in ("sharded", "copied"))
    trainer_sharded.train(sharded)
    trainer_sharded.train(copied, program="finetune_trainer.rank")
    compare(sharded, copied, rounding=1e-5)
