"""Our side of `bench_data`: the Prepare stage itself on one JSONL file, told as one line of JSON.

python bench_data_ours.py ROWS.jsonl MODEL FOLDER PROCESSES
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from bench_data_memory import cpu_seconds

import trainer_world
from finetune_trainer import prepare, report
from finetune_trainer.data import cpus


class Watch(report.ProgressWriter):
    """Notes when each stage began."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, attempt=1)
        self.began: dict[str, float] = {}
        self.worked: dict[str, float] = {}

    def tell(self, **changes: Any) -> report.Progress:
        told = super().tell(**changes)
        self.began.setdefault(told.stage, time.monotonic())
        self.worked.setdefault(told.stage, cpu_seconds())
        return told


def main() -> None:
    rows, model, folder, processes = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    world = trainer_world.World.at(folder, model=model)
    claim = world.layout.claims / "data"
    claim.mkdir()
    (claim / "rows.jsonl").symlink_to(rows)
    run = trainer_world.run(
        dataset={"train": [{"uri": "pvc://data/rows.jsonl"}], "evalFraction": 0},
        training={"maxLength": 1024},
    )
    cpus.allowed = lambda: processes  # as many as the other side, whatever this machine has
    watch = Watch(world.layout.progress)
    result = prepare.prepare(run, world.layout, watch)
    dataset = result.result["dataset"]
    assert not dataset["dropped"], dataset
    told = {
        "seconds": watch.began["Publish"]
        - watch.began["Read"],  # from the first byte read to the tables and their document
        "cpu": watch.worked["Publish"] - watch.worked["Read"],
        "rows": dataset["rows"],
        "tokens": dataset["tokens"],
        "table": str(world.layout.dataset / "train.parquet"),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
