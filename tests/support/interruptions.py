"""Runs that are killed at a named moment and go on in the next pod, held against the same run that nobody disturbed."""

import atexit
import functools
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

import forked_pods
import golden_losses
import trainer_adapters
import trainer_runs
from finetune_trainer.layout import Layout
from forked_pods import Ended

LORA: dict[str, Any] = {"type": "LoRA", "lora": {"rank": 4}}
DROPOUT: dict[str, Any] = {"type": "LoRA", "lora": {"rank": 4, "dropout": 0.1}}
QLORA: dict[str, Any] = {"type": "QLoRA", "lora": {"rank": 4}}


@dataclass(frozen=True)
class Case:
    """A run of six steps: a checkpoint every two, held-out loss every three."""

    name: str
    method: str = "SFT"
    tuning: Mapping[str, Any] = field(default_factory=lambda: LORA)
    training: Mapping[str, Any] = field(default_factory=dict)
    processes: int = 1
    rows: Mapping[str, Any] = field(default_factory=dict)
    """What else `trainer_runs.prepare_by_hand` is told of the rows."""
    started: bool = False
    """Whether training goes on from an adapter."""


CASES = {
    case.name: case
    for case in (
        Case("SFT LoRA"),
        Case("SFT LoRA, dropout", tuning=DROPOUT),
        Case("SFT LoRA, four passes a step", training={"microBatchSize": 1}),
        Case("SFT QLoRA", tuning=QLORA),
        Case("DPO LoRA", "DPO"),
        Case("SFT LoRA, dropout, two processes", tuning=DROPOUT, training={"microBatchSize": 1}, processes=2),
        Case("SFT LoRA, two processes", processes=2),
        Case("KTO LoRA", "KTO"),
        Case("ORPO LoRA", "ORPO"),
        Case("SFT Full", tuning={"type": "Full"}),
        Case(
            "SFT LoRA, packing",
            training={"packing": True},
            rows={"max_length": golden_losses.SHORT, "packed": True},
        ),
        Case(
            "SFT LoRA, dropout, groupByLength",
            tuning=DROPOUT,
            training={"groupByLength": True},
            rows={"rows": 12},
        ),
        Case("SFT LoRA from an adapter", tuning={"type": "LoRA"}, started=True),
        Case("DPO LoRA from an adapter", "DPO", tuning={"type": "LoRA"}, started=True),
    )
}


@dataclass(frozen=True)
class Resumed:
    """What became of a run that was killed."""

    first: Ended
    """The pod that was killed."""
    last: Ended
    """The pod that published."""
    pods: int
    started_from: int | None
    """Step of the checkpoint that the last pod began with; None: from the start."""
    equal: bool
    """Weights and every logged number, to the last bit."""
    loss: float
    """Largest difference of a step's loss, relative."""
    weight: float
    """Largest difference of a weight, relative to the largest change that training made to any."""


def killed(case: Case, fault: Mapping[str, Any], *beside: Mapping[str, Any], **changes: Any) -> Resumed:
    """Run `case` with `fault` in its first pod, then as many pods as it takes; against the undisturbed run.

    `beside`: faults that may happen in that pod, too.
    """
    with tempfile.TemporaryDirectory() as root:
        layout, digest = _pod(Path(root) / "pod", case, **changes)
        pods, first, started_from = 0, None, None
        while True:
            pods += 1
            now = [{**one, "attempt": 1} for one in (fault, *beside)] if pods == 1 else []
            started_from = _newest(layout)
            last = forked_pods.ended(layout, forked_pods.start(layout, digest, attempt=pods, faults=now))
            if first is None:
                first = last
                log = (layout.scratch.parent / "log").read_text()
                assert f"failpoint: {fault['do']} " in log, log
            if last.code == 0 or pods == 3:
                break
        if last.code:
            raise AssertionError(f"{last.word}\n{(layout.scratch.parent / 'log').read_text()}")
        return Resumed(first, last, pods, started_from, *_difference(_output(layout), undisturbed(case.name)))


@functools.cache
def undisturbed(name: str) -> Path:
    """The result of the case `name`, kept for this process's life."""
    kept = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, kept, ignore_errors=True)
    layout, digest = _pod(kept / "pod", CASES[name])
    done = forked_pods.ended(layout, forked_pods.start(layout, digest, attempt=1))
    if done.code:
        raise AssertionError(f"{done.word}\n{(layout.scratch.parent / 'log').read_text()}")
    result = kept / "result"
    shutil.copytree(_output(layout), result)
    return result


def _pod(root: Path, case: Case, **changes: Any) -> tuple[Layout, str]:
    layout = trainer_runs.pod(root, method=case.method, **(trainer_runs.STARTED if case.started else {}))
    document = json.loads(layout.run.read_text())
    document["tuning"] = dict(case.tuning)
    document["training"] |= {"globalBatchSize": 4, "microBatchSize": 2, **case.training}
    document["evaluation"] = {"everySteps": 3, "samples": [], "maxNewTokens": 4}
    document["checkpoint"] = {"everySteps": 2}
    document["resources"]["processesPerNode"] = case.processes
    document["limits"] = {"stallTimeoutSeconds": 300, "gracePeriodSeconds": 60, **changes}
    layout.run.write_text(json.dumps(document))
    rows = {**case.rows, **({"start": trainer_adapters.make(root / "start")} if case.started else {})}
    ready = forked_pods.prepared(layout, case.method, micro=document["training"]["microBatchSize"], **rows)
    return layout, ready.digest


def _output(layout: Layout) -> Path:
    return layout.claims / "output/tiny"


def _newest(layout: Layout) -> int | None:
    """The newest checkpoint that is whole."""
    manifests = _output(layout).glob(".finetune/*/checkpoints/*/checkpoint.json")
    return max((json.loads(path.read_bytes())["step"] for path in manifests), default=None)


def _difference(found: Path, expected: Path) -> tuple[bool, float, float]:
    """Whether two results are equal, and how far losses and weights are apart."""
    mine, theirs = _weights(found), _weights(expected)
    logs = [_history(folder) for folder in (found, expected)]
    equal = logs[0] == logs[1] and all(torch.equal(mine[name], theirs[name]) for name in theirs)
    losses = [[log[step]["loss"] for step in sorted(log)] for log in logs]
    loss = max(abs(one - other) / abs(other) for one, other in zip(*losses, strict=True))
    scale = max(float(value.abs().max()) for value in theirs.values())
    weight = max(float((mine[name] - theirs[name]).abs().max()) for name in theirs) / scale
    return equal, loss, weight


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    (file,) = folder.glob("*.safetensors")
    return load_file(file)


def _history(folder: Path) -> dict[int, dict[str, Any]]:
    """Step -> every number that was measured at it. A measurement that the next pod makes up for is logged after the step."""
    found: dict[int, dict[str, Any]] = {}
    for entry in json.loads((folder / "metrics.json").read_text())["history"]:
        measured = {name: entry[name] for name in LOGGED if name in entry}
        if measured:  # the summary at the end tells of times alone
            found.setdefault(entry["step"], {}).update(measured)
    return found


LOGGED = ("loss", "eval_loss", "grad_norm", "learning_rate", "mean_token_accuracy", "rewards/margins")
