"""The adapter that training goes on from: what of it holds for the run, and which model it must belong to."""

import json
from typing import Any

import pytest

import bad_input_adapter
import trainer_world
from finetune_trainer import adapter_source, config, errors, outcome, start_adapter
from finetune_trainer.prepared import BaseModelFacts
from trainer_world import World

COMMIT, OTHER = "0" * 39 + "1", "0" * 39 + "2"
TINY = BaseModelFacts(id="pvc://models/tiny", uri="pvc://models/tiny", revision="sha256:now")


@pytest.fixture
def world(tmp_path) -> World:
    return World.at(tmp_path)


def going_on(**spec: Any) -> config.Run:
    model = {"uri": "pvc://models/tiny", "adapterFrom": {"uri": bad_input_adapter.URI}}
    origins = {"adapter": {"uri": bad_input_adapter.URI}}
    return trainer_world.run(**{"model": model, "origins": origins, **spec})


def test_what_shapes_the_weights_is_the_adapters_and_dropout_the_runs(world):
    bad_input_adapter.adapter(use_rslora=True)(world)
    run = going_on(tuning={"lora": {"dropout": 0.1}})
    made = adapter_source.fetch(run, world.layout, TINY)
    assert made.tuning.lora == config.Lora(
        rank=4, alpha=8, dropout=0.1, target_modules=("q_proj", "v_proj"), rslora=True
    )
    assert made == start_adapter.applied(run, world.layout.dataset)
    assert sorted(path.name for path in (world.layout.dataset / start_adapter.FOLDER).iterdir()) == [
        start_adapter.CONFIG,
        start_adapter.WEIGHTS,
    ]


def test_what_the_adapter_is_may_be_said_again(world):
    bad_input_adapter.adapter()(world)
    said = {"rank": 4, "alpha": 8, "targetModules": ["v_proj", "q_proj"]}
    assert adapter_source.fetch(going_on(tuning={"lora": said}), world.layout, TINY).tuning.lora.rank == 4


def test_without_adapter_from_nothing_is_fetched(world):
    run = trainer_world.run()
    assert adapter_source.fetch(run, world.layout, TINY) is run
    assert start_adapter.names(run) == ()


def test_an_adapter_of_another_revision_is_refused(world):
    bad_input_adapter.damaged(world)  # its manifest names no revision; this one does
    path = bad_input_adapter.folder(world) / outcome.MANIFEST
    manifest = json.loads(path.read_text())
    path.write_text(
        json.dumps({**manifest, "baseModel": {**manifest["baseModel"], "revision": "sha256:then"}})
    )
    with pytest.raises(
        errors.AdapterDoesNotFit,
        match=r"was trained for revision sha256:then of pvc://models/tiny, and spec\.model\.uri is now sha256:now",
    ):
        adapter_source.fetch(going_on(), world.layout, TINY)


def test_the_revision_of_a_model_of_the_hub_is_named_as_it_is_pinned(world):
    bad_input_adapter.adapter(base_model_name_or_path="org/tiny", revision=COMMIT)(world)
    base = BaseModelFacts(id="org/tiny", uri="hf://org/tiny", revision=OTHER)
    with pytest.raises(errors.AdapterDoesNotFit, match=rf"name hf://org/tiny@{COMMIT} as spec\.model\.uri"):
        adapter_source.fetch(going_on(), world.layout, base)


def test_a_run_that_does_not_say_where_the_adapter_lies_is_refused(world):
    with pytest.raises(errors.InvalidRun, match=r"run\.json does not say where the adapter is"):
        adapter_source.fetch(going_on(origins=None), world.layout, TINY)
