import json

import pytest

import trainer_world
from finetune_trainer import config, errors


def test_a_run_loads_with_the_defaults_of_the_spec(tmp_path):
    path = tmp_path / "run.json"
    path.write_text(json.dumps(trainer_world.document()))

    run = config.load(path)

    assert run.tuning.lora.target_modules == ("all-linear",)
    assert run.training.max_length == 1024
    assert run.resources.processes == 1


def test_a_run_says_again_what_it_was_told():
    told = trainer_world.document(training={"maxSteps": 3, "microBatchSize": 2})

    again = config.parse(json.dumps(config.parse(json.dumps(told).encode()).wire()).encode())

    assert again == config.parse(json.dumps(told).encode())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"version": 2}, "version: Input should be 1"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"training": {"epoch": 3}}, "training.epoch: Extra inputs"),
        ({"training": {"microBatchSize": 0}}, "training.microBatchSize"),
        ({"dataset": {"train": [{"url": "s3://a/b"}]}}, "dataset.train[0].uri: Field required"),
        ({"dataset": {"train": []}}, "dataset.train"),
        ({"model": {}}, "model.uri: Field required"),
    ],
)
def test_what_is_wrong_with_a_run_is_told_by_field(change, says):
    with pytest.raises(errors.InvalidRun) as told:
        config.parse(json.dumps(trainer_world.document(**change)).encode())

    assert says in str(told.value)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff", b" " * (512 * 1024 + 1)])
def test_what_is_no_run_is_told_as_such(raw):
    with pytest.raises(errors.InvalidRun, match=r"run\.json"):
        config.parse(raw)


def test_a_run_that_is_not_there_is_told(tmp_path):
    with pytest.raises(errors.InvalidRun, match="cannot be read"):
        config.load(tmp_path / "run.json")
