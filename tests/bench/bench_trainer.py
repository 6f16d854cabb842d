"""Our trainer against a plain TRL script: steps, losses, the start, checkpoints, packing.

    PYTHONPATH=tests/support python tests/bench/bench_trainer.py [--only PART|FIGURE ...] [--rounds 3] [--smollm2]

Both sides get the same rows, settings and threads, and take turns; each figure is the median of the rounds' ratios. The last
line is one JSON object.
"""

import argparse
import itertools
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import bench_data
import bench_data_rows
import bench_trainer_sides as sides
from bench_data import say
from bench_trainer_sides import Line, Settings

import fault_proxy
import smollm2
import trainer_s3
import trainer_tiny_model
from finetune_trainer.supervisor import launch

WARM = 3
"""Steps at the beginning that are not counted."""

STALL_RANK = 64
"""Of the adapter whose checkpoints are sent: with its optimiser 3 MiB on the tiny model."""

UPLOAD_PAUSE = 0.05
"""Seconds for each 64 KiB on their way to the slow bucket: 10 Mbit/s."""

MIXED_ROWS = 300
MIXED = tuple(round(20 * 75 ** (place / 100)) for place in range(101))
"""Characters of answers, at least: from 20 to 1,500, short ones as often as long ones."""

PARTS = {
    "step": "step", "step_ratio": "step", "losses_equal": "step", "start": "start", "start_ratio": "start",
    "stall": "stall", "checkpoint_stall_ratio": "stall", "packing": "packing", "packing_gain": "packing",
}  # fmt: skip
"""What gives a figure; a part has a name of its own."""

Figures = dict[str, Any]


def main() -> None:
    given = arguments()
    with tempfile.TemporaryDirectory(dir=given.folder, prefix="bench-trainer-") as folder:
        bench = Bench(Path(folder), given)
        found: Figures = {}
        for part in dict.fromkeys(PARTS[name] for name in given.only):
            found |= getattr(bench, part)()
        print(json.dumps({**found, **bench.told()}))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only",
        nargs="+",
        choices=PARTS,
        default=list(PARTS),
        metavar="NAME",
        help=f"of {', '.join(PARTS)} (all)",
    )
    parser.add_argument("--rounds", type=int, default=3, help="of each part (%(default)s)")
    parser.add_argument("--steps", type=int, default=60, help="of a run whose steps count (%(default)s)")
    parser.add_argument("--rows", type=int, default=2000, help="rows to start from (%(default)s)")
    parser.add_argument("--smollm2", action="store_true", help="SmolLM2-135M instead of the tiny test model")
    parser.add_argument("--folder", type=Path, help="where to work")
    return parser.parse_args()


class Bench:
    """One folder of models, rows and rounds."""

    def __init__(self, folder: Path, given: argparse.Namespace) -> None:
        self._folder = folder
        self._given = given
        self._model = folder / "model"
        shutil.copytree(smollm2.folder() if given.smollm2 else trainer_tiny_model.folder(), self._model)
        if not given.smollm2:
            (self._model / "chat_template.jinja").write_text(bench_data.MARKED)

    def step(self) -> Figures:
        """Seconds per step, and losses, from the first step on."""
        settings = self._settings(steps=self._given.steps, count=256)
        rounds = []
        for pair in self._turns(settings):
            seconds = {side: _step_seconds(found) for side, found in pair.items()}
            cpu = {side: _step_cpu(found) for side, found in pair.items()}
            losses = [[line["loss"] for line in found] for found in pair.values()]
            say(f"step: {seconds['ours']:.3f} s, plain {seconds['plain']:.3f} s")
            rounds.append((seconds, cpu, losses[0] == losses[1]))
        return {
            "step_ratio": _ratio([seconds for seconds, _, _ in rounds]),
            "losses_equal": int(all(equal for _, _, equal in rounds)),
            "step_cpu_ratio": _ratio([cpu for _, cpu, _ in rounds]),
            "step_seconds": _median(seconds["ours"] for seconds, _, _ in rounds),
            "step_seconds_plain": _median(seconds["plain"] for seconds, _, _ in rounds),
            "steps": self._given.steps,
        }

    def start(self) -> Figures:
        """Seconds from a JSONL file to the first step, Prepare included."""
        settings = self._settings(steps=1000, count=self._given.rows, held_out=None)
        rounds: list[dict[str, sides.Start]] = []
        for number in range(self._given.rounds):
            took = {}
            for side in _order(number):
                with self._round(side) as folder:
                    made = sides.Ours if side == "ours" else sides.Plain
                    took[side] = made(folder, settings).first_step()
            ours, plain = took["ours"], took["plain"]
            say(
                f"start: {ours.seconds:.1f} s ({ours.prepare:.1f} of it Prepare), plain {plain.seconds:.1f} s; "
                f"CPU {ours.cpu:.1f} s ({ours.prepare_cpu:.1f}), plain {plain.cpu:.1f} s"
            )
            rounds.append(took)
        return {
            "start_ratio": _ratio([_each(took, "seconds") for took in rounds]),
            "start_cpu_ratio": _ratio([_each(took, "cpu") for took in rounds]),
            "start_seconds": _median(took["ours"].seconds for took in rounds),
            "start_seconds_prepare": _median(took["ours"].prepare for took in rounds),
            "start_seconds_plain": _median(took["plain"].seconds for took in rounds),
            "start_cpu_seconds": _median(took["ours"].cpu for took in rounds),
            "start_cpu_seconds_prepare": _median(took["ours"].prepare_cpu for took in rounds),
            "start_cpu_seconds_plain": _median(took["plain"].cpu for took in rounds),
            "start_rows": self._given.rows,
        }

    def stall(self) -> Figures:
        """Seconds that a checkpoint keeps training from its next step, its way to a slow bucket included."""
        program = trainer_s3.binary()
        if program is None:
            say("stall: left out, there is no versitygw: `make cluster` builds it")
            return {"checkpoint_stall_ratio": None}
        rounds = []
        with trainer_s3.serving(program, self._folder / "buckets") as server:
            server.bucket("bench")
            port = int(server.endpoint.rpartition(":")[2])
            with fault_proxy.before(port, fault_proxy.Fault(upload_pause=UPLOAD_PAUSE)) as slow:
                bucket = {
                    "name": "bench", "endpoint": f"http://127.0.0.1:{slow}",
                    "access": trainer_s3.ACCESS, "secret": trainer_s3.SECRET,
                }  # fmt: skip
                settings = self._settings(
                    steps=self._given.steps, count=256, rank=STALL_RANK, bucket=bucket,
                    save_every=max(1, self._given.steps // 4),
                )  # fmt: skip
                for pair in self._turns(settings):
                    took = {side: _stall(found) for side, found in pair.items()}
                    say(f"stall: {took['ours']:.2f} s a checkpoint, plain {took['plain']:.2f} s")
                    rounds.append(took)
        return {
            "checkpoint_stall_ratio": _ratio(rounds),
            "checkpoint_stall_seconds": _median(took["ours"] for took in rounds),
            "checkpoint_stall_seconds_plain": _median(took["plain"] for took in rounds),
        }

    def packing(self) -> Figures:
        """Tokens per second that are no padding, on rows of mixed length."""
        rows, log = self._folder / "mixed.jsonl", self._folder / "packing.log"
        bench_data_rows.write(rows, MIXED_ROWS, answered=MIXED)
        with self._round("packing") as folder:
            command = [
                sys.executable,
                "-m",
                "bench_trainer_packing",
                str(rows),
                str(self._model),
                str(folder),
            ]
            environment = {**sides.environment(self._folder), **launch.KEPT_MEMORY}  # as ranks have it
            sides.finished([*command, str(self._given.rounds)], environment, log)
        found: Figures = json.loads(log.read_text().splitlines()[-1])
        return found

    def told(self) -> Figures:
        """What these figures were measured on."""
        return {
            "rounds": self._given.rounds,
            "model": "SmolLM2-135M-Instruct" if self._given.smollm2 else "tiny",
            "machine": f"{len(os.sched_getaffinity(0))} x {_processor()}",
            "load": round(os.getloadavg()[0], 1),
            "python": platform.python_version(),
        }

    def _settings(self, *, steps: int, count: int, **more: Any) -> Settings:
        rows = self._folder / f"{count}.jsonl"
        if not rows.exists():
            bench_data_rows.write(rows, count)
        return replace(Settings(model=str(self._model), rows=str(rows), steps=steps), **more)

    def _turns(self, settings: Settings) -> Iterator[dict[str, list[Line]]]:
        """A run of each side to its last step, as often as there are rounds."""
        for number in range(self._given.rounds):
            found = {}
            for side in _order(number):
                with self._round(side) as folder:
                    made = sides.Ours if side == "ours" else sides.Plain
                    found[side] = made(folder, settings).trained()
            yield {side: found[side] for side in ("ours", "plain")}

    @contextmanager
    def _round(self, side: str) -> Iterator[Path]:
        folder = self._folder / side
        yield folder
        sides.removed(folder)


def _order(number: int) -> tuple[str, str]:
    """Who goes first: by turns, so that a load that grows or falls weighs on both."""
    return ("plain", "ours") if number % 2 else ("ours", "plain")


def _step_seconds(lines: Sequence[Line]) -> float:
    """Of a typical step, from end to end."""
    return statistics.median(_intervals(lines[WARM:]))


def _step_cpu(lines: Sequence[Line]) -> float:
    """CPU seconds of the process per step."""
    first, last = lines[WARM], lines[-1]
    return float((last["cpu"] - first["cpu"]) / (last["step"] - first["step"]))


def _stall(lines: Sequence[Line]) -> float:
    """Seconds that a step with a checkpoint takes beyond others."""
    intervals = list(zip(lines[WARM:], _intervals(lines[WARM:]), strict=False))
    usual = statistics.median(seconds for line, seconds in intervals if not line["saved"])
    return statistics.mean(seconds for line, seconds in intervals if line["saved"]) - usual


def _intervals(lines: Sequence[Line]) -> list[float]:
    """Seconds from the end of each step to the end of the next."""
    return [after["at"] - before["at"] for before, after in itertools.pairwise(lines)]


def _each(took: dict[str, sides.Start], name: str) -> dict[str, float]:
    return {side: getattr(start, name) for side, start in took.items()}


def _ratio(rounds: Sequence[dict[str, float]]) -> float:
    return _median(took["ours"] / took["plain"] for took in rounds)


def _median(values: "Iterator[float] | Sequence[float]") -> float:
    return round(statistics.median(values), 3)


def _processor() -> str:
    """The processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    main()
