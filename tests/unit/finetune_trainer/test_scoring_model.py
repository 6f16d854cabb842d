"""The model that judges answers, in Prepare: pinned like the base model, and refused there where it cannot judge."""

import re
from typing import Any

import pytest

import trainer_tiny_encoder
import trainer_world
from finetune_trainer import errors, gate, outcome, report
from finetune_trainer.supervisor import fetch
from trainer_world import TALK, World

URI = "pvc://models/encoder"
FIELD = "spec.evaluation.bertScore.model.uri"


@pytest.fixture
def world(tmp_path) -> World:
    made = World.at(tmp_path)
    made.put("train.jsonl", TALK)
    trainer_tiny_encoder.build_small(made.layout.claims / "models/encoder")
    return made


def asking(uri: str = URI, **said: Any) -> dict[str, Any]:
    return {"evaluation": {"metrics": ["loss", "bertscore"], "bertScore": {"model": {"uri": uri}, **said}}}


def refused(world: World, error: type[errors.TrainerError], sentence: str, **run: Any) -> None:
    with pytest.raises(error, match="^" + re.escape(sentence)):
        world.prepare(trainer_world.run(**run))


def test_it_is_pinned_with_the_data_and_its_answers_are_drawn(world):
    run = trainer_world.run(**asking(layer=2))

    result = world.prepare(run)

    found = trainer_world.load(outcome.work_area(run, world.layout), result)
    assert found.scorer is not None
    assert found.scorer.uri == URI
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", found.scorer.revision)
    assert found.digest == world.prepare(trainer_world.run()).result["dataset"]["digest"], "it shapes no row"


def test_who_asks_for_none_gets_none(world):
    run = trainer_world.run()
    found = trainer_world.load(outcome.work_area(run, world.layout), world.prepare(run))
    assert found.scorer is None
    assert not world.layout.scorer.exists()


def test_training_fetches_its_files_and_no_others(world):
    run = trainer_world.run(**asking())
    found = trainer_world.load(outcome.work_area(run, world.layout), world.prepare(run))
    (world.layout.claims / "models/encoder/pytorch_model.bin").write_bytes(b"a pickle")

    fetch.scorer(run, world.layout, found, report.ProgressWriter(world.layout.progress, attempt=1))

    assert {path.name for path in world.layout.scorer.iterdir()} == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }


def test_another_one_at_the_same_place_is_not_taken(world):
    run = trainer_world.run(**asking())
    found = trainer_world.load(outcome.work_area(run, world.layout), world.prepare(run))
    (world.layout.claims / "models/encoder/model.safetensors").write_bytes(b"other weights")

    with pytest.raises(
        errors.ModelChanged, match="^" + re.escape(f"{FIELD}: the files at {URI} have changed")
    ):
        fetch.scorer(run, world.layout, found, report.ProgressWriter(world.layout.progress, attempt=1))


def test_a_language_model_is_no_encoder(world):
    refused(
        world,
        errors.UnsupportedModelFiles,
        f"{FIELD}: pvc://models/tiny is of type qwen3, and BERTScore needs an encoder like BERT",
        **asking("pvc://models/tiny"),
    )


def test_what_lies_nowhere_is_named_by_its_field(world):
    refused(
        world,
        errors.ModelNotFound,
        f"{FIELD}: there is nothing at pvc://models/nothing",
        **asking("pvc://models/nothing"),
    )


def test_a_layer_that_it_lacks(world):
    refused(
        world,
        errors.SettingsDoNotFit,
        f"spec.evaluation.bertScore.layer: {URI} has 3 layers, and the output of layer 4 is asked for",
        **asking(layer=4),
    )


def test_pickles_are_refused(world):
    folder = world.layout.claims / "models/encoder"
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    refused(
        world,
        errors.UnsupportedModelFiles,
        f"{FIELD}: {URI} has its weights only as pickles",
        **asking(),
    )


def test_a_tokenizer_that_puts_nothing_around_a_text(world):
    """The metric would leave out each text's first and last word."""
    trainer_tiny_encoder.build_small(world.layout.claims / "models/bare", around=False)
    refused(
        world,
        errors.UnsupportedModelFiles,
        f"{FIELD}: the tokenizer of pvc://models/bare does not put one special token before and one after",
        **asking("pvc://models/bare"),
    )


def test_a_config_that_is_none(world):
    (world.layout.claims / "models/encoder/config.json").write_text(
        '{"model_type": "bert", "hidden_size": "wide"}'
    )
    refused(world, errors.UnsupportedModelFiles, f"{FIELD}: its config.json cannot be read", **asking())


def test_the_gate_goes_by_its_figures():
    judged = {**asking()["evaluation"], "gate": ["tuned.bertScoreF1 >= base.bertScoreF1 + 0.01"]}
    gate.check(trainer_world.run(evaluation=judged))
    with pytest.raises(errors.InvalidGate, match=r"add bertscore to spec\.evaluation\.metrics"):
        gate.check(trainer_world.run(evaluation={"gate": ["tuned.bertScoreF1 > 0.5"]}))
