"""Prepare with the tiny model: the estimate is told, and what cannot fit ends there."""

import pytest

import trainer_world
from finetune_trainer import errors
from trainer_world import TALK, World

GIB = 2**30
CPU = {
    "nodes": 1, "processesPerNode": 1, "accelerator": "cpu", "cpu": 1.0, "memoryBytes": 4 * GIB, "scratchBytes": GIB,
}  # fmt: skip
CUDA = {**CPU, "accelerator": "cuda", "gpuMemoryBytes": 24 * GIB, "gpuTeraflops": 165.0}


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    made = World.at(tmp_path_factory.mktemp("pod"))
    made.put("train.jsonl", TALK)
    return made


def test_on_cpu_it_is_the_memory_of_a_process(world):
    result = world.prepare(trainer_world.run(resources=CPU)).result
    told = result["estimate"]

    assert set(told) == {"memoryBytes", "parts", "durationSeconds"}
    assert 1.0 * GIB < told["memoryBytes"] < 1.5 * GIB  # torch and its libraries, for the most part
    assert told["parts"]["overhead"] > 0.8 * told["memoryBytes"]
    assert 60 < told["durationSeconds"] < 120
    assert not any("memory" in sentence for sentence in result["dataset"]["advice"])


def test_on_a_gpu_it_is_the_gpus_and_the_micro_batch_fills_it(world):
    result = world.prepare(trainer_world.run(resources=CUDA, method="SFT")).result

    assert set(result["estimate"]) == {"gpuMemoryBytes", "parts", "durationSeconds"}
    assert result["resolved"]["microBatchSize"] == result["resolved"]["globalBatchSize"] == 8


def test_a_gpu_that_nobody_knows_has_an_estimate_without_seconds(world):
    unknown = {**CUDA, "gpuMemoryBytes": None, "gpuTeraflops": None}
    result = world.prepare(trainer_world.run(resources=unknown)).result

    assert set(result["estimate"]) == {"gpuMemoryBytes", "parts"}


def test_what_cannot_fit_the_pod_ends_in_prepare(world):
    with pytest.raises(
        errors.ModelDoesNotFit, match=r"^spec\.training: SFT with LoRA .* spec\.resources\.memory is 0\.8 GiB"
    ) as refused:
        world.prepare(trainer_world.run(resources={**CPU, "memoryBytes": 800 * 2**20}))

    assert errors.exit_code_of(refused.value) == 64
    assert str(refused.value).endswith("what would fit: spec.resources.memory 2Gi")


def test_what_is_close_is_advice_and_stands_first(world):
    close = {**CPU, "memoryBytes": int(1.1 * GIB)}
    result = world.prepare(trainer_world.run(resources=close)).result

    assert result["dataset"]["advice"][0].startswith("training may run out of memory: it needs about 1.1 GiB")
