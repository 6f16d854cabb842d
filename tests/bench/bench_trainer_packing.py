"""Real tokens per second on rows of mixed length: packed, padded in file order, grouped by length. Told as one line of JSON.

    python bench_trainer_packing.py ROWS.jsonl MODEL FOLDER ROUNDS

All in one process, by turns, with our own trainer; of each kind the batch shape counts that is fastest.
"""

import json
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bench_trainer_clock
import bench_trainer_sides as sides
from bench_data import say

import trainer_world
from finetune_trainer import config, fine_tuning, outcome
from finetune_trainer.interruption import Interruption
from finetune_trainer.prepared import Prepared
from finetune_trainer.task import Task

WARM = 2
"""Steps that are not counted."""

STEPS = 12
BATCH = 8
"""Rows per step; of packs half as many, which hold about as many tokens: what a step costs beside its passes weighs the same."""

KINDS: dict[str, tuple[dict[str, Any], int, tuple[int, ...]]] = {
    "padded": ({}, BATCH, (1, 2, 4, 8)),
    "grouped": ({"groupByLength": True}, BATCH, (1, 2, 4, 8)),
    "packed": ({"packing": True}, BATCH // 2, (1, 2, 4)),
}
"""Settings, rows or packs per step, and those per forward pass that are tried."""


Key = tuple[str, int]
"""A kind, and rows or packs per forward pass."""

PER_STEP = "tokens_per_step"

CLOCKS = ("at", "cpu")
"""The machine's, and the process's own, which other work on the machine moves less."""


@dataclass(frozen=True)
class Shape:
    """One way to put rows into batches, prepared."""

    kind: str
    micro: int
    world: trainer_world.World

    def speeds(self, number: int) -> dict[str, float]:
        """Train once; tokens that are no padding, per second, per CPU second and per step, warm steps aside."""
        layout = self.world.layout
        work = layout.scratch / f"ranks-{number}"
        work.mkdir()
        task = Task(
            run=layout.run, attempt=1, dataset=layout.dataset, model=self.world.model,
            progress=layout.progress, work=work,
        )  # fmt: skip
        fine_tuning.FineTuning(task, Interruption(), rank=0, world=1).go()
        lines = sides.lines(work)
        first, last = lines[WARM], lines[-1]
        tokens = last["num_tokens"] - first["num_tokens"]
        speeds = {clock: tokens / (last[clock] - first[clock]) for clock in CLOCKS}
        return {**speeds, PER_STEP: tokens / (last["step"] - first["step"])}


def shapes(rows: Path, model: Path, folder: Path) -> Iterator[Shape]:
    """Every shape of every kind, its data prepared."""
    for kind, (settings, batch, micros) in KINDS.items():
        for micro in micros:
            world = trainer_world.World.at(folder / f"{kind}-{micro}", model=model)
            uri = world.put("rows.jsonl", rows.read_bytes())
            document = trainer_world.document(
                dataset={"train": [{"uri": uri}], "evalFraction": 0},
                training={
                    "maxSteps": STEPS, "learningRate": 1e-3, "maxLength": 512,
                    "globalBatchSize": batch, "microBatchSize": micro, **settings,
                },
            )  # fmt: skip
            world.layout.run.parent.mkdir(parents=True, exist_ok=True)
            world.layout.run.write_text(json.dumps(document))
            run = config.load(world.layout.run)
            digest = world.prepare(run).result["dataset"]["digest"]
            area = outcome.work_area(run, world.layout)
            Prepared.load(area, digest).fetch(area, world.layout.dataset)
            yield Shape(kind, micro, world)


def main() -> None:
    rows, model, folder, rounds = (*map(Path, sys.argv[1:4]), int(sys.argv[4]))
    bench_trainer_clock.install()
    prepared = list(shapes(rows, model, folder))
    found: dict[Key, list[dict[str, float]]] = {(one.kind, one.micro): [] for one in prepared}
    for number in range(rounds):
        for one in prepared[:: -1 if number % 2 else 1]:
            speeds = one.speeds(number)
            found[one.kind, one.micro].append(speeds)
            say(
                f"packing: {one.kind} {one.micro}: {speeds['at']:.0f} tokens/s, {speeds['cpu']:.0f} a CPU second"
            )
    steps = {kind: next(runs[0][PER_STEP] for key, runs in found.items() if key[0] == kind) for kind in KINDS}
    said: dict[str, Any] = {
        "packing_tokens_per_step": {kind: round(tokens) for kind, tokens in steps.items()}
    }
    for clock, word in zip(CLOCKS, ("", "_cpu"), strict=True):
        speed = {key: [speeds[clock] for speeds in several] for key, several in found.items()}
        best = {kind: _best(kind, speed) for kind in KINDS}
        said |= {
            f"packing{word}_gain": _gain(speed[best["packed"]], speed[best["padded"]]),
            f"packing{word}_vs_grouped": _gain(speed[best["packed"]], speed[best["grouped"]]),
            f"packing{word}_tokens_per_second": {
                f"{kind}, {micro} at once": round(statistics.median(speed[kind, micro]))
                for kind, micro in best.values()
            },
        }
    print(json.dumps(said))


def _best(kind: str, speed: dict[Key, list[float]]) -> Key:
    """The fastest shape of a kind."""
    return max((key for key in speed if key[0] == kind), key=lambda key: statistics.median(speed[key]))


def _gain(packed: list[float], other: list[float]) -> float:
    return round(statistics.median(one / two for one, two in zip(packed, other, strict=True)), 3)


if __name__ == "__main__":
    main()
