"""DPO, ORPO and KTO from files to a published result, as their pods run them."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from safetensors import safe_open

import trainer_runs
from finetune_trainer import tables
from finetune_trainer.layout import Layout
from trainer_processes import ran

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Case:
    """One job."""

    method: str
    tuning: dict[str, Any]
    measured: set[str]
    """What the tuned model is told to be, beside its loss."""
    base: float | None
    """Loss of the base model where it is one by definition."""
    training: dict[str, Any] = field(default_factory=dict)


CASES = {
    "DPO": Case(
        "DPO", {"type": "LoRA", "lora": {"rank": 8}},
        {"chosenLoss", "chosenLikelier", "rewardAccuracy", "rewardMargin"}, 0.6931,
    ),
    "KTO": Case(
        "KTO", {"type": "QLoRA", "lora": {"rank": 8}}, {"desirableLoss", "rewardAccuracy", "rewardMargin"}, 0.5,
    ),
    "ORPO": Case(
        "ORPO", {"type": "Full"}, {"chosenLoss", "rewardAccuracy", "rewardMargin"}, None, {"learningRate": 1e-3},
    ),
}  # fmt: skip


def rows(method: str, count: int = 60) -> list[dict[str, Any]]:
    """Pairs, or single answers with a verdict."""
    made: list[dict[str, Any]] = []
    for number in range(count):
        asked = f"Which number comes after {number}?"
        good, bad = f"After {number} comes {number + 1}.", f"I do not know what comes after {number}, sorry."
        if method == "KTO":
            liked = number % 2 == 0
            made.append({"prompt": asked, "completion": good if liked else bad, "label": liked})
        else:
            made.append({"prompt": asked, "chosen": good, "rejected": bad})
    return made


def a_pod(root: Path, case: Case) -> Layout:
    layout = trainer_runs.pod(
        root, method=case.method, training={"maxSteps": 16, **case.training}, checkpoint={"everySteps": 50}
    )
    document = json.loads(layout.run.read_text())
    document["tuning"] = case.tuning
    layout.run.write_text(json.dumps(document))
    lines = (json.dumps(row) + "\n" for row in rows(case.method))
    (layout.claims / "data/train.jsonl").write_text("".join(lines))
    return layout


@pytest.mark.parametrize("name", CASES)
def test_a_job_of_another_method_is_prepared_trained_and_published(name: str, tmp_path: Path):
    case = CASES[name]
    layout = a_pod(tmp_path / "pod", case)
    ready = ran(layout, "prepare", "--attempt", "1")["result"]
    (work,) = (layout.claims / "output/tiny/.finetune").glob("*/dataset/*")
    assert set(tables.COLUMNS[case.method]) <= set(pq.read_schema(work / "train.parquet").names)

    result = ran(layout, "train", "--attempt", "1", "--prepared", ready["dataset"]["digest"])["result"]

    assert result["adapter"]["type"] == case.tuning["type"]
    assert result["adapter"].get("rank") == case.tuning.get("lora", {}).get("rank")
    base, tuned = result["evaluation"]["base"], result["evaluation"]["tuned"]
    assert set(tuned["other"]) == case.measured
    assert "perplexity" not in tuned
    if case.base is not None:
        assert base["loss"] == pytest.approx(case.base, abs=1e-4)
    assert tuned["loss"] < base["loss"]
    assert tuned["other"]["rewardAccuracy"] >= 0.9

    folder = layout.claims / "output/tiny"
    files = {path.name for path in folder.iterdir()}
    weights = "model.safetensors" if case.tuning["type"] == "Full" else "adapter_model.safetensors"
    assert weights in files
    assert not any(
        path.is_dir() for path in folder.iterdir()
    )  # TRL would leave a reference beside the adapter
    assert ("adapter_config.json" in files) == (weights == "adapter_model.safetensors")
    with safe_open(folder / weights, "pt") as opened:
        assert not any(".ref." in name for name in opened.keys())  # noqa: SIM118 - not a dict
    assert all(
        sample["base"] != sample["tuned"] for sample in json.loads((folder / "samples.json").read_text())[:1]
    )
