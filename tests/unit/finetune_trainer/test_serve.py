"""What the pod answers on its port."""

import json
import urllib.error
import urllib.request
from datetime import UTC, datetime

import pytest

from finetune_trainer import report
from finetune_trainer.supervisor import serve

NOW = datetime(2026, 11, 22, 10, 1, tzinfo=UTC)

PROGRESS = report.Progress(
    stage="Train",
    attempt=2,
    step=120,
    total_steps=500,
    loss=float("nan"),
    tokens_per_second=5120.0,
    checkpoint=report.CheckpointSeen(step=100, uri="s3://b/checkpoints/step-100", time=NOW),
    updated_at=NOW,
    message="step 120 of 500",
)


@pytest.fixture
def told():
    return [PROGRESS]


@pytest.fixture
def ask(told):
    server = serve.Server(lambda: told[0], port=0)

    def ask(path: str) -> tuple[int, str, bytes]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=5) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers["Content-Type"], error.read()

    yield ask
    server.close()


def test_progress_is_the_contracts_document(ask):
    status, kind, body = ask("/progress")
    assert (status, kind) == (200, "application/json")
    assert json.loads(body) == {
        "version": 1,
        "stage": "Train",
        "attempt": 2,
        "step": 120,
        "totalSteps": 500,
        "loss": None,
        "tokensPerSecond": 5120.0,
        "checkpoint": {"step": 100, "uri": "s3://b/checkpoints/step-100", "time": "2026-11-22T10:01:00Z"},
        "updatedAt": "2026-11-22T10:01:00Z",
        "message": "step 120 of 500",
    }


def test_metrics_are_prometheus_text(ask):
    status, kind, body = ask("/metrics")
    assert (status, kind.partition(";")[0]) == (200, "text/plain")
    lines = body.decode().splitlines()
    assert "finetune_trainer_step 120.0" in lines
    assert 'finetune_trainer_stage{stage="Train"} 1.0' in lines
    assert "finetune_trainer_checkpoint_step 100.0" in lines
    assert not [line for line in lines if line.startswith("finetune_trainer_eval_loss ")]


def test_before_there_is_anything_to_tell(ask, told):
    told[0] = None
    assert ask("/progress")[0] == 503
    assert ask("/metrics")[0] == 200
    assert ask("/healthz")[::2] == (200, b"ok\n")


def test_nothing_else_is_served(ask):
    assert ask("/")[0] == 404
    assert ask("/../etc/passwd")[0] == 404
