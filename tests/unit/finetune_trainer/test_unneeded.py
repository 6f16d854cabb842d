"""What a run does without is not imported: seconds of every start. Structure is tested here, seconds by `make bench-trainer`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import trainer_runs
from finetune_trainer import unneeded

SUPPORT = Path(trainer_runs.__file__).parent


@pytest.mark.parametrize(
    ("changes", "left_out"),
    [
        ({}, {"bitsandbytes", "cuda", "triton"}),
        ({"tuning": {"type": "QLoRA"}}, {"cuda", "triton"}),
        ({"training": {"optimizer": "adamw_8bit"}}, {"cuda", "triton"}),
        ({"training": {"optimizer": "paged_adamw_32bit"}}, {"cuda", "triton"}),
        ({"training": {"optimizer": "adafactor"}}, {"bitsandbytes", "cuda", "triton"}),
        ({"resources": {"accelerator": "cuda"}}, {"bitsandbytes"}),
        ({"tuning": {"type": "QLoRA"}, "resources": {"accelerator": "cuda"}}, set()),
    ],
)
def test_only_what_nothing_calls_is_left_out(changes, left_out):
    assert unneeded.of(trainer_runs.run(**changes)) == left_out | {"mlflow", "tensorboardX", "wandb"}


@pytest.mark.parametrize(
    ("changes", "torch"),
    [
        ({}, False),
        ({"training": {"extra": {"adam_beta1": 0.8}}}, True),
        ({"model": {"uri": "pvc://models/tiny", "adapterFrom": {"uri": "pvc://models/adapter"}}}, True),
        (
            {"evaluation": {"metrics": ["bertscore"], "bertScore": {"model": {"uri": "pvc://models/bert"}}}},
            True,
        ),
    ],
)
def test_prepare_has_torch_where_a_library_made_of_it_is_asked(changes, torch):
    left_out = unneeded.in_prepare(trainer_runs.run(**changes))
    assert left_out == unneeded.WITHOUT_WEIGHTS | (set() if torch else {"torch"})


def imported(program: str, *names: str) -> list[str]:
    """Which of `names` a process has imported that ran `program`."""
    told = (
        f"import json, sys\n{program}\nprint(json.dumps([name for name in {names} if sys.modules.get(name)]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(SUPPORT)}
    done = subprocess.run(
        [sys.executable, "-c", told], capture_output=True, text=True, check=True, env=environment
    )
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.slow
def test_a_lora_rank_imports_neither_bitsandbytes_nor_the_compiler():
    program = (
        "import trainer_runs\n"
        "from finetune_trainer import unneeded\n"
        "unneeded.leave_out(unneeded.of(trainer_runs.run()))\n"
        "from finetune_trainer import fine_tuning, arguments\n"
        "[arguments.imported(table['SFT']) for table in (arguments.CONFIGS, arguments.TRAINERS)]"
    )
    does_without = (
        "bitsandbytes",
        "triton",
        "torch._inductor.compile_fx",
        "wandb",
        "mlflow",
        "opentelemetry",
    )
    found = imported(program, *does_without, "trl.trainer.sft_trainer")
    assert found == ["trl.trainer.sft_trainer"]


@pytest.mark.slow
def test_prepare_imports_nothing_that_computes(tmp_path: Path):
    """Another process looks at the model; TRL, PEFT, datasets and what computes on GPUs are the ranks' to load."""
    layout = trainer_runs.pod(tmp_path / "pod")
    arguments = ["prepare", "--run", str(layout.run), "--attempt", "1"]
    arguments += ["--layout-root", str(tmp_path / "pod"), "--port", "0"]
    program = f"from finetune_trainer.__main__ import main\nassert main({arguments}) == 0"
    computes = ("torch", "trl", "peft", "datasets", "bitsandbytes", "triton", "cuda")
    others = ("wandb", "mlflow", "opentelemetry")
    assert imported(program, *computes, *others, "transformers") == ["transformers"]
