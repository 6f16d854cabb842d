"""The result is at the output whole or not at all."""

import hashlib
import json
from pathlib import Path

import pytest

import trainer_runs
from finetune_trainer import errors, outcome
from finetune_trainer.layout import Layout
from finetune_trainer.storage import Store
from finetune_trainer.supervisor import delivery, publication
from finetune_trainer.task import Evaluated, Measured, Trained

TRAINED = Trained(
    step=6,
    total_steps=6,
    epoch=1.0,
    loss=2.5,
    tokens_per_second=100.0,
    evaluation=Evaluated(
        rows=6, base=Measured(loss=3.0, perplexity=20.1), tuned=Measured(loss=2.0, perplexity=7.4)
    ),
)


@pytest.fixture
def output(layout: Layout) -> Store:
    return outcome.output(trainer_runs.run(), layout)


@pytest.fixture
def artefact(tmp_path: Path) -> Path:
    folder = tmp_path / "artefact"
    folder.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (folder / name).write_text(f"our {name}")
    return folder


@pytest.fixture
def sent(output, artefact, layout):
    """Sends the artefact."""

    def send(written_last: bytes = b"{}", between=lambda _: None) -> str:
        work, files = outcome.work_area(trainer_runs.run(), layout), publication.files_of(artefact)
        return publication.send(output, work, artefact, files, written_last, between=between)

    return send


def there(output: Store) -> list[str]:
    """What lies there, but for the work area."""
    return [item.key for item in output.list() if not item.key.startswith(".finetune/")]


def test_the_manifest_comes_last(output, sent, monkeypatch):
    order: list[str] = []
    put = output.put
    monkeypatch.setattr(output, "put", lambda key, content: (order.append(key), put(key, content)))
    digest = sent(b'{"version": 1}')
    assert order == ["adapter_config.json", "adapter_model.safetensors", "finetune-manifest.json"]
    assert digest == "sha256:" + hashlib.sha256(b'{"version": 1}').hexdigest()


def test_cut_off_in_the_middle_there_is_no_result(output, sent):
    def cut(name: str) -> None:
        if name == "adapter_model.safetensors":
            raise errors.StorageUnavailable("HTTP 503")

    with pytest.raises(errors.StorageUnavailable):
        sent(between=cut)
    assert there(output) == ["adapter_config.json"]


def test_another_jobs_result_goes_manifest_first_and_leaves_nothing_behind(output, sent):
    files = {"adapter_model.safetensors": {}, "merges.txt": {}, "../../elsewhere": {}, ".hidden": {}}
    output.put("finetune-manifest.json", json.dumps({"files": files}).encode())
    output.put("adapter_model.safetensors", b"theirs")
    output.put("merges.txt", b"theirs")
    output.put("notes-of-a-person.txt", b"not named by the manifest")
    seen: list[bool] = []
    sent(between=lambda _: seen.append("finetune-manifest.json" in there(output)))
    assert seen == [False, False, False]  # before each file, and before the manifest
    assert there(output) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "finetune-manifest.json",
        "notes-of-a-person.txt",
    ]
    assert output.read("adapter_model.safetensors") == b"our adapter_model.safetensors"


def test_what_a_dead_attempt_was_replacing_is_still_removed_by_the_next_one(output, sent):
    output.put(
        "finetune-manifest.json", json.dumps({"files": {"merges.txt": {}, "model.safetensors": {}}}).encode()
    )
    for name in ("merges.txt", "model.safetensors"):
        output.put(name, b"theirs")

    def cut(_: str) -> None:
        raise errors.StorageUnavailable("HTTP 503")

    with pytest.raises(errors.StorageUnavailable):
        sent(between=cut)
    assert there(output) == ["merges.txt", "model.safetensors"]
    sent()
    assert there(output) == ["adapter_config.json", "adapter_model.safetensors", "finetune-manifest.json"]


def test_the_result_has_the_contracts_shape(artefact, tmp_path):
    ready = trainer_runs.prepare_by_hand(tmp_path / "made")
    files = publication.files_of(artefact)
    told = publication.result(trainer_runs.run(), ready, TRAINED, files=files, seconds=12.34)
    assert told == {
        "adapter": {
            "uri": "pvc://output/tiny",
            "type": "LoRA",
            "rank": 4,
            "baseModel": "pvc://models/tiny",
            "baseRevision": "sha256:" + "0" * 64,
            "step": 6,
            "sizeBytes": sum(path.stat().st_size for path in artefact.iterdir()),
        },
        "evaluation": {
            "rows": 6,
            "base": {"loss": 3.0, "perplexity": 20.1, "other": {}},
            "tuned": {"loss": 2.0, "perplexity": 7.4, "other": {}},
        },
        "progress": {"step": 6, "totalSteps": 6, "epoch": 1.0, "loss": 2.5, "tokensPerSecond": 100.0},
        "usage": {"gpuSeconds": 0.0, "seconds": 12.3},
    }


def test_the_step_that_was_kept_is_told(artefact, tmp_path):
    ready = trainer_runs.prepare_by_hand(tmp_path / "made")
    kept = TRAINED.model_copy(update={"kept_step": 4})
    told = publication.result(trainer_runs.run(), ready, kept, files={}, seconds=1.0)
    assert (told["adapter"]["step"], told["progress"]["step"]) == (4, 6)


def test_gpu_seconds_count_every_gpu(artefact, tmp_path):
    ready = trainer_runs.prepare_by_hand(tmp_path / "made")
    run = trainer_runs.run(resources={"accelerator": "cuda", "processesPerNode": 4})
    told = publication.result(run, ready, TRAINED, files={}, seconds=10.0)
    assert told["usage"] == {"gpuSeconds": 40.0, "seconds": 10.0}


def test_after_publishing_the_work_area_is_gone_and_nothing_else(layout, output):
    run = trainer_runs.run()
    work = outcome.work_area(run, layout)
    work.put("dataset/x/prepared.json", b"{}")
    output.put("finetune-manifest.json", b"{}")
    output.put(".finetune/another-job/outcome.json", b"{}")
    delivery.clean(run, layout)
    assert [item.key for item in output.list()] == [
        ".finetune/another-job/outcome.json",
        "finetune-manifest.json",
    ]


def test_a_work_area_that_cannot_be_removed_is_no_failure(layout, monkeypatch, capsys):
    def denied(*_: object) -> int:
        raise errors.AccessDenied("no right to delete")

    monkeypatch.setattr(Store, "delete_below", denied)
    delivery.clean(trainer_runs.run(), layout)
    assert "the work area could not be removed: no right to delete" in capsys.readouterr().out
