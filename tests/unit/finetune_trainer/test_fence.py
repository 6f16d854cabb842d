"""Two runs of one job at the same time: the one that started last is the only one that commits."""

import threading
from pathlib import Path

import pytest

import trainer_runs
from finetune_trainer import errors, outcome
from finetune_trainer.layout import Layout
from finetune_trainer.storage import Store
from finetune_trainer.supervisor import publication, uploads
from finetune_trainer.supervisor.fence import Fence

FINGERPRINT = "sha256:" + "0" * 64


@pytest.fixture
def work(layout: Layout) -> Store:
    """The work area of a job, on a claim."""
    return outcome.work_area(trainer_runs.run(), layout)


def test_the_first_run_has_number_one_and_each_later_one_the_next(work: Store):
    assert [Fence.raised(work).epoch for _ in range(3)] == [1, 2, 3]


def test_a_run_that_is_the_last_may_commit(work: Store):
    fence = Fence.raised(work)
    assert fence.check()


def test_a_work_area_that_is_gone_is_told_apart(work: Store):
    fence = Fence.raised(work)
    work.delete_below("")
    assert not fence.check()


def test_a_run_that_was_taken_for_lost_may_not(work: Store):
    lost, later = Fence.raised(work), Fence.raised(work)
    later.check()
    with pytest.raises(errors.Superseded, match=r"run 1 .* was given up as lost, and run 2 has started"):
        lost.check()
    assert errors.exit_code_of(errors.Superseded("")) == 75, "it costs no attempt, and is never the job's end"


def test_runs_that_start_at_the_same_moment_get_different_numbers(work: Store):
    together, numbers = threading.Barrier(8), []

    def start():
        together.wait()
        numbers.append(Fence.raised(work).epoch)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(numbers) == list(range(1, 9))


def checkpoint_of(folder: Path, step: int) -> None:
    made = folder / f"step-{step}"
    made.mkdir(parents=True)
    for name in ("adapter_model.safetensors", "optimizer.pt", "trainer_state.json"):
        (made / name).write_bytes(f"{name} of step {step}".encode())


def test_a_lost_run_commits_no_checkpoint_and_removes_none_of_the_later_one(work: Store, tmp_path: Path):
    heard: list[str] = []

    def uploading(folder: Path) -> uploads.Uploads:
        folder.mkdir()
        fence = Fence.raised(work)
        return uploads.Uploads(work, folder, fingerprint=FINGERPRINT, keep=1, fence=fence, say=heard.append)

    lost, later = uploading(tmp_path / "lost"), uploading(tmp_path / "later")
    checkpoint_of(tmp_path / "later", 10)
    later._sweep()
    checkpoint_of(tmp_path / "lost", 20)
    lost._sweep()
    assert lost.last is None
    assert "was given up as lost" in heard[-1]
    found = uploads.newest(work, tmp_path / "resume", fingerprint=FINGERPRINT, say=heard.append)
    assert found.checkpoint is not None
    assert found.checkpoint.step == 10


def test_a_lost_run_publishes_nothing(work: Store, layout: Layout, tmp_path: Path):
    artefact, output = tmp_path / "artefact", outcome.output(trainer_runs.run(), layout)
    artefact.mkdir()
    (artefact / "adapter_model.safetensors").write_bytes(b"weights")
    fence = Fence.raised(work)
    files = publication.files_of(artefact)

    def between(name: str) -> None:
        if name == outcome.MANIFEST:
            Fence.raised(work)  # the later run starts at the worst moment
        fence.check()

    with pytest.raises(errors.Superseded):
        publication.send(output, work, artefact, files, b"{}", between=between)
    assert output.read_if_there(outcome.MANIFEST) is None
