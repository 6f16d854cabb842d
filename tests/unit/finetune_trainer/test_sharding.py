"""Which runs share their weights out over their processes, and what all the others are told."""

import pytest

import trainer_runs
from finetune_trainer import checkpoint, config, sharding


def run(tuning: str, processes: int, accelerator: str = "cuda", **changes) -> config.Run:
    document = trainer_runs.document(
        resources={"processesPerNode": processes, "accelerator": accelerator}, **changes
    )
    return config.Run.model_validate({**document, "tuning": {"type": tuning}})


@pytest.mark.parametrize(
    ("tuning", "processes", "accelerator", "told"),
    [
        ("Full", 4, "cuda", "Full, 4 processes: parameters sharded (FSDP2)"),
        ("Full", 4, "cpu", "Full, 4 processes: a copy of the model on each (DDP)"),
        ("LoRA", 4, "cuda", "LoRA, 4 processes: a copy of the model on each (DDP)"),
        ("QLoRA", 2, "cuda", "QLoRA, 2 processes: a copy of the model on each (DDP)"),
        ("Full", 1, "cuda", None),
        ("LoRA", 1, "cpu", None),
    ],
)
def test_only_all_weights_on_several_gpus_are_sharded(tuning, processes, accelerator, told):
    given = run(tuning, processes, accelerator)
    sharded = told is not None and "FSDP2" in told

    assert sharding.sharded(given) is sharded
    assert sharding.told(given) == told
    assert bool(sharding.arguments(given)) is sharded


def test_processes_of_all_nodes_count():
    given = run("Full", 1)
    nodes = given.resources.model_copy(update={"nodes": 2})
    assert sharding.sharded(given.model_copy(update={"resources": nodes}))


def test_what_is_handed_out_is_nobody_elses_to_change():
    """transformers writes into the dictionaries it is given."""
    one, other = (sharding.arguments(run("Full", 2)) for _ in range(2))
    assert one == other
    one["fsdp_config"]["version"] = 1
    assert sharding.arguments(run("Full", 2)) == other


def test_a_checkpoint_of_shards_is_not_gone_on_from_with_copies():
    def of(tuning: str, processes: int) -> str:
        return checkpoint.fingerprint(run(tuning, processes), data="sha256:d", revision="r")

    assert of("Full", 2) == of("Full", 8)
    assert of("Full", 2) != of("Full", 1)
    assert of("LoRA", 2) == of("LoRA", 1)
