"""Stands in for the rank program: behaves as the job is named, without torch.

python -m trainer_fake_rank --task FILE
"""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

from finetune_trainer import config, report, task, verdict
from finetune_trainer.task import Task

RANK = int(os.environ.get("RANK", "0"))
SAVING = 0.5
"""Seconds that a checkpoint takes."""


def main() -> None:
    given = task.load(Path(sys.argv[sys.argv.index("--task") + 1]))
    given.work.joinpath(f"pid-{RANK}").write_text(str(os.getpid()))
    behaviour = config.load(given.run).job.name
    BEHAVIOURS[behaviour](
        given, report.ProgressWriter(given.progress, attempt=given.attempt, least_seconds=0)
    )


def end(given: Task, code: int, reason: str) -> None:
    verdict.write(
        given.verdicts,
        verdict.Verdict(rank=RANK, exit_code=code, reason=reason, message=f"rank {RANK} {reason}"),
    )
    sys.exit(code)


def train(given: Task, writer: report.ProgressWriter) -> None:
    """Train until SIGTERM, then save for a while."""

    def save(*_: object) -> None:
        time.sleep(SAVING)
        if RANK == 0:
            checkpoint(given, 7)
        end(given, 75, "Interrupted")

    signal.signal(signal.SIGTERM, save)
    for step in range(10_000):
        writer.tell(stage="Train", step=step, message=f"step {step}")
        time.sleep(0.05)


def checkpoint(given: Task, step: int) -> None:
    making = given.work / f"checkpoint-{step}"
    making.mkdir()
    (making / "trainer_state.json").write_text(json.dumps({"step": step}))
    given.finished.mkdir(exist_ok=True)
    making.rename(given.finished / f"step-{step}")


def hang(given: Task, writer: report.ProgressWriter) -> None:
    """Move once, then never again, deaf to SIGTERM; with a child that is no better."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    checkpoint(given, 3)
    writer.tell(stage="Train", step=3)
    if os.fork() == 0:
        given.work.joinpath("pid-child").write_text(str(os.getpid()))
    time.sleep(600)


def killed(given: Task, writer: report.ProgressWriter) -> None:
    """As the kernel does when memory is short."""
    writer.tell(stage="Train", step=3)
    os.kill(os.getpid(), signal.SIGKILL)


def linger(given: Task, writer: report.ProgressWriter) -> None:
    """Say that it failed, and then not go."""
    threading.Thread(target=time.sleep, args=(600,)).start()
    end(given, 86, "OutOfMemory")


def refused(given: Task, writer: report.ProgressWriter) -> None:
    end(given, 64, "NonFiniteLoss")


def gated(given: Task, writer: report.ProgressWriter) -> None:
    """Trained and compared, and the gate does not hold."""
    given.artefact.mkdir()
    (given.artefact / "adapter_model.safetensors").write_bytes(b"weights")
    compared = task.Evaluated(rows=6, base=task.Measured(loss=2.0), tuned=task.Measured(loss=2.5))
    trained = task.Trained(step=6, total_steps=6, epoch=1.0, evaluation=compared)
    given.trained.write_text(json.dumps(trained.wire()))
    end(given, 65, "GateNotMet")


def done(given: Task, writer: report.ProgressWriter) -> None:
    """Trained to the end, compared, and ready to be published."""
    log = [{"loss": 3.0 - step / 10, "grad_norm": None, "step": step} for step in range(1, 7)]
    writer.tell(stage="Train", step=6)
    for path in (given.figures, given.artefact / "metrics.jsonl"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(json.dumps(entry) + "\n" for entry in log))
    (given.artefact / "adapter_model.safetensors").write_bytes(b"weights")
    compared = task.Evaluated(rows=6, base=task.Measured(loss=3.0), tuned=task.Measured(loss=2.5))
    trained = task.Trained(step=6, total_steps=6, epoch=1.0, evaluation=compared)
    given.trained.write_text(json.dumps(trained.wire()))
    end(given, 0, "Trained")


def split(given: Task, writer: report.ProgressWriter) -> None:
    """Rank 1 fails; rank 0 is told to stop by the launcher."""
    if RANK == 1:
        time.sleep(1)
        end(given, 64, "NonFiniteLoss")
    train(given, writer)


def orphan(given: Task, writer: report.ProgressWriter) -> None:
    """The launcher dies under a rank that goes on, and is done a moment later."""
    if os.fork() == 0:
        time.sleep(1)
        end(given, 64, "NonFiniteLoss")
    os._exit(1)


def hungry(given: Task, writer: report.ProgressWriter) -> None:
    """More than one row does not fit; a step is made and saved before that is seen."""
    writer.tell(stage="Train", step=4)
    rows = given.micro_batch_size or RESOLVED_ROWS
    with given.dataset.parent.joinpath("starts").open("a") as told:
        told.write(f"{rows} {bool(given.resume)}\n")
    if rows > 1:
        checkpoint(given, 4)
        end(given, 86, "OutOfMemory")
    train(given, writer)


def starved(given: Task, writer: report.ProgressWriter) -> None:
    """Not even one row fits."""
    writer.tell(stage="Train", step=0)
    end(given, 86, "OutOfMemory")


def overloaded(given: Task, writer: report.ProgressWriter) -> None:
    """The weights alone do not fit."""
    writer.tell(stage="Load")
    with given.dataset.parent.joinpath("starts").open("a") as told:
        told.write("again\n")
    end(given, 86, "OutOfMemory")


RESOLVED_ROWS = 2
"""What trainer_runs' prepared data says."""

NAMES = (
    "train", "hang", "killed", "linger", "refused", "gated", "done", "split", "orphan", "hungry", "starved", "overloaded",
)  # fmt: skip
BEHAVIOURS = {name: globals()[name] for name in NAMES}

if __name__ == "__main__":
    main()
