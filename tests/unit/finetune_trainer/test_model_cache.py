"""The model cache: filled once whoever begins, whoever dies; never read unless it is whole."""

import contextlib
import json
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import hub_standin
import trainer_runs
from finetune_trainer import base_model, errors, model_cache
from finetune_trainer.layout import Layout
from finetune_trainer.model_cache import Patience
from finetune_trainer.supervisor import fetch

pytestmark = pytest.mark.slow  # processes that race, die and are waited for

QUICK = Patience(beat=0.1, stale=3.0, look=0.05)
ENDLESS = Patience(beat=0.1, stale=600.0, look=0.05)
WEIGHTS = 3_000_000


@pytest.fixture
def repository(tmp_path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(os.urandom(WEIGHTS))
    return folder


@pytest.fixture
def hub(repository):
    stand_in = hub_standin.Hub({"org/name": repository})
    with hub_standin.serving(stand_in) as endpoint:
        yield stand_in, endpoint


def pod(root: Path, name: str, *, cache: bool = True) -> Layout:
    """The tree of one pod; all pods below `root` share the claim."""
    layout = Layout.under(root / name)
    layout.make_folders()
    if cache:
        (root / "claim").mkdir(exist_ok=True)
        layout.cache.symlink_to(root / "claim")
    return layout


def located(layout: Layout, endpoint: str) -> base_model.BaseModel:
    run = trainer_runs.run(model={"uri": "hf://org/name"}, hub={"endpoint": endpoint, "offline": False})
    return base_model.locate(run, layout)


def filled(root: Path, name: str, endpoint: str, patience: Patience = QUICK) -> list[str]:
    """One Prepare pod; what it told."""
    layout = pod(root, name)
    told: list[str] = []
    model_cache.fill(located(layout, endpoint), layout, told.append, patience)
    return told


def entry(root: Path) -> Path:
    (found,) = (root / "claim/models").glob("hf-name-*/" + hub_standin.COMMIT)
    return found


def downloads(hub: hub_standin.Hub) -> int:
    return sum(one.startswith("GET") and one.endswith("model.safetensors") for one in hub.asked)


def left(root: Path) -> list[str]:
    """What lies beside the complete folder."""
    return [path.name for path in entry(root).parent.iterdir() if path != entry(root)]


def test_it_is_filled_in_prepare_and_read_in_training(tmp_path, hub, repository):
    told = filled(tmp_path, "prepare", hub[1])
    training = pod(tmp_path, "train")

    assert model_cache.link(located(training, hub[1]), training, training.model)

    assert downloads(hub[0]) == 1
    assert (training.model / "model.safetensors").read_bytes() == (
        repository / "model.safetensors"
    ).read_bytes()
    assert {path.name for path in training.model.iterdir()} == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    }
    assert "filling the model cache: model.safetensors 2.9 of 2.9 MiB" in told
    assert {path.name for path in entry(tmp_path).iterdir()} == {
        "config.json",
        "manifest.json",
        "model.safetensors",
        "tokenizer.json",
    }
    assert left(tmp_path) == []


def test_a_second_job_finds_it(tmp_path, hub):
    filled(tmp_path, "first", hub[1])

    assert filled(tmp_path, "second", hub[1]) == []

    assert downloads(hub[0]) == 1


def test_without_a_cache_nothing_is_done(tmp_path, hub):
    layout = pod(tmp_path, "prepare", cache=False)

    model_cache.fill(located(layout, hub[1]), layout, pytest.fail, QUICK)

    assert not model_cache.link(located(layout, hub[1]), layout, layout.model)
    assert downloads(hub[0]) == 0


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "model.safetensors").write_bytes(b"short"),
        lambda folder: (folder / "model.safetensors").unlink(),
        lambda folder: (folder / "manifest.json").write_text('{"version": 1'),
        lambda folder: (folder / "manifest.json").unlink(),
        lambda folder: (folder / "manifest.json").write_text(
            json.dumps(json.loads((folder / "manifest.json").read_text()) | {"version": 2})
        ),
        lambda folder: (folder / "manifest.json").write_text(
            (folder / "manifest.json").read_text().replace('"sha256": "', '"sha256": "0')
        ),
    ],
)
def test_a_damaged_one_is_not_read_and_is_filled_anew(tmp_path, hub, damage):
    filled(tmp_path, "first", hub[1])
    damage(entry(tmp_path))
    training = pod(tmp_path, "train")

    assert not model_cache.link(located(training, hub[1]), training, training.model)

    filled(tmp_path, "second", hub[1])
    assert model_cache.link(located(training, hub[1]), training, training.model)
    assert downloads(hub[0]) == 2
    assert left(tmp_path) == []


def test_two_jobs_at_once_download_it_once(tmp_path, hub):
    context = multiprocessing.get_context("fork")
    jobs = [context.Process(target=filled, args=(tmp_path, f"pod{at}", hub[1])) for at in range(3)]

    for job in jobs:
        job.start()
    for job in jobs:
        job.join(60)

    assert [job.exitcode for job in jobs] == [0, 0, 0]
    assert downloads(hub[0]) == 1
    assert left(tmp_path) == []


@contextlib.contextmanager
def killed_in_the_middle(tmp_path, hub, monkeypatch):
    """A pod killed while it downloads the weights, after it has the small files."""
    begun = multiprocessing.get_context("fork").Event()

    def hang(self, key, *_):
        if key != "model.safetensors":
            return got(self, key, *_)
        begun.set()
        return time.sleep(600)

    got = base_model.HubStore.get
    with monkeypatch.context() as patched:
        patched.setattr(base_model.HubStore, "get", hang)
        job = multiprocessing.get_context("fork").Process(target=filled, args=(tmp_path, "dead", hub[1]))
        job.start()
    assert begun.wait(30)
    try:
        yield job
    finally:
        os.kill(job.pid, signal.SIGKILL)
        job.join()


def test_a_filler_that_died_is_inherited(tmp_path, hub, monkeypatch):
    with killed_in_the_middle(tmp_path, hub, monkeypatch):
        pass

    began = time.monotonic()
    told = filled(tmp_path, "heir", hub[1])

    assert time.monotonic() - began >= QUICK.stale
    assert told[0] == "waiting for another job, which brings the model to the cache"
    assert downloads(hub[0]) == 1
    assert sum(one.startswith("GET") and one.endswith("/config.json") for one in hub[0].asked) == 1, (
        "inherited"
    )
    assert left(tmp_path) == []


def test_a_filler_that_lives_is_waited_for(tmp_path, hub, monkeypatch):
    with killed_in_the_middle(tmp_path, hub, monkeypatch):
        waiting = threading.Thread(target=filled, args=(tmp_path, "patient", hub[1]))
        waiting.start()
        waiting.join(2 * QUICK.stale)

        assert waiting.is_alive(), "as long as it shows signs of life"
    waiting.join(30)
    assert downloads(hub[0]) == 1


def test_one_that_was_taken_for_dead_and_was_not_does_no_harm(tmp_path, hub, monkeypatch):
    stopped, goes_on = threading.Event(), threading.Event()
    got = base_model.HubStore.get

    def slow(self, key, to, *rest):
        if key == "model.safetensors" and "zombie" in threading.current_thread().name:
            stopped.set()
            goes_on.wait(30)
        return got(self, key, to, *rest)

    monkeypatch.setattr(base_model.HubStore, "get", slow)
    endless = Patience(beat=1000.0, stale=1.0, look=0.05)
    layout = pod(tmp_path, "zombie")
    told: list[str] = []
    zombie = threading.Thread(
        name="zombie",
        target=model_cache.fill,
        args=(located(layout, hub[1]), layout, told.append, endless),
    )
    zombie.start()
    assert stopped.wait(30)

    filled(tmp_path, "heir", hub[1])
    goes_on.set()
    zombie.join(30)

    training = pod(tmp_path, "train")
    assert model_cache.link(located(training, hub[1]), training, training.model)
    assert not [one for one in told if "cannot be filled" in one]
    assert left(tmp_path) == []


def test_what_fails_to_download_is_taken_up_at_once_by_the_next(tmp_path, hub, monkeypatch):
    def fails(*_):
        raise errors.EndpointUnreachable("no answer")

    with monkeypatch.context() as patched:
        patched.setattr(base_model.HubStore, "get", fails)
        with pytest.raises(errors.EndpointUnreachable):
            filled(tmp_path, "first", hub[1])

    told = filled(tmp_path, "second", hub[1], ENDLESS)

    assert not [one for one in told if one.startswith("waiting")]
    assert left(tmp_path) == []


@pytest.mark.parametrize("number", [28, 30, 13, 5])
def test_a_claim_that_is_full_or_ill_is_told_and_no_failure(tmp_path, hub, monkeypatch, number):
    def fails(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("finetune_trainer.storage.transfer.os.pwrite", fails)
    monkeypatch.setattr(base_model.HubStore, "_fetch", lambda *_: fails())

    told = filled(tmp_path, "prepare", hub[1])

    assert told[-1].startswith("the model cache cannot be filled, training downloads the model itself: ")


def test_a_model_on_a_claim_is_left_there(tmp_path):
    layout = trainer_runs.pod(tmp_path)
    layout.cache.mkdir()

    model_cache.fill(base_model.locate(trainer_runs.run(), layout), layout, pytest.fail)

    assert list(layout.cache.iterdir()) == []


def trained(root: Path, name: str, endpoint: str) -> tuple[Layout, list[str]]:
    """One training pod as far as the model; what its progress said."""
    layout = pod(root, name)
    run = trainer_runs.run(model={"uri": "hf://org/name"}, hub={"endpoint": endpoint, "offline": False})
    told: list[str] = []
    ready = SimpleNamespace(identity=SimpleNamespace(model=located(layout, endpoint).facts))

    def tell(*, message: str) -> None:
        told.append(message)

    fetch.model(run, layout, ready, SimpleNamespace(tell=tell))
    return layout, told


def test_training_reads_the_weights_where_they_lie_and_writes_nothing_there(tmp_path, hub):
    filled(tmp_path, "prepare", hub[1])
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "claim").rglob("*")}

    layout, told = trained(tmp_path, "train", hub[1])

    assert told == ["the model is read from the cache"]
    assert (layout.model / "model.safetensors").resolve().is_relative_to(tmp_path / "claim")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "claim").rglob("*")} == before


def test_training_downloads_what_the_cache_has_not_and_says_so(tmp_path, hub, repository):
    layout, told = trained(tmp_path, "train", hub[1])

    assert told[-1] == "not in the model cache: fetching the model: model.safetensors 2.9 of 2.9 MiB"
    assert (layout.model / "model.safetensors").read_bytes() == (
        repository / "model.safetensors"
    ).read_bytes()
    assert list((tmp_path / "claim").iterdir()) == [], "a pod that may hold a GPU fills nothing"


def test_a_new_revision_is_another_entry(tmp_path, hub, monkeypatch):
    filled(tmp_path, "first", hub[1])
    with monkeypatch.context() as patched:
        patched.setattr(hub_standin, "COMMIT", "f" * 40)
        filled(tmp_path, "second", hub[1])

    assert sorted(path.name for path in entry(tmp_path).parent.iterdir()) == [hub_standin.COMMIT, "f" * 40]


def test_another_server_is_another_entry(tmp_path, hub, repository):
    filled(tmp_path, "first", hub[1])
    other = hub_standin.Hub({"org/name": repository})
    with hub_standin.serving(other) as endpoint:
        filled(tmp_path, "second", endpoint)

    assert downloads(other) == 1
    assert len(list((tmp_path / "claim/models").iterdir())) == 2
