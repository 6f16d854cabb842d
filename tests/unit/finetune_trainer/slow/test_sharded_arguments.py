"""What is said of shards is understood: transformers' arguments and accelerate's plug-in are made of it for real."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from accelerate.utils import FullyShardedDataParallelPlugin
from torch.distributed.fsdp import MixedPrecisionPolicy
from torch.distributed.fsdp.fully_sharded_data_parallel import StateDictType
from torch.distributed.fsdp.wrap import transformer_auto_wrap_policy
from transformers import TrainingArguments

import trainer_runs
from finetune_trainer import accelerator, arguments, config, errors, shards, train
from finetune_trainer.accelerator import Machine
from finetune_trainer.prepared import Resolved

pytestmark = pytest.mark.slow

RESOLVED = Resolved(
    epochs=1.0, total_steps=6, learning_rate=0.01, global_batch_size=8, micro_batch_size=1, max_length=128, target_modules=(),
)  # fmt: skip


def run(method: str, tuning: str) -> config.Run:
    document = trainer_runs.document(
        method=method, resources={"processesPerNode": 4, "accelerator": "cuda"},
        training={"globalBatchSize": 8, "microBatchSize": 1},
    )  # fmt: skip
    return config.Run.model_validate({**document, "tuning": {"type": tuning}})


def made(method: str, tuning: str, output: Path) -> TrainingArguments:
    """As for four GPUs, made where there is none."""
    given = run(method, tuning)
    decided = accelerator.arithmetic(given, Machine(gpus=4, bf16=True))
    assert decided.activation_checkpointing
    here = replace(decided, device="cpu", tf32=None)
    return arguments.arguments(given, RESOLVED, here, output)


@pytest.mark.parametrize("method", ["SFT", "DPO", "ORPO", "KTO"])
def test_the_arguments_of_every_method_make_accelerates_plug_in(method, tmp_path):
    said = made(method, "Full", tmp_path)
    assert said.fsdp
    plugin = FullyShardedDataParallelPlugin(**said.fsdp_plugin_args)

    assert plugin.fsdp_version == 2
    assert plugin.reshard_after_forward is True
    assert plugin.auto_wrap_policy is transformer_auto_wrap_policy
    assert plugin.state_dict_type is StateDictType.FULL_STATE_DICT
    assert plugin.cpu_ram_efficient_loading is False
    assert not plugin.activation_checkpointing  # the model does it
    assert said.activation_checkpointing
    assert said.accelerator_config.gradient_accumulation_kwargs == {"sync_each_batch": True}
    assert said.gradient_accumulation_steps == 2


@pytest.mark.parametrize("tuning", ["LoRA", "QLoRA"])
def test_adapters_have_none_of_it(tuning, tmp_path):
    said = made("SFT", tuning, tmp_path)
    assert not said.fsdp
    assert said.fsdp_plugin_args is None


@pytest.mark.parametrize(("tuning", "sharded"), [("Full", False), ("LoRA", True)])
def test_what_was_not_promised_does_not_train(tuning, sharded):
    """Accelerate takes copies without a word where it cannot share out."""
    trainer = SimpleNamespace(
        args=SimpleNamespace(world_size=4, process_index=1),
        accelerator=SimpleNamespace(is_fsdp2=sharded, distributed_type="MULTI_CPU"),
    )
    with pytest.raises(
        errors.InternalError, match=f"^{tuning}, 4 processes: .* MULTI_CPU; nothing was trained"
    ):
        train.assert_promised(trainer, run("SFT", tuning), rank=1, world=4)
    trainer.accelerator.is_fsdp2 = not sharded
    train.assert_promised(trainer, run("SFT", tuning), rank=1, world=4)


def test_gradients_are_added_up_in_float32_and_the_loss_is_not_rounded():
    assert shards.policy(bf16=True) == MixedPrecisionPolicy(
        param_dtype=torch.bfloat16, reduce_dtype=torch.float32, output_dtype=None
    )
    assert shards.policy(bf16=False).param_dtype is None
