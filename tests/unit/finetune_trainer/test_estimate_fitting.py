"""What fits, what is refused and what is advised: numbers computed, never canned."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import trainer_world
from finetune_trainer import config, errors, resolve
from finetune_trainer.estimate import fitting, memory, setting, verdict
from finetune_trainer.estimate.shape import Linear, Shape
from finetune_trainer.estimate.work import Work, operations, padded, seconds

GIB = 2**30
PROJECTIONS = {
    "self_attn.q_proj": (4096, 4096), "self_attn.k_proj": (4096, 1024), "self_attn.v_proj": (4096, 1024),
    "self_attn.o_proj": (4096, 4096), "mlp.gate_proj": (4096, 14336), "mlp.up_proj": (4096, 14336),
    "mlp.down_proj": (14336, 4096),
}  # fmt: skip
NAMES = tuple(sorted(name.rpartition(".")[2] for name in PROJECTIONS))
LLAMA_8B = Shape(
    parameters=8_030_261_248,
    active=8_030_261_248 - 128_256 * 4_096,
    embedding=128_256 * 4_096,
    head=128_256 * 4_096,
    linear=tuple(
        Linear(name=f"model.layers.{layer}.{name}", inputs=inputs, outputs=outputs)
        for layer in range(32)
        for name, (inputs, outputs) in PROJECTIONS.items()
    ),
    layers=32,
    hidden=4096,
    query=4096,
    key_value=1024,
    heads=32,
    intermediate=14336,
    norms=2,
    head_norms=False,
    vocabulary=128_256,
)


def run(
    gib: int | None = 80, *, teraflops: float | None = 989.0, processes: int = 1, **changes
) -> config.Run:
    resources = {
        "nodes": 1, "processesPerNode": processes, "accelerator": "cuda", "cpu": 8.0, "memoryBytes": 64 * GIB,
        "scratchBytes": GIB, "gpuMemoryBytes": gib and gib * GIB, "gpuTeraflops": teraflops,
    }  # fmt: skip
    return trainer_world.run(**{"resources": resources, **changes})


def facts(length: int, *, rows: int = 2000) -> resolve.Facts:
    return resolve.Facts(
        lengths=[length] * rows, max_length=length, target_modules=NAMES, shape=LLAMA_8B, scored=length // 2
    )


def estimated(given: config.Run, length: int) -> verdict.Estimate:
    known = facts(length)
    made = resolve.resolve(given, known)
    work = Work(
        lengths=known.lengths, steps=made.total_steps, epochs=made.epochs, held_out_tokens=1000, answers=0
    )
    return verdict.estimate(given, LLAMA_8B, resolve.needs(given, known, made.micro_batch_size), work)


def micro(given: config.Run, length: int) -> int:
    return resolve.resolve(given, facts(length)).micro_batch_size


def needs(given: config.Run, length: int, rows: int) -> int:
    return memory.memory(LLAMA_8B, resolve.needs(given, facts(length), rows)).total


def test_a_larger_gpu_takes_more_rows_at_a_time():
    sizes = [micro(run(gib), 2048) for gib in (24, 40, 80)]

    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


@pytest.mark.parametrize("gib", [24, 32, 40, 80, 141])
@pytest.mark.parametrize("length", [128, 1024, 4096])
@pytest.mark.parametrize("method", ["SFT", "DPO", "KTO"])
def test_the_micro_batch_is_the_largest_that_fits(gib, length, method):
    given = run(gib, method=method, tuning={"type": "QLoRA"})
    chosen = micro(given, length)
    larger = [size for size in (2, 4, 8, 16, 32) if size > chosen]

    smallest = 2 if method == "KTO" else 1
    assert needs(given, length, chosen) <= fitting.ROOM * gib * GIB or chosen == smallest
    assert all(needs(given, length, size) > fitting.ROOM * gib * GIB for size in larger)


def test_an_unknown_gpu_gets_a_budget_of_tokens():
    assert micro(run(None), 1024) == 2  # 24 GiB, 128 tokens for each


def test_on_cpu_memory_only_makes_batches_smaller():
    def cpu(gib: int) -> config.Run:
        resources = {
            "nodes": 1, "processesPerNode": 1, "accelerator": "cpu", "cpu": 2.0, "memoryBytes": gib * GIB, "scratchBytes": GIB,
        }  # fmt: skip
        return trainer_world.run(resources=resources)

    assert micro(cpu(500), 512) == 8  # 4096 tokens
    assert micro(cpu(64), 512) < 8


def test_what_cannot_fit_is_refused_with_what_would():
    with pytest.raises(errors.ModelDoesNotFit) as refused:
        estimated(run(16, training={"maxLength": 4096}, tuning={"type": "Full"}), 4096)
    said = str(refused.value)

    assert said.startswith(
        "spec.training: SFT with Full of a model of 8.0 billion weights and rows of up to 4096 tokens"
    )
    assert "weights 29.9 GiB" in said
    assert "the profile's GPU has 16.0 GiB" in said
    assert "QLoRA at spec.training.maxLength 2048 (" in said
    assert re.search(r"a GPU of \d+ GiB$", said)
    for size in re.findall(r"\((\d+\.\d) GiB\)", said.partition("what would fit")[2]):
        assert float(size) <= fitting.ROOM * 16


def test_close_is_advice_and_no_refusal():
    given = run(18, training={"maxLength": 1024}, tuning={"type": "LoRA"})
    told = estimated(given, 1024)

    assert len(told.advice) == 1
    assert "training may run out of memory" in told.advice[0]
    assert "QLoRA" in told.advice[0]
    assert estimated(run(80), 1024).advice == ()


def test_a_micro_batch_that_is_said_is_kept_and_a_smaller_one_advised():
    given = run(40, training={"microBatchSize": 16, "globalBatchSize": 16, "maxLength": 4096})
    told = estimated(given, 4096)

    assert micro(given, 4096) == 16
    smaller = int(re.search(r"microBatchSize (\d+)", told.advice[0])[1])
    assert needs(given, 4096, smaller) <= fitting.ROOM * 40 * GIB < needs(given, 4096, smaller + 1)


def test_a_pod_on_cpu_has_a_limit_too():
    resources = {
        "nodes": 1, "processesPerNode": 2, "accelerator": "cpu", "cpu": 2.0, "memoryBytes": 16 * GIB, "scratchBytes": GIB,
    }  # fmt: skip
    with pytest.raises(
        errors.ModelDoesNotFit, match=r"resources.memory is 16.0 GiB for 2 processes"
    ) as refused:
        estimated(trainer_world.run(resources=resources), 1024)
    wanted = int(re.search(r"resources.memory (\d+)Gi$", str(refused.value))[1])
    enough = trainer_world.run(resources={**resources, "memoryBytes": wanted * GIB})

    assert estimated(enough, 1024).advice == ()


@pytest.mark.parametrize("tuning", ["LoRA", "QLoRA", "Full"])
@pytest.mark.parametrize("method", ["SFT", "DPO", "ORPO", "KTO"])
@pytest.mark.parametrize("gib", [8, 24, 48])
def test_every_alternative_really_fits(tuning, method, gib):
    given = run(gib, method=method, tuning={"type": tuning})
    asked = resolve.needs(given, facts(2048), 2)
    for label, other in fitting._changes(LLAMA_8B, asked, gib * GIB):
        total = memory.memory(LLAMA_8B, other).total
        told = fitting.alternatives(LLAMA_8B, asked, gib * GIB)
        if any(one.startswith(f"{label} (") for one in told):
            assert total <= fitting.ROOM * gib * GIB


def test_tokens_of_padding():
    # Two rows at a time of 10 and 30: three of four pairs are as long as 30.
    assert padded([10, 30], 2) == pytest.approx(2 * (0.25 * 10 + 0.75 * 30))
    assert padded([10, 30], 1) == 40
    assert padded([10, 30], 2, tight=True) == 40


@given(st.lists(st.integers(1, 4096), min_size=1, max_size=50), st.integers(1, 16))
def test_padding_lies_between_the_rows_and_the_longest(lengths, rows):
    found = padded(lengths, rows)

    assert sum(lengths) - 1e-6 <= found <= max(lengths) * len(lengths) + 1e-6


def test_arithmetic_of_llama_3_1_8b_is_that_of_the_published_table():
    # peers' table: 32.17 GFLOP a token for LoRA at 4096, as NeMo counts; a third more where activations are computed twice.
    plain = resolve.needs(run(training={"activationCheckpointing": "Off"}), facts(4096), 1)

    assert operations(LLAMA_8B, plain) == pytest.approx(32.17e9, rel=0.002)
    twice = resolve.needs(run(), facts(4096), 1)
    assert operations(LLAMA_8B, twice) == pytest.approx(1.5 * 32.17e9, rel=0.002)


@pytest.mark.parametrize(("method", "passes"), [("SFT", 2), ("DPO", 3), ("ORPO", 2), ("KTO", 5)])
def test_references_cost_forward_passes(method, passes):
    plain = run(method=method, training={"activationCheckpointing": "Off"})

    found = operations(LLAMA_8B, resolve.needs(plain, facts(4096), 2))
    assert found == pytest.approx(passes * 32.17e9 / 2, rel=0.002)


def test_seconds_by_hand():
    given = run(
        training={"activationCheckpointing": "Off", "epochs": 1, "globalBatchSize": 8, "microBatchSize": 1}
    )
    known = facts(4096, rows=8)
    work = Work(lengths=known.lengths, steps=1, epochs=1.0, held_out_tokens=0, answers=0)

    told = seconds(given, LLAMA_8B, resolve.needs(given, known, 1), work)
    training = 8 * 4096 * 32.17e9 / (0.35 * 989e12)
    assert told == pytest.approx(60 + 16.06 + training, abs=1.5)


def test_nobody_knows_the_seconds_of_an_unknown_gpu():
    assert estimated(run(80, teraflops=None), 1024).seconds is None
    assert "durationSeconds" not in estimated(run(80, teraflops=None), 1024).estimated.wire()


def test_twice_the_gpus_take_half_the_time():
    one = estimated(run(80, training={"epochs": 5}), 2048).seconds
    two = estimated(run(80, processes=2, training={"epochs": 5}), 2048).seconds

    assert two < 0.6 * one


def test_the_wire_tells_where_the_memory_is():
    wire = estimated(run(80), 1024).estimated.wire()

    assert set(wire) == {"gpuMemoryBytes", "parts", "durationSeconds"}
    assert sum(wire["parts"].values()) == wire["gpuMemoryBytes"]
    assert setting.SEQUENCES["DPO"] == 2


def held(tuning: str, processes: int, *, method: str = "SFT") -> memory.Memory:
    given = run(80, processes=processes, method=method, tuning={"type": tuning})
    return memory.memory(LLAMA_8B, resolve.needs(given, facts(2048), 1))


def test_each_process_needs_its_share_of_what_is_learned_and_what_is_gathered():
    """Llama-3.1-8B, 16 bytes a weight on one GPU."""
    weights, ends = 8_030_261_248, 128_256 * 4_096
    layer = (weights - 2 * ends) // 32
    found = held("Full", 8)

    assert found.weights == 4 * weights // 8 + 2 * (2 * ends + 2 * layer)
    assert found.gradients == 4 * weights // 8 + (2 + 4) * ends
    assert found.optimizer == 8 * weights // 8
    assert found.activations == held("Full", 1).activations
    assert found.total < held("Full", 4).total < held("Full", 1).total


def test_a_reference_is_shared_out_and_gathered_as_a_whole():
    weights = 8_030_261_248
    assert held("Full", 8, method="DPO").weights == 8 * weights // 8 + 2 * weights


def test_adapters_are_held_by_every_process():
    assert held("LoRA", 8).weights == held("LoRA", 1).weights
    assert held("LoRA", 8).optimizer == held("LoRA", 1).optimizer
