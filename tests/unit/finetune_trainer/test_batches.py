"""How many rows go through a forward pass, and how many when memory does not suffice: the batch of a step stays the same."""

import pytest

import trainer_runs
from finetune_trainer import batches, errors
from finetune_trainer.prepared import Resolved


def resolved(rows: int, micro: int) -> Resolved:
    return Resolved(
        epochs=1.0, total_steps=6, learning_rate=0.01, global_batch_size=rows, micro_batch_size=micro,
        max_length=128, target_modules=(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "micro", "processes", "shares"),
    [
        (8, 4, 1, (4, 2)),
        (8, 4, 2, (4, 1)),
        (8, 3, 1, (2, 4)),
        (6, 4, 1, (3, 2)),
        (8, 16, 1, (8, 1)),
        (1, 1, 1, (1, 1)),
    ],
)
def test_every_process_has_its_share_and_the_product_is_the_batch(rows, micro, processes, shares):
    found = batches.shared(resolved(rows, micro), processes)
    assert found == shares
    assert found[0] * found[1] * processes == rows


def test_a_batch_that_processes_cannot_share_is_refused():
    with pytest.raises(errors.InvalidBatchSize, match="use a multiple of 2"):
        batches.shared(resolved(7, 1), 2)


@pytest.mark.parametrize(
    ("rows", "micro", "processes", "method", "fewer"),
    [
        (8, 4, 1, "SFT", 2),
        (8, 4, 2, "DPO", 2),
        (6, 6, 1, "SFT", 3),
        (6, 3, 1, "SFT", 1),
        (9, 9, 1, "SFT", 3),
        (8, 1, 1, "SFT", None),
        (8, 4, 1, "KTO", 2),
        (8, 2, 1, "KTO", None),
    ],
)
def test_half_as_many_rows_as_long_as_there_are_enough(rows, micro, processes, method, fewer):
    before = resolved(rows, micro)
    found = batches.halved(before, processes, method)
    assert found == fewer
    if found:
        after = batches.shared(before.model_copy(update={"micro_batch_size": found}), processes)
        assert after[0] == found
        assert after[0] * after[1] == rows // processes


def test_a_start_with_fewer_rows_changes_nothing_else(tmp_path):
    ready = trainer_runs.prepare_by_hand(tmp_path / "dataset")
    assert ready.at(None) is ready
    fewer = ready.at(1)
    assert fewer.resolved == ready.resolved.model_copy(update={"micro_batch_size": 1})
    assert fewer.digest == ready.digest
