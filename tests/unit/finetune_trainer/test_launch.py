"""How the ranks are started: nothing left to guessing, no credentials, and a supervisor that stays small."""

import subprocess
import sys
from pathlib import Path

import pytest

import trainer_runs
from finetune_trainer.layout import Layout
from finetune_trainer.supervisor import launch, patience

LAYOUT = Layout.under(Path("/pod"))

POD = {
    "PATH": "/usr/bin",
    "HOSTNAME": "tiny-1-0",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "HF_TOKEN": "secret",
    "WANDB_API_KEY": "secret",
    "KUBERNETES_SERVICE_HOST": "10.0.0.1",
    "KUBEFLOW_TRAINER_SERVER_URL": "http://elsewhere",
    "NVIDIA_VISIBLE_DEVICES": "all",
    "CUDA_VISIBLE_DEVICES": "0,1",
    "JOB_COMPLETION_INDEX": "0",
    "ACCELERATE_USE_FSDP": "true",
}


def command(**resources) -> list[str]:
    run = trainer_runs.run(resources=resources)
    return launch.command(run, Path("/pod/task.json"), node=0, main_address="127.0.0.1", main_port=1234)[1:]


@pytest.mark.parametrize("accelerator", ["cpu", "cuda"])
def test_one_process_is_started_without_a_launcher(accelerator: str):
    assert command(accelerator=accelerator) == ["-m", "finetune_trainer.rank", "--task", "/pod/task.json"]


@pytest.mark.parametrize("accelerator", ["cpu", "cuda"])
def test_several_processes_go_through_torchrun_on_cpu_too(accelerator: str):
    """`--cpu --num_processes 2` would start one process, without a word."""
    assert command(accelerator=accelerator, processesPerNode=2) == [
        *("-m", "accelerate.commands.launch", "--quiet", "--multi_gpu"),
        *("--num_processes", "2", "--num_machines", "1", "--machine_rank", "0"),
        *("--main_process_ip", "127.0.0.1", "--main_process_port", "1234"),
        *("--mixed_precision", "no", "--dynamo_backend", "no"),
        *("--module", "finetune_trainer.rank", "--task", "/pod/task.json"),
    ]


def test_the_ranks_get_no_credentials_and_nothing_they_could_be_led_astray_by():
    found = launch.environment(trainer_runs.run(), LAYOUT, POD)
    assert "secret" not in found.values()
    assert (
        not {"KUBEFLOW_TRAINER_SERVER_URL", "KUBERNETES_SERVICE_HOST", "ACCELERATE_USE_FSDP"} & found.keys()
    )
    assert found == {
        "PATH": "/usr/bin",
        "NVIDIA_VISIBLE_DEVICES": "all",
        "HOME": "/pod/scratch/home",
        "HF_HOME": "/pod/scratch/hf",
        "TMPDIR": "/pod/scratch/tmp",
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "DISABLE_KUBEFLOW_INTEGRATION": "TRUE",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
        "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": "30",
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "CUDA_VISIBLE_DEVICES": "",
        "MALLOC_MMAP_THRESHOLD_": "67108864",
        "MALLOC_TRIM_THRESHOLD_": "268435456",
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    }


@pytest.mark.parametrize(
    ("cpu", "processes", "threads"), [(0.5, 1, "1"), (2.0, 1, "2"), (4.0, 2, "2"), (1.0, 2, "1")]
)
def test_threads_are_what_the_pod_may_use(cpu: float, processes: int, threads: str):
    run = trainer_runs.run(resources={"cpu": cpu, "processesPerNode": processes})
    assert launch.environment(run, LAYOUT, {})["OMP_NUM_THREADS"] == threads


def test_gpus_are_left_as_the_device_plugin_set_them():
    found = launch.environment(trainer_runs.run(resources={"accelerator": "cuda"}), LAYOUT, POD)
    assert found["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert not {"OMP_NUM_THREADS", *launch.KEPT_MEMORY} & found.keys()


def test_the_ranks_are_stopped_in_time_to_send_their_checkpoint():
    def stop(grace: int) -> float:
        return patience.for_ranks(trainer_runs.run(limits={"gracePeriodSeconds": grace}).limits).stop

    assert [stop(grace) for grace in (8, 40, 120, 600)] == [6, 30, 100, 580]


def test_the_supervisor_never_imports_torch():
    """PID 1 lives as long as the pod: 0.2 GB and seconds are the ranks' to spend. Nor what Prepare alone needs."""
    heavy = [
        "torch",
        "transformers",
        "tokenizers",
        "datasets",
        "peft",
        "trl",
        "accelerate",
        "pandas",
        "aiohttp",
    ]
    program = (
        "import sys, finetune_trainer.__main__, finetune_trainer.command\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
