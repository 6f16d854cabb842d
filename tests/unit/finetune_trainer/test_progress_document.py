import json
from datetime import UTC, datetime, timedelta

from finetune_trainer import report
from finetune_trainer.report import ProgressWriter


class Clock:
    def __init__(self) -> None:
        self.time = datetime(2026, 11, 22, 10, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time


def test_what_is_told_can_be_read(tmp_path):
    writer = ProgressWriter(tmp_path / "state/progress.json", attempt=2, clock=Clock())

    writer.tell(stage="Read", rows=100, message="100 rows read")

    raw = json.loads((tmp_path / "state/progress.json").read_text())
    assert raw == {
        "version": 1,
        "stage": "Read",
        "attempt": 2,
        "rows": 100,
        "updatedAt": "2026-11-22T10:00:00Z",
        "message": "100 rows read",
    }
    assert report.read_progress(tmp_path / "state/progress.json") == writer.now


def test_the_same_stage_soon_after_is_kept_back(tmp_path):
    clock = Clock()
    writer = ProgressWriter(tmp_path / "p.json", attempt=1, clock=clock)
    writer.tell(stage="Read", rows=1)

    writer.tell(rows=2)
    soon = report.read_progress(tmp_path / "p.json")
    clock.time += timedelta(seconds=1)
    writer.tell(rows=3)
    later = report.read_progress(tmp_path / "p.json")

    assert (soon.rows, later.rows) == (1, 3)


def test_a_document_stays_small_and_readable_whatever_is_told(tmp_path):
    writer = ProgressWriter(tmp_path / "p.json", attempt=1)

    writer.tell(stage="Train", loss=float("nan"), message="\udc80" * 100_000)

    assert (tmp_path / "p.json").stat().st_size < report.MAX_PROGRESS_BYTES
    assert report.read_progress(tmp_path / "p.json").loss is None


def test_a_missing_or_broken_document_is_none(tmp_path):
    (tmp_path / "broken").write_text("{")

    assert report.read_progress(tmp_path / "missing") is None
    assert report.read_progress(tmp_path / "broken") is None
