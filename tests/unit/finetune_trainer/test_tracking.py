"""Figures on their way to a tracker, what it is told besides, and what its process sees. No tracker's library is imported."""

import errno
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

import trainer_runs
from finetune_trainer import config, errors
from finetune_trainer.interruption import Interruption
from finetune_trainer.layout import Layout
from finetune_trainer.supervisor import patience, tracker_environment, trackers
from finetune_trainer.task import Evaluated, Measured, Task, Trained
from finetune_trainer.tracking import assignment, parameters, program
from finetune_trainer.tracking.assignment import Assignment, Finish
from finetune_trainer.tracking.figures import Entry, Feed, Taken

TRACKING = {
    "wandb": {"project": "p", "credentialsSecretRef": {"name": "keys"}},
    "mlflow": {"trackingUri": "https://mlflow.test", "credentialsSecretRef": {"name": "keys"}},
    "tensorboard": {},
}


def line(step: int, **figures: float | None) -> str:
    return json.dumps({**figures, "step": step}) + "\n"


def test_a_line_is_read_once_and_not_before_it_is_whole(tmp_path):
    path = tmp_path / "figures.jsonl"
    feed = Feed(path)
    assert feed.new() == []
    path.write_text(line(1, loss=3.0) + line(2, loss=2.0)[:9])
    assert feed.new() == [{"loss": 3.0, "step": 1}]
    with path.open("a") as file:
        file.write(line(2, loss=2.0)[9:])
    assert feed.new() == [{"loss": 2.0, "step": 2}]
    assert feed.new() == []


def test_a_file_that_was_begun_again_is_read_from_its_beginning(tmp_path):
    """The ranks started again, from a checkpoint."""
    path, other = tmp_path / "figures.jsonl", tmp_path / "other"
    path.write_text(line(1, loss=3.0) + line(2, loss=2.0))
    feed = Feed(path)
    feed.new()
    other.write_text(line(1, loss=3.0))
    other.replace(path)
    assert feed.new() == [{"loss": 3.0, "step": 1}]


def test_what_a_tracker_has_is_not_told_again_and_null_never():
    taken = Taken(step=1, by_name={"eval_loss": 2})
    lines = [
        {"loss": 3.0, "step": 1},
        {"loss": 2.5, "grad_norm": None, "step": 2},
        {"eval_loss": 2.4, "step": 2},
        {"eval_loss": 2.3, "step": 3},
    ]
    fresh = taken.fresh(lines)
    assert fresh == [Entry(2, {"loss": 2.5}), Entry(3, {"eval_loss": 2.3})]
    taken.add(fresh)
    assert taken.fresh(lines) == []


def test_two_entries_of_one_step_are_both_told():
    lines = [{"eval_loss": 2.4, "step": 2}, {"loss": 2.5, "step": 2}]
    assert Taken().fresh(lines) == [Entry(2, {"eval_loss": 2.4}), Entry(2, {"loss": 2.5})]


def test_settings_are_told_by_their_path_and_neither_secrets_nor_texts_are():
    run = trainer_runs.run(
        tracking=TRACKING,
        output={"credentialsSecretRef": {"name": "bucket"}},
        model={"chatTemplate": "{{ private }}"},
        dataset={
            "train": [
                {"uri": "pvc://data/a", "template": [{"prompt": "private", "completion": "{a}"}]},
                {"uri": "pvc://data/b", "credentialsSecretRef": {"name": "bucket"}},
            ]
        },
        evaluation={"samples": ["a private question"], "metrics": ["loss", "rouge"]},
    )
    told = parameters.settings(run, {"learningRate": 0.01, "targetModules": ["k_proj", "q_proj"]})
    assert told["training.learningRate"] == 0.01
    assert told["tuning.lora.rank"] == 4
    assert told["dataset.train.1.uri"] == "pvc://data/b"
    assert told["evaluation.metrics"] == "loss, rouge"
    assert told["resolved.targetModules"] == "k_proj, q_proj"
    said = json.dumps(told)
    assert not [word for word in ("private", "bucket", "keys", "mlflow.test") if word in said]


class Recorder:
    """A tracker that fails once, in the middle."""

    def __init__(self) -> None:
        self.has: list[Entry] = []
        self.fails = True
        self.ended: Finish | None = None

    def begin(self) -> Taken:
        taken = Taken()
        taken.add(self.has)
        return taken

    def tell(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if entry.step == 2 and self.fails:
                self.fails = False
                raise RuntimeError("no answer from https://user:very-secret@host\nand a page of more")
            self.has.append(entry)

    def end(self, finish: Finish) -> None:
        self.ended = finish


@pytest.fixture
def given(tmp_path) -> Assignment:
    return Assignment(
        kind="mlflow",
        run=tmp_path / "run.json",
        resolved={},
        figures=tmp_path / "figures.jsonl",
        folder=tmp_path,
    )


def test_what_failed_is_begun_again_where_the_tracker_is(given, monkeypatch):
    recorder = Recorder()
    monkeypatch.setattr(program, "opened", lambda _: recorder)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "very-secret")
    following = program.Following(given)
    given.figures.write_text("".join(line(step, loss=4.0 - step) for step in (1, 2)))
    assert following.round().trouble == "no answer from https://user:***@host"
    assert following.round().trouble is None
    published = given.folder / "metrics.jsonl"
    published.write_text("".join(line(step, loss=4.0 - step) for step in (1, 2, 3)))
    finish = Finish(outcome="Finished", figures=published, step=3, evaluation={"tuned/loss": 1.5})
    assignment.write(given.finish, finish)
    assert following.round().done
    assert recorder.has == [Entry(step, {"loss": 4.0 - step}) for step in (1, 2, 3)]
    assert recorder.ended == finish


@pytest.fixture
def layout(tmp_path) -> Layout:
    made = Layout.under(tmp_path)
    made.make_folders()
    for key, value in {
        "WANDB_API_KEY": "of-wandb",
        "MLFLOW_TRACKING_TOKEN": "of-mlflow",
        "AWS_SECRET_ACCESS_KEY": "of-the-bucket",
    }.items():
        path = made.credentials / "keys" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value + "\n")
    return made


POD = {
    "PATH": "/usr/bin",
    "HTTPS_PROXY": "http://proxy",
    "WANDB_API_KEY": "of-the-pod",
    "AWS_SECRET_ACCESS_KEY": "of-the-pod",
    "KUBERNETES_SERVICE_HOST": "10.0.0.1",
}


@pytest.mark.parametrize(("kind", "key"), [("wandb", "WANDB_API_KEY"), ("mlflow", "MLFLOW_TRACKING_TOKEN")])
def test_a_process_sees_the_key_of_its_own_tracker_alone(layout, kind, key):
    found = tracker_environment.environment(trainer_runs.run(tracking=TRACKING), layout, kind, POD)
    assert [name for name, value in found.items() if value.startswith("of-")] == [key]
    assert (found["PATH"], found["HTTPS_PROXY"]) == ("/usr/bin", "http://proxy")
    assert "KUBERNETES_SERVICE_HOST" not in found


def test_the_profiles_authority_is_trusted_beside_the_usual_ones(layout):
    layout.ca.parent.mkdir(parents=True)
    layout.ca.write_text("the profile's own")
    found = tracker_environment.environment(trainer_runs.run(tracking=TRACKING), layout, "mlflow", POD)
    bundle = Path(found["SSL_CERT_FILE"]).read_text()
    assert bundle.endswith("the profile's own")
    assert "BEGIN CERTIFICATE" in bundle
    assert found["REQUESTS_CA_BUNDLE"] == found["SSL_CERT_FILE"]


def test_a_server_is_told_along_the_way_and_a_file_is_written_at_the_end():
    online = trainer_runs.run(tracking=TRACKING)
    assert (trackers.servers(online), trackers.files(online)) == (["wandb", "mlflow"], ["tensorboard"])
    offline = trainer_runs.run(
        tracking={"wandb": {"project": "p", "mode": "Offline"}, "tensorboard": {"enabled": False}}
    )
    assert (trackers.servers(offline), trackers.files(offline)) == ([], ["wandb"])
    nothing = trainer_runs.run()
    assert (trackers.servers(nothing), trackers.files(nothing)) == ([], [])


def test_a_missing_secret_is_named_before_anything_starts(tmp_path):
    (said, _) = trackers.lacking(trainer_runs.run(tracking=TRACKING), Layout.under(tmp_path))
    assert said.startswith("spec.tracking.wandb.credentialsSecretRef: the Secret 'keys' does not exist")


def test_a_full_disk_is_a_warning(layout, monkeypatch, tmp_path):
    """Nothing can be written for the trackers, and nothing raises."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(assignment, "write", full)
    said: list[str] = []
    run = trainer_runs.run(tracking=TRACKING)
    opened = trackers.Trackers(run, layout.run, layout, say=said.append)
    given = Task(
        run=layout.run,
        attempt=1,
        dataset=tmp_path,
        model=tmp_path,
        progress=layout.progress,
        work=tmp_path / "w",
    )
    compared = Evaluated(rows=6, base=Measured(loss=3.0), tuned=Measured(loss=2.5))
    given.artefact.mkdir(parents=True)
    (given.artefact / "metrics.jsonl").write_text(line(1, loss=3.0))
    given.trained.write_text(
        json.dumps(Trained(step=1, total_steps=1, epoch=1.0, evaluation=compared).wire())
    )
    opened.begin(given, {})
    opened.end("Finished", given, seconds=lambda: 5.0)
    assert (
        list(opened.warnings())
        == said
        == [
            f"{title}: could not be started: [Errno 28] No space left on device"
            for title in ("W&B", "MLflow", "TensorBoard")
        ]
    )


def test_trackers_are_waited_for_least_after_sigterm_and_without_a_result():
    limits, told = config.Limits(grace_period_seconds=30), Interruption()
    assert patience.for_trackers(limits, told, result=True) == patience.TRACKERS
    assert patience.for_trackers(limits, told, result=False) == patience.TRACKERS_IN_HASTE
    with pytest.raises(errors.Interrupted):
        told._on_signal(15, None)
    assert patience.for_trackers(limits, told, result=True) == patience.TRACKERS_IN_HASTE
    told.noted_at -= 20
    assert 0 < patience.for_trackers(limits, told, result=True) < 3
    told.noted_at -= 20
    assert patience.for_trackers(limits, told, result=True) == 0
