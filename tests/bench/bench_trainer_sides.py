"""The two sides of `bench_trainer`: our two stages as their pods run them, and a plain TRL script. Same rows, same settings."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import trainer_world
from finetune_trainer import process_tree
from finetune_trainer.layout import Layout

HERE = Path(__file__).parent
SUPPORT = HERE.parent / "support"
PATIENCE = 4 * 3600.0
"""Seconds that a process may take, beside other work, too."""

CLOCK = "clock.jsonl"
"""Where the clock in a trainer writes."""

DATA, OUTPUT = "pvc://data/rows.jsonl", "pvc://out/result"

Line = dict[str, Any]
"""A step, as `bench_trainer_clock` tells it."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What both sides are told."""

    model: str
    """Its folder."""
    rows: str
    """JSONL of `messages`."""
    steps: int
    batch: int = 4
    """Rows per step."""
    micro_batch: int = 4
    max_length: int = 512
    learning_rate: float = 1e-3
    rank: int = 16
    save_every: int = 0
    """Steps between checkpoints; 0: as by default."""
    held_out: float | None = 0.0
    """Share of the rows that ours keeps back; None: as by default. The script keeps none."""
    bucket: dict[str, str] | None = field(default=None)
    """Where checkpoints go: name, endpoint, access, secret."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """What it took to come to the first step: seconds, CPU seconds of all processes, and Prepare's share of both."""

    seconds: float
    cpu: float
    prepare: float = 0.0
    prepare_cpu: float = 0.0


@contextmanager
def running(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator[Any]:
    """A process in a session of its own, its output in `log`; nothing of it is left at the end."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env=dict(environment), stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(60)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def finished(command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
    """Run to the end. Raises SystemExit with the end of the log where that was not a good one."""
    with running(command, environment, log) as process:
        if process.wait(PATIENCE):
            raise SystemExit(
                f"bench: {command[2]} ended with {process.returncode}\n{log.read_text()[-3000:]}"
            )


def first_line(marker: str, process: Any, log: Path) -> float:
    """The time at which a line with `marker` is in `log`."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        if marker in log.read_text(errors="replace"):
            return time.monotonic()
        time.sleep(0.02)
    raise SystemExit(f"bench: no {marker!r} was printed\n{log.read_text()[-3000:]}")


def cpu_of(pid: int) -> float:
    """CPU seconds so far of the process `pid`, of those below it, and of those that they have seen the end of."""
    ticks = 0
    for one in (pid, *process_tree.descendants(pid)):
        with suppress(OSError):
            stat = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(
                int(field) for field in stat[11:15]
            )  # utime, stime, and the same of its ended children
    return ticks / os.sysconf("SC_CLK_TCK")


def _cpu_of_ended() -> float:
    """CPU seconds of all processes that this one has seen the end of."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def environment(folder: Path) -> dict[str, str]:
    """One thread, no network but loopback, folders of its own."""
    named = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith(("_proxy", "pythonpath"))
    }
    return named | {
        "PYTHONPATH": f"{SUPPORT}:{HERE}", "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE",
        "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HOME": str(folder / "hf"), "CUDA_VISIBLE_DEVICES": "",
    }  # fmt: skip


class Plain:
    """The script, below `accelerate launch`."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self._folder = folder
        self._settings = settings
        folder.mkdir()

    def command(self, *, clock: bool) -> list[str]:
        """What people type."""
        said = self._folder / "settings.json"
        said.write_text(
            json.dumps(
                {
                    **asdict(self._settings),
                    "clock": clock,
                    "output": str(self._folder / "work" / "out"),
                    "cache": str(self._folder / "cache"),
                }
            )
        )
        launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1"]
        return [*launch, "--mixed_precision", "no", str(HERE / "bench_trainer_plain.py"), str(said)]

    def trained(self) -> list[Line]:
        """Train to the end; the steps."""
        finished(self.command(clock=True), environment(self._folder), self._folder / "log")
        return lines(self._folder / "work")

    def first_step(self) -> Start:
        """What it takes from nothing to the first step."""
        log, began = self._folder / "log", time.monotonic()
        with running(self.command(clock=False), environment(self._folder), log) as process:
            seconds = first_line("'loss'", process, log) - began
            return Start(seconds=seconds, cpu=cpu_of(process.pid))


class Ours:
    """Prepare and Train, each a process as in its pod."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self._folder = folder
        self.layout = Layout.under(folder)
        self.layout.make_folders()
        for claim in ("models", "data", "out"):
            (self.layout.claims / claim).mkdir(parents=True)
        (self.layout.claims / "models" / "tiny").symlink_to(settings.model)
        (self.layout.claims / "data" / "rows.jsonl").symlink_to(settings.rows)
        self.layout.run.parent.mkdir(parents=True, exist_ok=True)
        self.layout.run.write_text(json.dumps(self._document(settings)))

    def _document(self, said: Settings) -> dict[str, Any]:
        """run.json."""
        output: dict[str, Any] = {"uri": OUTPUT}
        if said.bucket:
            output = {
                "uri": f"s3://{said.bucket['name']}/ours-{time.time_ns():x}",  # a published one is not trained again
                "credentialsSecretRef": {"name": "bucket"},
            }
            for name, value in (
                ("AWS_ACCESS_KEY_ID", said.bucket["access"]),
                ("AWS_SECRET_ACCESS_KEY", said.bucket["secret"]),
                ("AWS_ENDPOINT_URL", said.bucket["endpoint"]),
            ):
                key = self.layout.credentials / "bucket" / name
                key.parent.mkdir(parents=True, exist_ok=True)
                key.write_text(value)
        dataset: dict[str, Any] = {"train": [{"uri": DATA}]}
        if said.held_out is not None:
            dataset["evalFraction"] = said.held_out
        return trainer_world.document(
            dataset=dataset,
            output=output,
            tuning={"type": "LoRA", "lora": {"rank": said.rank}},
            training={
                "maxSteps": said.steps, "learningRate": said.learning_rate, "warmupRatio": 0, "maxLength": said.max_length,
                "globalBatchSize": said.batch, "microBatchSize": said.micro_batch,
            },
            checkpoint={"everySteps": said.save_every} if said.save_every else {},
        )  # fmt: skip

    def command(self, program: str, *arguments: str) -> list[str]:
        """What a pod's container starts."""
        return [
            *(sys.executable, "-m", program, *arguments, "--run", str(self.layout.run), "--attempt", "1"),
            *("--layout-root", str(self._folder), "--port", "0"),
        ]

    def prepared(self) -> str:
        """Run Prepare; the digest."""
        command = self.command("finetune_trainer", "prepare")
        finished(command, environment(self._folder), self._folder / "prepare.log")
        said = json.loads(self.layout.termination_log.read_bytes())
        return str(said["result"]["dataset"]["digest"])

    def trained(self) -> list[Line]:
        """Train to the end; the steps."""
        command = self.command("bench_trainer_ours", "train", "--prepared", self.prepared())
        finished(command, environment(self._folder), self._folder / "train.log")
        return lines(self.layout.scratch / "ranks")

    def first_step(self) -> Start:
        """What it takes from nothing to the first step."""
        log, began, idle = self._folder / "train.log", time.monotonic(), _cpu_of_ended()
        digest = self.prepared()
        prepare, cpu = time.monotonic() - began, _cpu_of_ended() - idle
        command = self.command("finetune_trainer", "train", "--prepared", digest)
        with running(command, environment(self._folder), log) as process:
            seconds = first_line("step 1/", process, log) - began
            return Start(seconds=seconds, cpu=cpu + cpu_of(process.pid), prepare=prepare, prepare_cpu=cpu)


def lines(folder: Path) -> list[Line]:
    """What the clock wrote."""
    text = (folder / CLOCK).read_text()
    return [json.loads(line) for line in text.splitlines()]


def removed(folder: Path) -> None:
    """A round's files."""
    shutil.rmtree(folder, ignore_errors=True)
