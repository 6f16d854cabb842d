"""The look at the model beside the reading of rows: the same answers, in the same order, and no process left behind."""

import json
import os
import signal

import pytest

import trainer_processes
import trainer_world
from finetune_trainer import errors, inspection, looking, process_tree, unneeded
from trainer_world import TALK, World

pytestmark = pytest.mark.slow  # each look is a process that imports torch


def change_config(world: World, **changes) -> None:
    """Write `changes` into the model's config.json; its time stays, by which the model's revision goes."""
    path = world.model / "config.json"
    written = path.stat().st_mtime_ns
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    os.utime(path, ns=(written, written))


@pytest.fixture
def world(tmp_path) -> World:
    """A pod with a model that transformers must build: its config says more than common ones do."""
    made = World.at(tmp_path)
    change_config(made, said_besides=True)
    made.put("train.jsonl", TALK)
    return made


@pytest.fixture(params=[True, False], ids=["beside", "here"])
def away(request, monkeypatch) -> bool:
    """Whether another process looks."""
    monkeypatch.setattr(unneeded, "left_out", lambda _: request.param)
    return bool(request.param)


def test_what_another_process_finds_is_what_this_one_would(world, away):
    with looking.beside(trainer_world.run(), world.model) as look:
        assert look.result.found == inspection.architecture(world.model)
        assert look.result.targets == look.result.found.linear
    assert list(process_tree.children(os.getpid())) == []


def test_a_common_model_needs_no_other_process(tmp_path, monkeypatch):
    monkeypatch.setattr(unneeded, "left_out", lambda _: True)
    folder = World.at(tmp_path).model
    with looking.beside(trainer_world.run(), folder) as look:
        assert list(process_tree.children(os.getpid())) == []
        assert look.result.found == inspection.architecture(folder)


def test_prepare_without_torch_prepares_the_same(world, tmp_path):
    here = world.prepare(trainer_world.run())
    other = World.at(tmp_path / "pod")
    change_config(other, said_besides=True)
    other.put("train.jsonl", TALK)
    other.layout.run.parent.mkdir(parents=True)
    other.layout.run.write_text(json.dumps(trainer_world.document()))

    assert trainer_processes.ran(other.layout, "prepare", "--attempt", "1")["result"] == here.result


@pytest.mark.usefixtures("away")
def test_a_wrong_model_is_told_before_a_wrong_row(world):
    change_config(world, num_attention_heads=0)
    world.put("train.jsonl", "{")
    with pytest.raises(errors.UnsupportedModelFiles, match=r"can build no language model from config\.json"):
        world.prepare(trainer_world.run())


@pytest.mark.usefixtures("away")
def test_a_module_that_the_model_lacks_is_told_before_a_wrong_row(world):
    world.put("train.jsonl", "{")
    run = trainer_world.run(tuning={"type": "LoRA", "lora": {"targetModules": ["nothing"]}})
    with pytest.raises(errors.TargetModulesNotFound, match="no module 'nothing'"):
        world.prepare(run)


@pytest.mark.usefixtures("away")
def test_a_wrong_row_of_a_right_model_is_told(world):
    world.put("train.jsonl", "{")
    with pytest.raises(errors.InvalidRow, match=r"train\.jsonl line 1"):
        world.prepare(trainer_world.run())


def test_a_look_that_is_killed_is_told(world, monkeypatch):
    monkeypatch.setattr(unneeded, "left_out", lambda _: True)
    with looking.beside(trainer_world.run(), world.model) as look:
        (child,) = process_tree.children(os.getpid())
        os.kill(child, signal.SIGKILL)
        with pytest.raises(
            errors.WorkerDied, match="looks at the model was killed \\(SIGKILL\\), most likely"
        ):
            _ = look.result


def test_who_is_told_to_stop_waits_for_nothing_and_leaves_no_process(world, monkeypatch):
    monkeypatch.setattr(unneeded, "left_out", lambda _: True)
    change_config(world, num_attention_heads=0)
    with pytest.raises(errors.Interrupted), looking.beside(trainer_world.run(), world.model):
        raise errors.Interrupted("stopped")
    assert list(process_tree.children(os.getpid())) == []
