"""What was trained goes into the bucket first; what comes after that costs nothing of it."""

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hub_receiver
import trainer_places
import trainer_runs
from finetune_trainer import errors, outcome, report
from finetune_trainer.layout import Layout
from finetune_trainer.supervisor.delivery import Delivery
from finetune_trainer.supervisor.ending import Ending
from finetune_trainer.supervisor.fence import Fence
from finetune_trainer.task import Task, Trained
from finetune_trainer.verdict import Verdict
from hub_receiver import Hub

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=")  # the Hub's library about its own client
GATED = Verdict(rank=0, exit_code=65, reason="GateNotMet", message="the gate does not hold")


class Job:
    """A run that has trained to its end, and asks for a copy on the Hub."""

    def __init__(self, root: Path, layout: Layout, endpoint: str) -> None:
        trainer_places.secret(layout, "hub", HF_TOKEN="hf_secret")
        copy = {"repo": "org/tiny", "credentialsSecretRef": {"name": "hub"}}
        self.run = trainer_runs.run(output={"hub": copy}, hub={"endpoint": endpoint, "offline": False})
        self.ready = trainer_runs.prepare_by_hand(root / "dataset")
        self.given = Task(
            run=layout.run, attempt=1, dataset=root / "dataset", model=layout.model, progress=layout.progress,
            work=layout.scratch / "ranks",
        )  # fmt: skip
        self.given.artefact.mkdir(parents=True)
        (self.given.artefact / "adapter_model.safetensors").write_bytes(b"weights")
        self.given.trained.write_text(json.dumps(Trained(step=6, total_steps=6, epoch=1.0).wire()))
        self.layout = layout
        self.stood: list[Ending] = []

    def delivery(self, heard: Callable[[Ending], object] | None = None) -> Delivery:
        """The run's; `heard` hears of the end as soon as it is known."""
        work = outcome.work_area(self.run, self.layout)
        return Delivery(
            run=self.run, layout=self.layout, work=work, fence=Fence.raised(work), stands=heard or self.stood.append,
            writer=report.ProgressWriter(self.layout.progress, attempt=1), started=time.monotonic(), memory_told={}, warnings=(),
        )  # fmt: skip

    @property
    def manifest(self) -> bytes | None:
        return outcome.output(self.run, self.layout).read_if_there(outcome.MANIFEST)


@pytest.fixture
def hub():
    return Hub()


@pytest.fixture
def job(tmp_path, layout, hub):
    with hub_receiver.serving(hub) as endpoint:
        yield Job(tmp_path, layout, endpoint)


def test_the_copy_is_the_result_with_its_manifest(job, hub):
    ending = job.delivery().published(job.given, job.ready)
    assert (ending.exit_code, ending.reason) == (0, "Published")
    assert ending.result["hub"] == {"repo": "org/tiny", "revision": hub.head}
    assert ending.message.endswith(f"; a copy is at hf://org/tiny@{hub.head}")
    assert hub.repositories["org/tiny"]["finetune-manifest.json"] == job.manifest


def test_a_hub_that_refuses_costs_nothing_that_is_published(job, hub):
    hub.refusing["/commit/"] = 403
    ending = job.delivery().published(job.given, job.ready)
    assert (ending.exit_code, ending.reason) == (0, "Published")
    assert ending.result["hub"]["reason"] == "AccessDenied"
    assert "; there is no copy on the Hub: spec.output.hub.repo: " in ending.message
    assert ending.result["adapter"]["digest"] == "sha256:" + hashlib.sha256(job.manifest).hexdigest()
    assert report.read_progress(job.layout.progress).stage == "Done"


def test_before_the_hub_is_asked_the_result_lies_there_and_the_end_is_known(job, hub):
    seen: list[tuple[bool, list[str]]] = []
    delivery = job.delivery(lambda _: seen.append((job.manifest is not None, list(hub.asked))))
    delivery.published(job.given, job.ready)
    assert seen == [(True, [])]


def test_a_pod_that_must_end_meanwhile_has_published(job):
    job.delivery().published(job.given, job.ready)
    (ending,) = job.stood
    assert (ending.exit_code, ending.reason) == (0, "Published")
    assert ending.result["hub"]["reason"] == "Interrupted"
    assert ending.result["adapter"]["digest"].startswith("sha256:")
    assert "the result in the bucket is complete" in ending.message


def test_what_the_gate_keeps_back_goes_to_no_hub(job, hub):
    ending = job.delivery().kept_back(job.given, job.ready, GATED)
    assert ending.exit_code == 65
    assert job.manifest is None
    assert hub.asked == []


def test_what_an_earlier_attempt_has_published_is_told_again_and_stays(job):
    first = job.delivery().published(job.given, job.ready)
    (job.given.artefact / "adapter_model.safetensors").write_bytes(b"others")
    again = job.delivery().published(job.given, job.ready)
    told = {name: value for name, value in first.result.items() if name != "hub"}
    assert (again.reason, again.result) == ("Published", told)
    output = outcome.output(job.run, job.layout)
    assert output.read("adapter_model.safetensors") == b"weights"
    assert [item.key for item in output.list()] == ["adapter_model.safetensors", "finetune-manifest.json"]


def test_a_run_that_wakes_up_after_another_has_published_commits_nothing_more(job):
    """It stood still in the middle of sending, long enough to be taken for lost, and for another to do everything."""
    (job.given.artefact / "README.md").write_text("sent before the weights")
    said: list[str] = []

    class Sleeping(report.ProgressWriter):
        def tell(self, **changes: Any) -> report.Progress:
            said.append(changes["message"])
            if said[-1] == "sending README.md":
                job.delivery().published(job.given, job.ready)
            return super().tell(**changes)

    late = dataclasses.replace(job.delivery(), writer=Sleeping(job.layout.progress, attempt=1))
    with pytest.raises(errors.Superseded, match="another run of this job has published meanwhile"):
        late.published(job.given, job.ready)
    assert said[-1] == "sending README.md"
    assert json.loads(job.manifest)["files"].keys() == {"README.md", "adapter_model.safetensors"}


def test_another_jobs_result_that_came_meanwhile_is_left_alone(job):
    theirs = json.dumps({"job": {"namespace": "b", "name": "other", "uid": "u"}}).encode()
    outcome.output(job.run, job.layout).put(outcome.MANIFEST, theirs)
    with pytest.raises(errors.OutputExists, match="holds the result of b/other"):
        job.delivery().published(job.given, job.ready)
    assert job.manifest == theirs
