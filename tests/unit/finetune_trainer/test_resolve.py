import pytest

import trainer_world
from finetune_trainer import errors, resolve
from finetune_trainer.prepared import Resolved

CUDA = {
    "nodes": 1,
    "processesPerNode": 4,
    "accelerator": "cuda",
    "gpuMemoryBytes": 80 * 2**30,
    "cpu": 8.0,
    "memoryBytes": 2**36,
    "scratchBytes": 2**36,
}


def resolved(
    rows: int,
    *,
    length: int = 100,
    resources: dict | None = None,
    method: str = "SFT",
    tuning: str = "LoRA",
    **training,
) -> Resolved:
    changes = {"method": method, "tuning": {"type": tuning}, "training": training}
    changes |= {"resources": resources} if resources else {}
    facts = resolve.Facts(lengths=[length] * rows, max_length=1024, target_modules=("q_proj",))
    return resolve.resolve(trainer_world.run(**changes), facts)


@pytest.mark.parametrize(
    ("rows", "epochs", "batch", "steps"),
    [
        (50, 10.0, 8, 70),
        (300, 5.0, 8, 190),
        (1_500, 3.0, 16, 282),
        (20_000, 2.0, 32, 1_250),
        (60_000, 1.0, 32, 1_875),
        (3, 10.0, 3, 10),
    ],
)
def test_what_nobody_said_follows_from_the_number_of_rows(rows, epochs, batch, steps):
    found = resolved(rows)

    assert (found.epochs, found.global_batch_size, found.total_steps) == (epochs, batch, steps)


@pytest.mark.parametrize(
    ("method", "whole", "adapter"),
    [("SFT", 2e-5, 2e-4), ("DPO", 1e-6, 1e-5), ("ORPO", 5e-6, 5e-5), ("KTO", 1e-6, 1e-5)],
)
def test_adapters_learn_ten_times_faster_than_whole_weights(method, whole, adapter):
    assert resolved(10, method=method, tuning="Full").learning_rate == whole
    assert resolved(10, method=method, tuning="LoRA").learning_rate == adapter
    assert resolved(10, method=method, tuning="QLoRA").learning_rate == adapter


def packed(rows: int, *, length: int = 1_000, resources: dict | None = None, **training) -> Resolved:
    """Settings where each pack holds ten of the `rows`."""
    changes = {"training": {"packing": True, **training}, **({"resources": resources} if resources else {})}
    facts = resolve.Facts(
        lengths=[length] * (rows // 10), packed=rows, max_length=1024, target_modules=("q_proj",)
    )
    return resolve.resolve(trainer_world.run(**changes), facts)


@pytest.mark.parametrize(
    ("rows", "epochs", "batch", "steps"), [(300, 5.0, 1, 150), (1_500, 3.0, 2, 225), (20_000, 2.0, 3, 1_334)]
)
def test_packs_change_neither_the_passes_nor_about_how_many_rows_a_step_has(rows, epochs, batch, steps):
    found = packed(rows)

    assert (found.epochs, found.global_batch_size, found.total_steps) == (epochs, batch, steps)


def test_packs_of_a_given_batch_are_counted_as_steps():
    found = packed(1_000, globalBatchSize=8, epochs=2.0)

    assert (found.total_steps, found.micro_batch_size) == (2 * 13, 1)


def test_packs_go_through_the_model_one_by_one_where_attention_costs_the_square():
    assert packed(1_000, length=10, globalBatchSize=8).micro_batch_size == 1
    assert packed(1_000, length=10, globalBatchSize=32, resources=CUDA).micro_batch_size == 1
    assert packed(1_000, globalBatchSize=8, microBatchSize=4).micro_batch_size == 4


def test_kto_sees_at_least_two_rows_in_a_forward_pass():
    assert resolved(100, length=4_000, globalBatchSize=9, method="KTO").micro_batch_size == 3
    assert resolved(100, length=4_000, globalBatchSize=9).micro_batch_size == 1


@pytest.mark.parametrize(
    ("training", "field", "cure"),
    [
        ({"globalBatchSize": 1}, "globalBatchSize", "set it to 2 or more, or train on fewer GPUs"),
        ({"microBatchSize": 1}, "microBatchSize", "set it to 2 or more, or to Auto"),
    ],
)
def test_kto_refuses_single_rows(training, field, cure):
    with pytest.raises(
        errors.InvalidBatchSize, match=rf"^spec\.training\.{field}: KTO compares the rows of one .*; {cure}$"
    ):
        resolved(100, method="KTO", **training)


def test_pairs_are_two_sequences_in_a_forward_pass():
    assert resolved(100, length=1_024, globalBatchSize=8).micro_batch_size == 4
    assert resolved(100, length=1_024, globalBatchSize=8, method="DPO").micro_batch_size == 2


def test_what_is_said_stays():
    found = resolved(100, epochs=2.5, learningRate=1e-3, globalBatchSize=12, microBatchSize=3)

    assert (found.epochs, found.learning_rate, found.global_batch_size, found.micro_batch_size) == (
        2.5,
        1e-3,
        12,
        3,
    )
    assert found.total_steps == 23  # ceil(2.5 * ceil(100 / 12)), as transformers' Trainer counts


def test_steps_are_told_as_epochs():
    found = resolved(100, maxSteps=30, globalBatchSize=4)

    assert (found.total_steps, found.epochs) == (30, 1.2)


@pytest.mark.parametrize(
    ("length", "resources", "micro"),
    [(100, None, 8), (1024, None, 4), (5_000, None, 1), (1024, CUDA, 8), (5_000, CUDA, 2)],
)
def test_the_micro_batch_fits_the_longest_row(length, resources, micro):
    assert (
        resolved(
            3_000, length=length, resources=resources, globalBatchSize=32 if resources else 8
        ).micro_batch_size
        == micro
    )


@pytest.mark.parametrize("rows", [1, 2, 5, 7, 1000])
@pytest.mark.parametrize("given", ["Auto", 3])
def test_the_global_batch_is_always_shared_evenly(rows, given):
    found = resolved(rows, resources=CUDA, microBatchSize=given)

    assert found.global_batch_size % (4 * found.micro_batch_size) == 0


@pytest.mark.parametrize(
    ("training", "says"),
    [
        ({"globalBatchSize": 6}, r"globalBatchSize: 6 rows cannot be shared equally by 4 training processes"),
        (
            {"globalBatchSize": 8, "microBatchSize": 3},
            r"microBatchSize: each training process has 2 rows per step, which is not a multiple of 3",
        ),
    ],
)
def test_batches_that_cannot_be_shared_are_told(training, says):
    with pytest.raises(errors.InvalidBatchSize, match=says):
        resolved(100, resources=CUDA, **training)
