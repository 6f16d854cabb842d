"""What is learned from real text by a real model: our trainer against a plain TRL script, and DPO on pairs.

    PYTHONPATH=tests/support python tests/bench/bench_quality.py [--only sft dpo] [--steps 24] [--pair-steps 60]

SmolLM2-135M-Instruct learns to name what a piece of documentation is about (tests/support/docstrings.py). Both adapters are
judged by a script that knows neither trainer. On one core a step takes 8 s, and one of DPO 15 s. The last line is one JSON object.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

import bench_trainer_sides as sides
from bench_data import say
from bench_trainer_sides import Line, Ours, Plain, Settings

import docstrings
import smollm2
import trainer_world

HERE = Path(__file__).parent
ASK = "Write a one-line title for this documentation.\n\n"
TRAIN, HELD_OUT = 400, 40
PAIRS = 40
"""Pairs that are held out."""

Figures = dict[str, Any]
Row = dict[str, Any]


def main() -> None:
    given = arguments()
    with tempfile.TemporaryDirectory(dir=given.folder, prefix="bench-quality-") as folder:
        bench = Bench(Path(folder), given)
        found: Figures = {}
        for part in given.only:
            found |= getattr(bench, part)()
        told = {"cpus": len(os.sched_getaffinity(0)), "python": platform.python_version()}
        print(json.dumps({**found, "model": "SmolLM2-135M-Instruct", **told}))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = ["sft", "dpo"]
    parser.add_argument("--only", nargs="+", choices=parts, default=parts, help="parts to run (all)")
    parser.add_argument("--steps", type=int, default=24, help="of SFT, four rows each (%(default)s)")
    parser.add_argument("--pair-steps", type=int, default=60, help="of DPO, four pairs each (%(default)s)")
    parser.add_argument("--pair-rate", type=float, default=5e-4, help="learning rate of DPO (%(default)g)")
    parser.add_argument("--folder", type=Path, help="where to work")
    return parser.parse_args()


class Bench:
    """One folder of rows and runs."""

    def __init__(self, folder: Path, given: argparse.Namespace) -> None:
        self._folder = folder
        self._given = given
        train, held_out = docstrings.rows(seed=42)
        self._train, self._held_out = train[:TRAIN], held_out[:HELD_OUT]

    def sft(self) -> Figures:
        """How far held-out loss falls, ours and the script's, after the same number of steps on the same rows."""
        held_out = self._written("held-out", [talk(row) for row in self._held_out])
        steps = self._given.steps
        settings = Settings(
            model=str(smollm2.folder()),
            rows=str(self._written("train", [talk(row) for row in self._train])),
            steps=steps,
            learning_rate=5e-4,
            save_every=steps,
        )
        ours = Ours(self._folder / "ours", settings)
        lines = {"ours": ours.trained()}
        say(f"ours: {told(lines['ours'])}")
        plain = Plain(self._folder / "plain", settings)
        lines["plain"] = plain.trained()
        say(f"plain: {told(lines['plain'])}")
        adapters = {
            "base": "",
            "ours": str(ours.layout.claims / "out" / "result"),
            "plain": str(self._folder / "plain" / "work" / "out" / f"checkpoint-{steps}"),
        }
        losses = {side: self._judged(adapter, held_out) for side, adapter in adapters.items()}
        say(f"held-out loss: {losses}")
        return {
            "heldout_fall_ratio": round(
                (losses["base"] - losses["ours"]) / (losses["base"] - losses["plain"]), 4
            ),
            **{f"heldout_loss_{side}": round(loss, 4) for side, loss in losses.items()},
            "losses_equal": int(
                [line["loss"] for line in lines["ours"]] == [line["loss"] for line in lines["plain"]]
            ),
            "steps": steps,
        }

    def dpo(self) -> Figures:
        """Share of held-out pairs whose better answer the tuned model likes more than the base did."""
        folder = self._folder / "dpo"
        settings = Settings(
            model=str(smollm2.folder()),
            rows=str(self._written("pairs", pairs(self._train))),
            steps=self._given.pair_steps,
            learning_rate=self._given.pair_rate,
        )
        ours = Preferring(folder, settings)
        (ours.layout.claims / "data" / "held-out.jsonl").symlink_to(
            self._written("held-out-pairs", pairs(self._held_out)[:PAIRS])
        )
        ours.trained()
        said = json.loads(ours.layout.termination_log.read_bytes())["result"]["evaluation"]
        say(f"dpo: {said['tuned']}")
        return {
            "dpo_reward_accuracy": said["tuned"]["other"]["rewardAccuracy"],
            "dpo_reward_margin": said["tuned"]["other"]["rewardMargin"],
            "dpo_steps": self._given.pair_steps,
        }

    def _written(self, name: str, rows: list[Row]) -> Path:
        path = self._folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    def _judged(self, adapter: str, held_out: Path) -> float:
        """Mean loss of an answer's token."""
        log = self._folder / "judge.log"
        script = str(HERE / "bench_quality_judge.py")
        command = [sys.executable, script, str(smollm2.folder()), adapter, str(held_out)]
        sides.finished(command, sides.environment(self._folder), log)
        return float(log.read_text().splitlines()[-1])


class Preferring(Ours):
    """DPO instead of SFT, with pairs held out in a file of their own."""

    def _document(self, said: Settings) -> dict[str, Any]:
        document = super()._document(said)
        document["dataset"] = {"train": [{"uri": sides.DATA}], "eval": [{"uri": "pvc://data/held-out.jsonl"}]}
        return trainer_world.document(**{**document, "method": "DPO"})


def talk(row: Row) -> Row:
    """As one turn of each."""
    turns = [("user", ASK + row["document"]), ("assistant", row["title"])]
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def pairs(rows: list[Row]) -> list[Row]:
    """Its own title is better than the next row's."""
    return [
        {"prompt": turns[:1], "chosen": turns[1:], "rejected": talk(other)["messages"][1:]}
        for row, other in zip(rows, [*rows[1:], rows[0]], strict=True)
        for turns in [talk(row)["messages"]]
    ]


def told(lines: list[Line]) -> str:
    """Of a run's losses."""
    return f"loss {lines[0]['loss']:.4f} -> {lines[-1]['loss']:.4f} in {len(lines)} steps"


if __name__ == "__main__":
    main()
