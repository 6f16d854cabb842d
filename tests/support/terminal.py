"""`kubectl finetune` as a test types it: against a fake cluster, with nobody at the terminal."""

import asyncio
import contextlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import click.testing
import yaml

import kube_objects
import trainer_runs
import trainer_tiny_model
from kubectl_finetune import command
from kubectl_finetune.job import manifest

ROOT = Path(__file__).resolve().parents[2]
RUNNING = {
    "observedGeneration": 1,
    "state": "Running",
    "startTime": "2026-11-22T10:00:00Z",
    "conditions": [
        {"type": kind, "status": truth, "reason": reason, "message": message, "lastTransitionTime": "2026-11-22T10:01:00Z"}
        for kind, truth, reason, message in (
            ("Accepted", "True", "Accepted", "the run is resolved"),
            ("Prepared", "True", "Prepared", "12000 rows of messages, 3 left out"),
            ("Running", "True", "Running", "the training pod runs"),
            ("Published", "False", "NotPublished", "nothing is published yet"),
            ("Succeeded", "Unknown", "Running", "step 120 of 500"),
            ("Reconciling", "True", "Running", "step 120 of 500"),
        )
    ],
    "dataset": {"format": "messages", "rows": 11400, "evalRows": 600, "dropped": {"ExactDuplicate": 3}, "truncated": 12,
                "advice": ["11400 rows are plenty for LoRA; two epochs may do"]},
    "estimate": {"gpuMemoryBytes": 17900000000, "durationSeconds": 5400, "cost": 3.75, "currency": "USD"},
    "progress": {"stage": "Train", "step": 120, "totalSteps": 500, "percent": 24, "loss": 2.31, "evalLoss": 2.44,
                 "tokensPerSecond": 5120.0, "etaSeconds": 250, "text": "120/500", "eta": "4m10s"},
}  # fmt: skip
"""The status of a job in training."""

PUBLISHED = {
    **RUNNING,
    "state": "Succeeded",
    "completionTime": "2026-11-22T11:30:00Z",
    "conditions": [
        *RUNNING["conditions"][:2],
        {**RUNNING["conditions"][3], "status": "True", "reason": "Published"},
        {**RUNNING["conditions"][4], "status": "True", "reason": "Published", "message": "the adapter is published"},
    ],
    "progress": {**RUNNING["progress"], "step": 500, "percent": 100, "etaSeconds": 0, "text": "500/500", "eta": "0s"},
    "evaluation": {"rows": 600, "base": {"loss": 3.1, "perplexity": 22.2}, "tuned": {"loss": 1.9, "perplexity": 6.7}},
    "adapter": {"uri": "s3://team-a/adapters/support-bot", "digest": "sha256:" + "cd" * 32, "type": "LoRA", "rank": 16,
                "sizeBytes": 19000000},
    "usage": {"seconds": 5300, "gpuSeconds": 5300, "cost": 3.68, "currency": "USD"},
}  # fmt: skip

FAILED = {
    **RUNNING,
    "state": "Failed",
    "conditions": [
        *RUNNING["conditions"][:2],
        {**RUNNING["conditions"][4], "status": "False", "reason": "NonFiniteLoss",
         "message": "the loss became nan at step 12; lower spec.training.learningRate"},
    ],
}  # fmt: skip


@dataclass
class Terminal:
    """A shell with a kubeconfig."""

    folder: Path
    kubeconfig: Path

    @classmethod
    def at(cls, folder: Path, server: str, *, namespace: str = "team-a") -> "Terminal":
        """Whose kubeconfig leads to `server`."""
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "test",
                    "clusters": [{"name": "test", "cluster": {"server": server}}],
                    "users": [{"name": "me", "user": {"token": "mine"}}],
                    "contexts": [
                        {"name": "test", "context": {"cluster": "test", "user": "me", "namespace": namespace}}
                    ],
                }
            )
        )
        return cls(folder, kubeconfig)

    def type(self, *words: str, stdin: str | None = None) -> click.testing.Result:
        """Run it to its end."""
        runner = click.testing.CliRunner(env={"KUBECONFIG": str(self.kubeconfig)})
        given = ["--kubeconfig", str(self.kubeconfig)] if takes_kubeconfig(words) else []
        typed = sys.argv
        sys.argv = ["kubectl-finetune", *words]
        try:
            with contextlib.chdir(self.folder):
                return runner.invoke(
                    command.program, [*words, *given], input=stdin, prog_name="kubectl finetune"
                )
        finally:
            sys.argv = typed

    async def run(self, *words: str, stdin: str | None = None) -> click.testing.Result:
        """The same beside a server in this process."""
        return await asyncio.to_thread(self.type, *words, stdin=stdin)


def takes_kubeconfig(words: tuple[str, ...]) -> bool:
    """Whether the command speaks to a cluster."""
    found = command.program.commands.get(words[0]) if words else None
    return (
        found is not None and any(one.name == "kubeconfig" for one in found.params) and "--help" not in words
    )


def job(server, name="support-bot", status=None, **spec):
    """A FineTuneJob in the fake cluster, as its operator would have left it."""
    return server.put(
        "finetunejobs", kube_objects.fine_tune_job(name, uid=f"uid-{name}", status=status or RUNNING, **spec)
    )


def laptop(folder):
    """A shell without a cluster; in its folder `job.yaml`, which trains the tiny model on `data.jsonl`."""
    rows = trainer_runs.conversations(40)
    (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "job.yaml").write_text(yaml.safe_dump(local_job()))
    return Terminal(folder, folder / "none")


def local_job(**training):
    """A job of seconds, on files."""
    steps = {"maxSteps": 6, "globalBatchSize": 4, "microBatchSize": 2, "maxLength": 128, "learningRate": 0.01}
    spec = {
        "model": {"uri": f"file://{trainer_tiny_model.folder()}"},
        "dataset": {"train": [{"uri": "file://data.jsonl"}], "evalFraction": 0.2},
        "tuning": {"lora": {"rank": 4}},
        "training": {**steps, **training},
        "evaluation": {"samples": ["Which number comes after 3?"], "maxNewTokens": 8},
        "output": {"uri": "file://out"},
    }
    return manifest.of("counting", spec)
