"""A job that goes on from the checkpoint of one that has failed: what is copied, what must be the same, what is left alone."""

import json
from pathlib import Path
from typing import Any

import pytest

import trainer_runs
from finetune_trainer import checkpoint, config, errors, outcome
from finetune_trainer.layout import Layout
from finetune_trainer.supervisor import earlier_job, uploads
from finetune_trainer.supervisor.fence import Fence

FAILED, NEW = ({**trainer_runs.JOB, "name": name, "uid": f"uid-of-{name}"} for name in ("failed", "new"))
THEIRS = f"pvc://output/tiny/.finetune/{FAILED['uid']}"
GOING_ON: dict[str, Any] = {
    "job": NEW,
    "checkpoint": {"resumeFrom": {"jobRef": {"name": "failed"}}},
    "origins": {"work": {"uri": THEIRS}},
}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout.under(tmp_path)
    (made.claims / "output").mkdir(parents=True)
    return made


def prepared_for(run: config.Run, layout: Layout, **changes: Any) -> str:
    """The run's rows in its work area; their digest."""
    folder = layout.scratch / f"dataset-{run.job.name}"
    ready = trainer_runs.prepare_by_hand(folder, shaping=checkpoint.shaping(run), **changes)
    ready.save(outcome.work_area(run, layout), folder)
    return ready.digest


def failed(layout: Layout, *steps: int, **changes: Any) -> None:
    """A job that has failed after these checkpoints."""
    run = trainer_runs.run(job=FAILED, **changes)
    digest = prepared_for(run, layout)
    work = outcome.work_area(run, layout)
    fingerprint = checkpoint.fingerprint(run, data=digest, revision=trainer_runs.BASE.revision)
    for step in steps:
        folder = layout.scratch / "finished" / f"step-{step}"
        folder.mkdir(parents=True)
        (folder / "optimizer.pt").write_text(f"step {step}")
        sending = uploads.Uploads(
            work, folder.parent, fingerprint=fingerprint, keep=9, fence=Fence.raised(work), say=lambda _: None
        )
        sending._send(folder)


def take_over(layout: Layout, *, rows: int = 24, **changes: Any) -> int | None:
    """The step that the new job goes on from."""
    run = trainer_runs.run(**GOING_ON, **changes)
    digest = prepared_for(run, layout, rows=rows)
    seen = earlier_job.take_over(run, layout, digest=digest, tell=lambda _: None)
    return seen and seen.step


def files(layout: Layout, job: dict[str, Any]) -> dict[str, bytes]:
    root = layout.claims / "output/tiny/.finetune" / job["uid"]
    return {
        path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def test_the_newest_checkpoint_is_copied_and_the_other_jobs_work_area_left_as_it_is(layout: Layout):
    failed(layout, 2, 4)
    before = files(layout, FAILED)
    assert take_over(layout) == 4
    assert files(layout, FAILED) == before
    ours = files(layout, NEW)
    assert ours["checkpoints/step-4/optimizer.pt"] == b"step 4"
    assert not [name for name in ours if "step-2" in name]


def test_training_finds_it_as_a_checkpoint_of_its_own(layout: Layout, tmp_path: Path):
    failed(layout, 4)
    take_over(layout)
    run = trainer_runs.run(**GOING_ON)
    manifest = json.loads(files(layout, NEW)["checkpoints/step-4/checkpoint.json"])
    digest = next(name.split("/")[1] for name in files(layout, NEW) if name.endswith("prepared.json"))
    assert manifest["fingerprint"] == checkpoint.fingerprint(
        run, data=f"sha256:{digest}", revision=trainer_runs.BASE.revision
    )


def test_a_job_that_has_checkpoints_of_its_own_goes_on_from_them(layout: Layout):
    failed(layout, 4)
    assert take_over(layout) == 4
    run = trainer_runs.run(**GOING_ON)
    assert earlier_job.take_over(run, layout, digest="sha256:" + "0" * 64, tell=lambda _: None) is None


def test_a_job_that_names_no_other_looks_at_none(layout: Layout):
    assert earlier_job.take_over(trainer_runs.run(), layout, digest="", tell=lambda _: None) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"training": {"maxSteps": 60}},
        {"training": {"microBatchSize": 1}},
        {"checkpoint": {**GOING_ON["checkpoint"], "everySteps": 1}},
        {"evaluation": {"samples": ["Another question?"]}},
        {"output": {"uri": "pvc://output/elsewhere"}},
    ],
    ids=str,
)
def test_what_does_not_shape_the_weights_may_be_another(layout: Layout, changes: dict[str, Any]):
    failed(layout, 4)
    run = trainer_runs.run(**{**GOING_ON, **changes})
    digest = prepared_for(run, layout)
    seen = earlier_job.take_over(run, layout, digest=digest, tell=lambda _: None)
    assert seen is not None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"training": {"seed": 7, "learningRate": 0.02}},
            r"spec.training.learningRate is 0.01 there and 0.02 here; spec.training.seed is 42 there and 7 here; make them",
        ),
        ({"tuning": {"lora": {"rank": 8}}}, r"spec.tuning.lora is \{.*\} there and \{.*\"rank\": 8"),
        ({"rows": 20}, "the prepared data differ"),
    ],
    ids=str,
)
def test_what_shapes_the_weights_must_be_the_same(layout: Layout, changes: dict[str, Any], says: str):
    failed(layout, 4)
    with pytest.raises(
        errors.CheckpointDoesNotFit,
        match=rf"^spec.checkpoint.resumeFrom.jobRef: this job differs from FineTuneJob 'failed': {says}",
    ):
        take_over(layout, **changes)


def test_a_checkpoint_beyond_the_last_step_is_refused(layout: Layout):
    failed(layout, 9)
    with pytest.raises(
        errors.CheckpointDoesNotFit, match="was made at step 9, but this job ends at step 6; raise"
    ):
        take_over(layout)


@pytest.mark.parametrize("steps", [(), (4,)], ids=["never saved", "damaged"])
def test_without_a_whole_checkpoint_there_is_nothing_to_go_on_from(layout: Layout, steps: tuple[int, ...]):
    failed(layout, *steps)
    for step in steps:
        path = layout.claims / f"output/tiny/.finetune/{FAILED['uid']}/checkpoints/step-{step}/optimizer.pt"
        path.write_bytes(b"damaged")
    with pytest.raises(
        errors.CheckpointNotFound, match="FineTuneJob 'failed' has left no complete checkpoint at"
    ):
        take_over(layout)


def test_a_job_that_was_never_prepared_has_left_nothing(layout: Layout):
    with pytest.raises(
        errors.CheckpointNotFound, match=r"leave spec\.checkpoint\.resumeFrom out, to train from the start"
    ):
        take_over(layout)
