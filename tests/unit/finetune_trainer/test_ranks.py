"""What the supervisor makes of ranks that ran out of memory. The ranks are played; test_supervisor.py starts processes."""

from pathlib import Path
from typing import Any

import pytest

import trainer_runs
from finetune_trainer import base_model, config, errors, outcome, report, verdict
from finetune_trainer.interruption import Interruption
from finetune_trainer.prepared import Prepared
from finetune_trainer.supervisor import gang, micro_batch
from finetune_trainer.supervisor.fence import Fence
from finetune_trainer.supervisor.ranks import Ranks
from finetune_trainer.task import Task
from finetune_trainer.verdict import Verdict

FULL = verdict.of(errors.OutOfMemory("out of memory"), rank=1)
DONE = Verdict(rank=0, exit_code=0, reason="Trained", message="trained")


class Played(Ranks):
    """Ranks that need at most `fits` rows per forward pass."""

    fits = 1
    stage = "Train"

    def _once(self, given: Task, fence: Fence) -> Verdict:
        del fence
        self.starts = [*getattr(self, "starts", []), given.micro_batch_size]
        self._writer.tell(stage=self.stage)
        return FULL if (given.micro_batch_size or 4) > self.fits else DONE


@pytest.fixture
def played(tmp_path: Path):
    def play(told: Interruption | None = None, **changes: Any) -> tuple[Played, Prepared]:
        layout = trainer_runs.pod(tmp_path / "pod", **changes)
        run = config.load(layout.run)
        facts = base_model.locate(run, layout).facts
        ready = trainer_runs.prepare_by_hand(tmp_path / "made", facts=facts, method=run.method).at(4)
        layout.make_folders()
        ranks = Played(
            run, layout.run, layout, outcome.work_area(run, layout), gang.Alone(), attempt=1,
            interruption=told or Interruption(), writer=report.ProgressWriter(layout.progress, attempt=1),
        )  # fmt: skip
        return ranks, ready

    return play


def task(ranks: Played, ready: Prepared) -> Task:
    return ranks.task(ranks.plan(ready, epoch=1), ready)


def seen(ranks: Played, ready: Prepared) -> Verdict:
    return ranks.see_through(task(ranks, ready), ready, Fence.raised(ranks._work))


def test_rows_are_halved_until_they_fit_and_each_number_is_remembered(played):
    ranks, ready = played()
    assert seen(ranks, ready) == DONE
    assert ranks.starts == [None, 2, 1]
    left = micro_batch.remembered(ranks._work)
    assert left == ranks.micro_batch == micro_batch.MicroBatch(micro_batch_size=1, out_of_memory=2)


def test_kto_needs_two_rows_to_compare(played):
    ranks, ready = played(method="KTO")
    assert seen(ranks, ready) == FULL
    assert ranks.starts == [None, 2]


def test_what_fails_while_the_model_is_loaded_is_not_cured_by_fewer_rows(played):
    ranks, ready = played()
    ranks.stage = "Load"
    assert seen(ranks, ready) == FULL
    assert ranks.starts == [None]
    assert micro_batch.remembered(ranks._work) is None


def test_a_pod_that_is_told_to_end_starts_nothing_again(played):
    told = Interruption()
    ranks, ready = played(told)
    told.noted = True
    assert seen(ranks, ready) == FULL
    assert ranks.starts == [None]


def test_on_several_nodes_all_of_them_begin_again(played):
    ranks, ready = played(resources={"nodes": 2})
    said = seen(ranks, ready)
    assert (said.exit_code, said.reason) == (75, "Interrupted")
    assert ranks.starts == [None]
    assert micro_batch.remembered(ranks._work).micro_batch_size == 1
    assert task(ranks, ready).micro_batch_size == 1


def test_a_run_that_was_taken_for_lost_remembers_nothing(played):
    ranks, ready = played()
    given, fence = task(ranks, ready), Fence.raised(ranks._work)
    Fence.raised(ranks._work)
    with pytest.raises(errors.Superseded):
        ranks.see_through(given, ready, fence)
    assert micro_batch.remembered(ranks._work) is None


def test_a_number_that_cannot_be_read_is_told(played):
    ranks, ready = played()
    ranks._work.put(micro_batch.DOCUMENT, b"{}")
    with pytest.raises(errors.InternalError, match=r"micro-batch\.json cannot be read; remove it"):
        task(ranks, ready)
