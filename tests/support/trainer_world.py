"""A pod's file system below a folder, with data and the tiny model on claims: what the trainer's tests start from."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trainer_tiny_model
from finetune_trainer import config, prepare
from finetune_trainer.layout import Layout
from finetune_trainer.prepare import PrepareResult
from finetune_trainer.prepared import Prepared
from finetune_trainer.report import ProgressWriter
from finetune_trainer.storage import Store

TALK = [
    {
        "messages": [
            {"role": "user", "content": f"What is {number} plus one?"},
            {"role": "assistant", "content": f"It is {number + 1}."},
        ]
    }
    for number in range(40)
]


@dataclass(frozen=True)
class World:
    """One pod."""

    layout: Layout

    @classmethod
    def at(cls, root: Path, *, model: Path | None = None) -> "World":
        """A pod below `root` whose claim `models` holds the tiny model, or `model`."""
        world = cls(Layout.under(root))
        world.layout.make_folders()
        (world.layout.claims / "out").mkdir(parents=True)
        (world.layout.claims / "models").mkdir()
        shutil.copytree(model or trainer_tiny_model.folder(), world.layout.claims / "models" / "tiny")
        return world

    @property
    def model(self) -> Path:
        """The model's folder; a copy, free to be damaged."""
        return self.layout.claims / "models" / "tiny"

    def put(self, name: str, content: str | bytes | list[Any]) -> str:
        """Put a data file on the claim `data`; lists become JSONL. Its URI."""
        path = self.layout.claims / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, list):
            content = "".join(json.dumps(row) + "\n" for row in content)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return f"pvc://data/{name}"

    def secret(self, name: str, **keys: str) -> None:
        """Mount a Secret."""
        for key, value in keys.items():
            path = self.layout.credentials / name / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(value + "\n")

    def prepare(self, run: config.Run) -> PrepareResult:
        """Run the stage."""
        return prepare.prepare(run, self.layout, ProgressWriter(self.layout.progress, attempt=1))

    def work(self) -> Path:
        """The work area of the run."""
        return self.layout.claims / "out" / "result" / ".finetune" / "uid-1"


def document(**changes: Any) -> dict[str, Any]:
    """A run.json that trains the tiny model on `pvc://data/train.jsonl`; `changes` replace whole parts."""
    made: dict[str, Any] = {
        "version": 1,
        "job": {"namespace": "team-a", "name": "talk", "uid": "uid-1"},
        "image": "trainer:test",
        "profile": {"name": "default", "generation": 1},
        "method": "SFT",
        "model": {"uri": "pvc://models/tiny"},
        "dataset": {"train": [{"uri": "pvc://data/train.jsonl"}]},
        "output": {"uri": "pvc://out/result"},
        "resources": {
            "nodes": 1,
            "processesPerNode": 1,
            "accelerator": "cpu",
            "cpu": 1.0,
            "memoryBytes": 4 * 2**30,
            "scratchBytes": 10 * 2**30,
        },
    }
    return {**made, **changes}


def run(**changes: Any) -> config.Run:
    """The same as a value."""
    return config.parse(json.dumps(document(**changes)).encode())


def load(store: Store, result: PrepareResult) -> Prepared:
    """The document that a Prepare left."""
    return Prepared.load(store, result.result["dataset"]["digest"])
