"""A job killed for good, and the new one that goes on from its checkpoint: bitwise the run that nobody interrupted."""

import json
from pathlib import Path
from typing import Any

import pytest

import golden_losses
import trainer_runs
from finetune_trainer import checkpoint, config, outcome, prepared
from finetune_trainer.comparing import BASE
from finetune_trainer.layout import Layout
from finetune_trainer.supervisor import earlier_job, uploads
from finetune_trainer.supervisor.fence import Fence
from finetune_trainer.task import Task
from golden_losses import LORA, Case

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Could not find a config file"),
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated"),
]

STEP = 4
CASE = Case("", "DPO", {**LORA, "lora": {"rank": 4, "dropout": 0.1}})
NEW = {**trainer_runs.JOB, "name": "new", "uid": "uid-of-new"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Task:
    """Nobody disturbed it; its checkpoints are those that a killed run would have left."""
    given = golden_losses.a_task(tmp_path_factory.mktemp("whole") / "pod", CASE)
    golden_losses.go(given)
    return given


def layout_of(given: Task) -> Layout:
    return Layout.under(given.run.parent.parent)


def died_after(given: Task, step: int, work: Any, fingerprint: str) -> None:
    """The killed job's work area, with its checkpoint of `step`."""
    sending = uploads.Uploads(
        work, given.finished, fingerprint=fingerprint, keep=9, fence=Fence.raised(work), say=lambda _: None
    )
    sending._send(given.finished / f"step-{step}")


def went_on(root: Path, whole: Task, **changes: Any) -> Task:
    """The new job, which takes the checkpoint over and trains to its end."""
    given = golden_losses.a_task(root / "pod", CASE)
    layout = layout_of(given)
    (layout.claims / "theirs").mkdir()
    origins = {"work": {"uri": "pvc://theirs/work"}}
    resume = {"everySteps": 2, "resumeFrom": {"jobRef": {"name": "tiny"}}}
    document = {**json.loads(given.run.read_text()), "job": NEW, "checkpoint": resume, "origins": origins}
    for name, change in changes.items():
        document[name] = {**document[name], **change}
    given.run.write_text(json.dumps(document))
    run = config.load(given.run)

    ready = prepared.Prepared.model_validate_json((given.dataset / prepared.DOCUMENT).read_bytes())
    steps = document["training"]["maxSteps"]
    told = {
        "shaping": checkpoint.shaping(run),
        "resolved": ready.resolved.model_copy(update={"total_steps": steps}),
    }
    ready = ready.model_copy(update=told)
    (given.dataset / prepared.DOCUMENT).write_text(ready.model_dump_json(by_alias=True))
    fingerprint = checkpoint.fingerprint(run, data=ready.digest, revision=ready.identity.model.revision)
    theirs = earlier_job._store(run, layout)
    ready.save(theirs, given.dataset)
    died_after(whole, STEP, theirs, fingerprint)

    own = outcome.work_area(run, layout)
    ready.save(own, given.dataset)
    assert earlier_job.take_over(run, layout, digest=ready.digest, tell=lambda _: None)
    resume_at = layout.scratch / "resume"
    uploads.newest(own, resume_at, fingerprint=fingerprint, say=lambda _: None)
    going = given.model_copy(update={"resume": resume_at})
    golden_losses.go(going)
    return going


def weights(given: Task) -> bytes:
    return next(given.artefact.glob("*.safetensors")).read_bytes()


def test_the_new_job_ends_as_a_run_that_nobody_interrupted(whole: Task, tmp_path: Path):
    again = went_on(tmp_path, whole)
    assert golden_losses.losses(again) == golden_losses.losses(whole)
    assert weights(again) == weights(whole)


def test_with_more_steps_and_other_samples_it_goes_further_and_asks_the_base_anew(
    whole: Task, tmp_path: Path
):
    further = went_on(tmp_path, whole, training={"maxSteps": 8}, evaluation={"maxNewTokens": 4})
    found = golden_losses.losses(further)
    assert len(found) == 8
    assert found[:STEP] == golden_losses.losses(whole)[:STEP]
    before, after = (json.loads((one.work / BASE).read_text()) for one in (whole, further))
    assert before["measured"] == after["measured"]
    assert before["asked"] != after["asked"]
