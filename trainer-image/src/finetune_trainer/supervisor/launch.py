"""How the ranks are started: command and environment. Nothing here starts anything."""

import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from finetune_trainer import config, errors, failpoints
from finetune_trainer.layout import Layout

RANK_PROGRAM = "finetune_trainer.rank"
MAIN_PORT = 29500
"""Where the ranks of several nodes meet, at node 0; torch's own default."""

REACHING = 60.0
"""Seconds in which node 0's launcher must be there, once all were told to start theirs."""

CONNECTING, LOOK = 5.0, 0.5
"""Seconds of one try, and between two."""

PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV")
"""What a program needs to run at all."""

KEPT_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(64 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
"""For ranks on CPU. By itself glibc gives the tensors of a step back to the kernel, and is given zeroed pages for the next: a
quarter of a tiny model's step, and more where rows are packed. With this they stay with the process, in large pages where the
kernel has them. Tensors above 64 MiB are given back all the same: a heap full of such holes would cost more than it saves.
"""

PASSED_ON_PREFIXES = ("CUDA_", "NVIDIA_", "NCCL_")
"""What the device plugin and the image say about GPUs and their network."""


def command(run: config.Run, task: Path, *, node: int, main_address: str, main_port: int) -> list[str]:
    """The command for this node's ranks. A single one needs no launcher, which would import torch for seconds, and wait.

    Several have `accelerate launch`. Everything is said: what it guesses, it guesses wrong on CPU. There
    `--num_processes 2` starts one process without a word, and two machines train apart; torchrun underneath is reached by
    `--multi_gpu` alone, on CPU too (over gloo).
    """
    resources = run.resources
    program = [RANK_PROGRAM, "--task", str(task)]
    if resources.processes == 1:
        return [sys.executable, "-m", *program]
    return [
        *(sys.executable, "-m", "accelerate.commands.launch", "--quiet", "--multi_gpu"),
        *("--num_processes", str(resources.processes)),
        *("--num_machines", str(resources.nodes)),
        *("--machine_rank", str(node)),
        *("--main_process_ip", main_address),
        *("--main_process_port", str(main_port)),
        *("--mixed_precision", "no"),  # decided in the rank program, for both worlds alike
        *("--dynamo_backend", "no"),
        *("--module", *program),
    ]


def environment(run: config.Run, layout: Layout, inherited: Mapping[str, str]) -> dict[str, str]:
    """What the ranks see: no credentials, no network to ask, folders they may write to."""
    kept = {
        name: value
        for name, value in inherited.items()
        if name in PASSED_ON or name.startswith(PASSED_ON_PREFIXES)
    }
    told = {
        "HOME": str(layout.home),
        "HF_HOME": str(layout.hub_cache),
        "TMPDIR": str(layout.temporary),
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "DISABLE_KUBEFLOW_INTEGRATION": "TRUE",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
        # A rank that saves must not be killed before the pod is (torchrun's own patience is 30 s).
        "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(run.limits.grace_period_seconds),
    }
    if run.resources.accelerator == "cpu":
        # Threads beyond what the pod may use spin: ten times slower beside another busy process.
        told["OMP_NUM_THREADS"] = str(max(1, int(run.resources.cpu) // run.resources.processes_per_node))
        told["OMP_WAIT_POLICY"] = "PASSIVE"  # measured: the same speed for an eighth less CPU time
        told["CUDA_VISIBLE_DEVICES"] = ""
        told |= KEPT_MEMORY
    return kept | told | failpoints.passed_on(inherited)


def node_of(inherited: Mapping[str, str]) -> int:
    """This pod's place in an Indexed Job."""
    return int(inherited.get("JOB_COMPLETION_INDEX") or 0)


def reach(host: str, port: int, *, clock: Callable[[], float] = time.monotonic) -> None:
    """Return when somebody listens there: a launcher that finds nobody says nothing for minutes. Raises `PeerMissing`."""
    deadline = clock() + REACHING
    while True:
        try:
            socket.create_connection((host, port), timeout=CONNECTING).close()
        except OSError as error:
            if clock() > deadline:
                raise errors.PeerMissing(
                    f"node 0's launcher could not be reached at {host}:{port} for {REACHING:.0f} s ({error}): the pods of a job "
                    "must reach each other on every port (does a NetworkPolicy forbid it?); it is tried again"
                ) from error
            time.sleep(LOOK)
        else:
            return


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def inherited() -> Mapping[str, str]:
    """The environment the pod was given."""
    return os.environ
