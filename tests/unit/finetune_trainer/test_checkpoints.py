"""A checkpoint counts when it holds all it promises; otherwise the one before it is as true."""

import json
import threading
import time
from pathlib import Path

import pytest

import trainer_runs
from finetune_trainer import checkpoint, errors, outcome
from finetune_trainer.layout import Layout
from finetune_trainer.storage import Store
from finetune_trainer.supervisor import uploads
from finetune_trainer.supervisor.fence import Fence

FINGERPRINT = "sha256:f"
FILES = ("adapter_model.safetensors", "optimizer.pt", "rng_state.pth", "scheduler.pt", "trainer_state.json")


@pytest.fixture
def work(tmp_path: Path) -> Store:
    layout = Layout.under(tmp_path)
    (layout.claims / "output").mkdir(parents=True)
    return outcome.work_area(trainer_runs.run(), layout)


def where(work: Store) -> Path:
    """The work area's folder on disk."""
    return work._root / uploads.FOLDER


def finished(folder: Path, step: int) -> Path:
    """A checkpoint as the ranks leave it."""
    made = folder / f"step-{step}"
    made.mkdir(parents=True)
    for name in FILES:
        (made / name).write_bytes(f"{name} of step {step}".encode() * 50)
    for name in ("training_args.bin", "README.md", "tokenizer.json"):
        (made / name).write_bytes(b"not needed")
    return made


def sender(
    work: Store, folder: Path, *, keep: int = 2, passed_over: frozenset[int] = frozenset()
) -> uploads.Uploads:
    made = uploads.Uploads(
        work,
        folder,
        fingerprint=FINGERPRINT,
        keep=keep,
        fence=Fence.raised(work),
        say=lambda _: None,
        passed_over=passed_over,
    )
    made.start()
    return made


def saved(work: Store, tmp_path: Path, *steps: int, keep: int = 9) -> None:
    for step in steps:
        finished(tmp_path / "finished", step)
        sender(work, tmp_path / "finished", keep=keep).end(seconds=9)


def fetched(work: Store, tmp_path: Path, *, fingerprint: str = FINGERPRINT) -> tuple[int | None, list[str]]:
    """Step of the checkpoint that is gone on from, and what was said of the others."""
    heard: list[str] = []
    found = uploads.newest(work, tmp_path / "resume", fingerprint=fingerprint, say=heard.append).checkpoint
    if found:
        state = (tmp_path / "resume/trainer_state.json").read_text()
        assert state.startswith(f"trainer_state.json of step {found.step}")
    return found and found.step, heard


def test_what_was_sent_comes_back_whole(work: Store, tmp_path: Path):
    saved(work, tmp_path, 10)
    assert fetched(work, tmp_path) == (10, [])
    assert sorted(path.name for path in (tmp_path / "resume").iterdir()) == list(FILES)
    assert not list((tmp_path / "finished").iterdir())


def test_without_checkpoints_there_is_none(work: Store, tmp_path: Path):
    assert fetched(work, tmp_path) == (None, [])


def test_pickles_of_settings_and_copies_of_the_tokenizer_are_not_kept(work: Store, tmp_path: Path):
    saved(work, tmp_path, 10)
    assert sorted(path.name for path in (where(work) / "step-10").iterdir()) == sorted(
        [*FILES, checkpoint.MANIFEST]
    )


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_sends_us_to_the_one_before(work: Store, tmp_path: Path, name: str):
    """transformers goes on without optimizer.pt or scheduler.pt, with fresh ones, and says nothing."""
    saved(work, tmp_path, 10, 20)
    (where(work) / "step-20" / name).unlink()
    assert fetched(work, tmp_path) == (10, [f"the checkpoint of step 20 is passed over: {name} is missing"])


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_too(work: Store, tmp_path: Path, name: str):
    saved(work, tmp_path, 10, 20)
    path = where(work) / "step-20" / name
    path.write_bytes(path.read_bytes()[:-7])
    step, (heard,) = fetched(work, tmp_path)
    assert step == 10
    assert f"{name} has {path.stat().st_size} bytes instead of" in heard


def test_a_file_of_the_right_size_with_other_content_too(work: Store, tmp_path: Path):
    saved(work, tmp_path, 10, 20)
    path = where(work) / "step-20/optimizer.pt"
    path.write_bytes(b"x" + path.read_bytes()[1:])
    step, (heard,) = fetched(work, tmp_path)
    assert step == 10
    assert heard.endswith("optimizer.pt is not what was saved")


def test_an_upload_that_was_cut_off_has_no_manifest_and_is_never_read(work: Store, tmp_path: Path):
    saved(work, tmp_path, 10, 20)
    (where(work) / "step-20" / checkpoint.MANIFEST).unlink()
    assert fetched(work, tmp_path) == (10, ["the checkpoint of step 20 is passed over: it is unfinished"])


@pytest.mark.parametrize("content", [b"", b"{}", b"not json", b'{"version": 2}'])
def test_a_manifest_that_cannot_be_read(work: Store, tmp_path: Path, content: bytes):
    saved(work, tmp_path, 10, 20)
    (where(work) / "step-20" / checkpoint.MANIFEST).write_bytes(content)
    assert fetched(work, tmp_path)[0] == 10


@pytest.mark.parametrize("name", ["../../../escaped", "/etc/escaped"])
def test_a_manifest_cannot_write_outside_its_folder(work: Store, tmp_path: Path, name: str):
    saved(work, tmp_path, 10, 20)
    path = where(work) / "step-20" / checkpoint.MANIFEST
    told = json.loads(path.read_bytes())
    told["files"][name] = told["files"].pop("optimizer.pt")
    path.write_text(json.dumps(told))
    step, (heard,) = fetched(work, tmp_path)
    assert (step, heard) == (
        10,
        "the checkpoint of step 20 is passed over: its manifest names files outside of it",
    )


def test_a_manifest_copied_from_another_step(work: Store, tmp_path: Path):
    saved(work, tmp_path, 10, 20)
    (where(work) / "step-10").rename(where(work) / "step-30")
    assert fetched(work, tmp_path)[0] == 20


def test_other_settings_or_data_are_another_run(work: Store, tmp_path: Path):
    saved(work, tmp_path, 10)
    step, (heard,) = fetched(work, tmp_path, fingerprint="sha256:other")
    assert step is None
    assert heard.endswith("it was made with other settings or data")


def test_foreign_folders_are_left_alone(work: Store, tmp_path: Path):
    saved(work, tmp_path, 10)
    for name in ("step-x", "checkpoint-99", "step--1"):
        (where(work) / name).mkdir()
        (where(work) / name / "file").write_text("")
    assert fetched(work, tmp_path) == (10, [])


def test_only_the_newest_are_kept(work: Store, tmp_path: Path):
    saved(work, tmp_path, 10, 20, 30, keep=2)
    assert sorted(path.name for path in where(work).iterdir()) == ["step-20", "step-30"]


def test_unfinished_ones_are_swept_away_but_not_the_one_under_way(work: Store, tmp_path: Path):
    for step in (5, 40):
        work.put(f"{uploads.FOLDER}/step-{step}/optimizer.pt", b"half")
    saved(work, tmp_path, 10, 20, keep=1)
    assert sorted(path.name for path in where(work).iterdir()) == ["step-20", "step-40"]


@pytest.mark.parametrize("keep", [1, 2])
def test_a_checkpoint_that_was_passed_over_takes_no_place_from_those_that_count(
    work: Store, tmp_path: Path, keep: int
):
    """It would have been the newest for good: at `keep` 1 every later checkpoint was removed as soon as it was sent."""
    saved(work, tmp_path, 10, 20)
    (where(work) / "step-20/optimizer.pt").unlink()
    found = uploads.newest(work, tmp_path / "resume", fingerprint=FINGERPRINT, say=lambda _: None)
    assert (found.checkpoint.step, found.passed_over) == (10, {20})
    for step in (12, 14):
        finished(tmp_path / "finished", step)
    sender(work, tmp_path / "finished", keep=keep, passed_over=found.passed_over).end(seconds=9)
    kept = {"step-14"} if keep == 1 else {"step-10", "step-14"}
    assert {path.name for path in where(work).iterdir()} == kept
    assert fetched(work, tmp_path)[0] == 14


def test_a_step_that_is_reached_again_replaces_what_was_damaged(work: Store, tmp_path: Path):
    saved(work, tmp_path, 20)
    (where(work) / "step-20/optimizer.pt").write_bytes(b"damaged")
    found = uploads.newest(work, tmp_path / "resume", fingerprint=FINGERPRINT, say=lambda _: None)
    assert (found.checkpoint, found.passed_over) == (None, {20})
    finished(tmp_path / "finished", 20)
    sender(work, tmp_path / "finished", passed_over=found.passed_over).end(seconds=9)
    assert fetched(work, tmp_path) == (20, [])


def test_what_was_damaged_on_the_way_is_fetched_once_more(work: Store, tmp_path: Path, monkeypatch):
    saved(work, tmp_path, 10, 20)
    get, cut = work.get, ["optimizer.pt"]

    def truncating(key: str, to: Path) -> None:
        get(key, to)
        if cut and key.endswith(cut[0]):
            cut.pop()
            to.write_bytes(to.read_bytes()[:-1])

    monkeypatch.setattr(work, "get", truncating)
    assert fetched(work, tmp_path) == (20, [])


def test_steps_are_numbers_not_words(work: Store, tmp_path: Path):
    saved(work, tmp_path, 9, 10, 100)
    assert fetched(work, tmp_path)[0] == 100


def test_of_several_that_wait_only_the_newest_is_sent(work: Store, tmp_path: Path):
    for step in (10, 20, 30):
        finished(tmp_path / "finished", step)
    sending = sender(work, tmp_path / "finished")
    sending.end(seconds=9)
    assert sending.last.step == 30
    assert [path.name for path in where(work).iterdir()] == ["step-30"]
    assert not list((tmp_path / "finished").iterdir())


def test_storage_that_fails_does_not_end_training_and_is_tried_again(
    work: Store, tmp_path: Path, monkeypatch
):
    heard: list[str] = []
    failing = threading.Event()
    failing.set()
    put = work.put

    def flaky(key: str, content: bytes | Path) -> None:
        if failing.is_set():
            raise errors.StorageUnavailable("HTTP 503")
        put(key, content)

    monkeypatch.setattr(work, "put", flaky)
    sending = uploads.Uploads(
        work,
        tmp_path / "finished",
        fingerprint=FINGERPRINT,
        keep=2,
        fence=Fence.raised(work),
        say=heard.append,
    )
    finished(tmp_path / "finished", 10)
    sending._sweep()
    assert (sending.last, heard) == (
        None,
        ["the checkpoint step-10 could not be sent; it is tried again: HTTP 503"],
    )
    failing.clear()
    sending._sweep()
    assert sending.last.step == 10


def flawed(work: Store, monkeypatch, fault) -> None:
    """Every put goes through `fault` first."""
    put = work.put

    def flaky(key: str, content: bytes | Path) -> None:
        fault()
        put(key, content)

    monkeypatch.setattr(work, "put", flaky)


def test_the_last_one_is_tried_again_while_there_is_time(work: Store, tmp_path: Path, monkeypatch):
    sending = sender(work, tmp_path / "finished")
    answers = iter([errors.StorageUnavailable("HTTP 503")] * 2)

    def fault() -> None:
        if error := next(answers, None):
            raise error

    flawed(work, monkeypatch, fault)
    monkeypatch.setattr(uploads, "PAUSE", 0.01)
    finished(tmp_path / "finished", 10)
    sending.end(seconds=20)
    assert sending.last.step == 10


def test_a_bucket_that_hardly_answers_does_not_hold_the_end_up(work: Store, tmp_path: Path, monkeypatch):
    """SIGKILL would come, and nobody would have said a word."""
    sending, never = sender(work, tmp_path / "finished"), threading.Event()
    flawed(work, monkeypatch, never.wait)
    finished(tmp_path / "finished", 10)
    time.sleep(2 * uploads.PAUSE)  # the upload is under way
    began = time.monotonic()
    sending.end(seconds=0.5)
    assert time.monotonic() - began < 5
    assert sending.last is None
    never.set()


def test_a_run_that_was_taken_for_lost_does_not_try_again(work: Store, tmp_path: Path):
    sending = sender(work, tmp_path / "finished")
    Fence.raised(work)
    finished(tmp_path / "finished", 10)
    began = time.monotonic()
    sending.end(seconds=60)
    assert time.monotonic() - began < 30
    assert sending.last is None


def test_the_uri_that_is_told_is_the_authors(work: Store, tmp_path: Path):
    finished(tmp_path / "finished", 10)
    sending = sender(work, tmp_path / "finished")
    sending.end(seconds=9)
    assert sending.last.uri == f"pvc://output/tiny/.finetune/{trainer_runs.JOB['uid']}/checkpoints/step-10"


@pytest.mark.parametrize(
    ("section", "change", "same"),
    [
        ("training", {"learningRate": 0.02}, False),
        ("training", {"seed": 1}, False),
        ("training", {"globalBatchSize": 8}, False),
        ("tuning", {"lora": {"rank": 8}}, False),
        ("training", {"maxSteps": 9}, True),  # a job that goes on from another's checkpoint may make more
        ("training", {"microBatchSize": 1}, True),  # only the global batch counts
        ("training", {"activationCheckpointing": "On"}, True),
        ("output", {"uri": "pvc://output/elsewhere"}, True),
        ("checkpoint", {"everySteps": 9}, True),
        ("evaluation", {"samples": []}, True),
    ],
)
def test_the_fingerprint_is_of_what_shapes_the_weights(section, change, same):
    def of(run) -> str:
        return checkpoint.fingerprint(run, data="sha256:d", revision="r")

    assert (of(trainer_runs.run(**{section: change})) == of(trainer_runs.run())) is same


def test_the_fingerprint_is_of_data_and_revision_too():
    run = trainer_runs.run()
    made = {checkpoint.fingerprint(run, data=data, revision=revision) for data in "ab" for revision in "cd"}
    assert len(made) == 4
