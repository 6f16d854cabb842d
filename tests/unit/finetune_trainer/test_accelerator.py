"""One table decides how CPU and GPU compute; nothing is left to the libraries' defaults, which disagree."""

import pytest

import trainer_runs
from finetune_trainer import errors
from finetune_trainer.accelerator import Arithmetic, Machine, arithmetic

CPU = Machine()
A100 = Machine(gpus=1, bf16=True)
T4 = Machine(gpus=1, bf16=False)
H100 = Machine(gpus=1, bf16=True, flash_attention=frozenset({"flash_attention_2"}))


def decided(machine: Machine, accelerator: str, attention: str = "Auto", **training) -> Arithmetic:
    run = trainer_runs.run(
        resources={"accelerator": accelerator}, training=training, model={"attention": attention}
    )
    return arithmetic(run, machine)


@pytest.mark.parametrize(
    ("machine", "accelerator", "training", "dtype", "mixed"),
    [
        (CPU, "cpu", {}, "float32", (False, False)),  # TRL's default bf16 raises here
        (CPU, "cpu", {"precision": "fp32"}, "float32", (False, False)),
        (CPU, "cpu", {"precision": "bf16"}, "float32", (True, False)),  # autocast over float32 weights
        (A100, "cpu", {}, "float32", (False, False)),  # the job said CPU
        (A100, "cuda", {}, "bfloat16", (True, False)),
        (A100, "cuda", {"precision": "fp16"}, "float16", (False, True)),
        (A100, "cuda", {"precision": "fp32"}, "float32", (False, False)),
        (T4, "cuda", {}, "float16", (False, True)),
    ],
)
def test_precision(machine, accelerator, training, dtype, mixed):
    found = decided(machine, accelerator, **training)
    assert (found.dtype, (found.bf16, found.fp16)) == (dtype, mixed)
    assert found.use_cpu is (accelerator == "cpu")
    assert found.tf32 is (True if accelerator == "cuda" else None)  # True raises on CPU


@pytest.mark.parametrize(
    ("machine", "accelerator", "asked", "on"),
    [
        (CPU, "cpu", "Auto", False),
        (CPU, "cpu", "On", True),
        (A100, "cuda", "Auto", True),
        (A100, "cuda", "Off", False),
    ],
)
def test_activation_checkpointing(machine, accelerator, asked, on):
    assert decided(machine, accelerator, activationCheckpointing=asked).activation_checkpointing is on


@pytest.mark.parametrize(
    ("machine", "accelerator", "asked", "attention"),
    [
        (CPU, "cpu", "Auto", "sdpa"),
        (CPU, "cpu", "eager", "eager"),
        (A100, "cuda", "Auto", "sdpa"),
        (H100, "cuda", "Auto", "flash_attention_2"),
        (H100, "cuda", "sdpa", "sdpa"),
    ],
)
def test_attention(machine, accelerator, asked, attention):
    assert decided(machine, accelerator, asked).attention == attention


@pytest.mark.parametrize(("machine", "training"), [(A100, {"precision": "fp16"}), (T4, {})])
def test_weights_that_are_shared_out_do_not_learn_in_fp16(machine, training):
    def of(tuning: str, processes: int) -> Arithmetic:
        resources = {"accelerator": "cuda", "processesPerNode": processes}
        run = trainer_runs.run(resources=resources, training=training, tuning={"type": tuning})
        return arithmetic(run, machine)

    with pytest.raises(
        errors.UnsupportedHere, match=r"^spec\.training\.precision: full fine-tuning on several GPUs"
    ):
        of("Full", 2)
    assert of("Full", 1).fp16
    assert of("LoRA", 2).fp16


def test_promised_gpus_that_are_not_seen_are_never_replaced_by_the_cpu():
    with pytest.raises(errors.AcceleratorMissing, match="this pod sees none"):
        decided(CPU, "cuda")
    assert errors.exit_code_of(errors.AcceleratorMissing("x")) == 70  # another node may do better


@pytest.mark.parametrize(
    ("machine", "accelerator", "attention", "training", "field"),
    [
        (CPU, "cpu", "Auto", {"precision": "fp16"}, "training.precision"),  # silently a no-op in transformers
        (T4, "cuda", "Auto", {"precision": "bf16"}, "training.precision"),
        (CPU, "cpu", "flash_attention_2", {}, "model.attention"),
        (A100, "cuda", "flash_attention_3", {}, "model.attention"),
    ],
)
def test_what_this_machine_cannot_do_is_the_authors_to_change(
    machine, accelerator, attention, training, field
):
    with pytest.raises(errors.UnsupportedHere, match=f"^spec.{field}: "):
        decided(machine, accelerator, attention, **training)
