"""A rank knows its place, or nothing is trained."""

import pytest

import trainer_runs
from finetune_trainer import errors, place
from finetune_trainer.place import Place


def told(nodes: int, each: int, **said: int | str) -> Place:
    resources = trainer_runs.run(resources={"nodes": nodes, "processesPerNode": each}).resources
    return place.told({name: str(value) for name, value in said.items()}, resources)


def test_one_process_needs_no_launcher_to_tell():
    assert told(1, 1) == Place(rank=0, world=1)


def test_the_second_of_two_processes():
    assert told(1, 2, RANK=1, WORLD_SIZE=2, LOCAL_RANK=1) == Place(rank=1, world=2)


def test_the_second_node():
    assert told(2, 2, RANK=3, WORLD_SIZE=4, LOCAL_RANK=1) == Place(rank=3, world=4)
    assert told(2, 1, RANK=1, WORLD_SIZE=2, LOCAL_RANK=0) == Place(rank=1, world=2)


@pytest.mark.parametrize(
    "said",
    [
        {},  # what `accelerate launch --cpu --num_processes 2` does: one process that knows of no other
        {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": 0},
        {"RANK": 0, "WORLD_SIZE": 4, "LOCAL_RANK": 0},
        {"RANK": 2, "WORLD_SIZE": 2, "LOCAL_RANK": 0},
        {"RANK": -1, "WORLD_SIZE": 2, "LOCAL_RANK": 1},
        {"RANK": 0, "WORLD_SIZE": 2, "LOCAL_RANK": 1},
        {"RANK": "", "WORLD_SIZE": 2, "LOCAL_RANK": 1},
    ],
)
def test_any_other_place_than_the_promised_ones_is_refused(said):
    with pytest.raises(
        errors.InternalError, match="2 processes were promised, 2 of them on each node"
    ) as told_of:
        told(1, 2, **said)
    assert "nothing was trained" in str(told_of.value)
