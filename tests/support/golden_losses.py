"""The table of (method x tuning x packing) that the tests train on the tiny model, and the losses pinned for each row.

`python tests/support/golden_losses.py [NAME ...]` trains all rows, or those named, and writes their losses down anew.
"""

import json
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trainer_adapters
import trainer_runs
from finetune_trainer import fine_tuning, task
from finetune_trainer.interruption import Interruption
from finetune_trainer.task import Task

GOLDEN = Path(__file__).with_suffix(".json")
"""Training losses of the first, second and last step by case: what a refactoring or a new version must not move."""

LORA: dict[str, Any] = {"type": "LoRA", "lora": {"rank": 4}}
DROPOUT: dict[str, Any] = {"type": "LoRA", "lora": {"rank": 4, "dropout": 0.1}}
QLORA: dict[str, Any] = {"type": "QLoRA", "lora": {"rank": 4}}
FP4_DORA: dict[str, Any] = {
    "type": "QLoRA", "lora": {"rank": 4, "dora": True}, "quantization": {"type": "fp4", "double": False},
}  # fmt: skip
FULL: dict[str, Any] = {"type": "Full"}


SHORT = 40
"""Tokens of the longest pack: two or three rows each."""


@dataclass(frozen=True)
class Case:
    """A run of six steps of two forward passes."""

    name: str
    method: str
    tuning: dict[str, Any]
    training: dict[str, Any] = field(default_factory=dict)
    start: dict[str, Any] | None = None
    """PEFT's settings of the adapter that training goes on from, beside `trainer_adapters.SETTINGS`."""


CASES = (
    Case("SFT LoRA", "SFT", LORA),
    Case("SFT LoRA dropout", "SFT", DROPOUT),
    Case("SFT DoRA", "SFT", {"type": "LoRA", "lora": {"rank": 4, "dora": True}}),
    Case("SFT rsLoRA", "SFT", {"type": "LoRA", "lora": {"rank": 4, "rslora": True}}),
    Case("SFT QLoRA", "SFT", QLORA),
    Case("SFT QLoRA fp4 DoRA", "SFT", FP4_DORA),
    Case("SFT modulesToSave", "SFT", {"type": "LoRA", "lora": {"rank": 4, "modulesToSave": ["embed_tokens"]}}),
    Case("SFT Full", "SFT", FULL),
    Case("SFT NEFTune", "SFT", LORA, {"neftuneNoiseAlpha": 5.0}),
    Case("SFT LoRA packing", "SFT", LORA, {"packing": True}),
    Case("SFT LoRA dropout packing", "SFT", DROPOUT, {"packing": True}),
    Case("SFT QLoRA packing", "SFT", QLORA, {"packing": True}),
    Case("SFT Full packing", "SFT", FULL, {"packing": True}),
    Case("SFT LoRA dropout groupByLength", "SFT", DROPOUT, {"groupByLength": True}),
    Case("SFT adamw_8bit", "SFT", FULL, {"optimizer": "adamw_8bit"}),
    Case("SFT paged_adamw_8bit", "SFT", FULL, {"optimizer": "paged_adamw_8bit"}),
    Case("SFT paged_adamw_32bit", "SFT", LORA, {"optimizer": "paged_adamw_32bit"}),
    Case("SFT adafactor", "SFT", LORA, {"optimizer": "adafactor"}),
    Case("DPO LoRA", "DPO", LORA),
    Case("DPO LoRA dropout", "DPO", DROPOUT),
    Case("DPO mixed", "DPO", LORA, {"dpo": {"beta": 0.2, "lossType": ["robust", "sft"], "labelSmoothing": 0.1}}),
    Case("DPO QLoRA", "DPO", QLORA),
    Case("DPO Full", "DPO", FULL),
    Case("ORPO LoRA", "ORPO", LORA, {"dpo": {"beta": 0.5}}),
    Case("ORPO QLoRA", "ORPO", QLORA),
    Case("ORPO Full", "ORPO", FULL),
    Case("KTO LoRA", "KTO", LORA),
    Case("KTO apo", "KTO", LORA, {"dpo": {"lossType": ["apo_zero_unpaired"]}}),
    Case("KTO weights", "KTO", LORA, {"extra": {"undesirable_weight": 2.0, "adam_beta2": 0.9}}),
    Case("KTO QLoRA", "KTO", QLORA),
    Case("KTO Full", "KTO", FULL),
    Case("SFT LoRA from an adapter", "SFT", {"type": "LoRA"}, start={}),
    Case("SFT QLoRA from an adapter", "SFT", {"type": "QLoRA"}, start={}),
    Case("SFT LoRA packing from an adapter", "SFT", {"type": "LoRA"}, {"packing": True}, start={}),
    Case("DPO LoRA from an adapter", "DPO", {"type": "LoRA"}, start={}),
    Case("DPO QLoRA from an adapter", "DPO", {"type": "QLoRA"}, start={}),
    Case("ORPO LoRA from an adapter", "ORPO", {"type": "LoRA"}, start={}),
    Case("ORPO QLoRA from an adapter", "ORPO", {"type": "QLoRA"}, start={}),
    Case("KTO LoRA from an adapter", "KTO", {"type": "LoRA"}, start={}),
    Case("KTO QLoRA from an adapter", "KTO", {"type": "QLoRA"}, start={}),
)  # fmt: skip


def a_task(root: Path, case: Case, *, resume: Path | None = None) -> Task:
    """A pod below `root` that would train the case."""
    started = trainer_runs.STARTED if case.start is not None else {}
    layout = trainer_runs.pod(root, method=case.method, tuning=case.tuning, training=case.training, **started)
    document = json.loads(layout.run.read_text())
    document["tuning"] = case.tuning
    layout.run.write_text(json.dumps(document))
    layout.make_folders()
    start = None if case.start is None else trainer_adapters.make(root / "start", **case.start)
    trainer_runs.prepare_by_hand(layout.dataset, method=case.method, start=start, **_rows(case))
    given = Task(
        run=layout.run,
        attempt=1,
        dataset=layout.dataset,
        model=layout.claims / "models/tiny",
        progress=layout.progress,
        work=layout.scratch / "ranks",
        resume=resume,
    )
    given.work.mkdir(parents=True)
    return given


def _rows(case: Case) -> dict[str, Any]:
    """What else a case asks of its rows."""
    if case.training.get("packing"):
        return {"max_length": SHORT, "packed": True}
    # Step 4 lies within a second epoch: an order that comes from common dice is another one after an interruption.
    return {"rows": 12} if case.training.get("groupByLength") else {}


def go(given: Task) -> task.Trained:
    """Train in this process."""
    fine_tuning.FineTuning(given, Interruption(), rank=0, world=1).go()
    return task.Trained.model_validate_json(given.trained.read_bytes())


def losses(given: Task) -> list[float]:
    """The training loss of each step."""
    history = json.loads((given.artefact / "metrics.json").read_text())["history"]
    return [entry["loss"] for entry in history if "loss" in entry]


def pinned(found: list[float]) -> list[float]:
    """What is kept of a run's losses."""
    return [found[0], found[1], found[-1]]


def read() -> dict[str, list[float]]:
    """The pinned losses by the name of the case."""
    kept: dict[str, list[float]] = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    return kept


def main(names: list[str]) -> None:
    """Train and write."""
    kept = read()
    for case in CASES:
        if not names or case.name in names:
            with tempfile.TemporaryDirectory() as root:
                given = a_task(Path(root) / "pod", case)
                go(given)
                kept[case.name] = pinned(losses(given))
    known = {case.name: kept[case.name] for case in CASES if case.name in kept}
    GOLDEN.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
