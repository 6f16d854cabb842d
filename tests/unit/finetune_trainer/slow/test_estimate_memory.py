"""Memory by part: numbers worked out by hand, and tensors counted as autograd saves them."""

import contextlib
import json
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    Qwen3Config,
    Qwen3MoeConfig,
)
from trl.trainer.utils import add_fused_lm_head

from finetune_trainer import inspection, row_attention
from finetune_trainer.estimate import activations, memory, shape
from finetune_trainer.estimate.setting import Setting

pytestmark = pytest.mark.slow  # layers are run to count what they keep

LLAMA_8B = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 128256, "hidden_size": 4096,
    "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
    "tie_word_embeddings": False, "max_position_embeddings": 131072,
}  # fmt: skip
PROJECTIONS = ("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj")

CPU = Setting(
    device="cpu", method="SFT", tuning="LoRA", targets=PROJECTIONS, rank=16, dora=False, dropout=False, saved=(),
    double=True, weight_bytes=4, compute_bytes=4, attention="sdpa", checkpointing=False, optimizer="adamw_torch_fused",
    processes=1, rows=1, share=64, length=128, scored=0,
)  # fmt: skip
CUDA = replace(CPU, device="cuda", weight_bytes=2, compute_bytes=2)


def shape_of(config) -> shape.Shape:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    return shape.read(model, config.get_text_config())


@pytest.fixture(scope="module")
def llama(tmp_path_factory) -> shape.Shape:
    folder = tmp_path_factory.mktemp("llama")
    (folder / "config.json").write_text(json.dumps(LLAMA_8B))
    return inspection.architecture(folder).shape


def test_the_sizes_of_llama_3_1_8b(llama):
    assert llama.parameters == 8_030_261_248  # as its model card counts
    assert llama.embedding == llama.head == 128_256 * 4_096
    # Matrices that multiply a token: everything but the embedding.
    assert llama.active == 8_030_261_248 - 128_256 * 4_096
    assert (llama.layers, llama.hidden, llama.query, llama.key_value) == (32, 4096, 4096, 1024)
    assert (llama.intermediate, llama.norms, llama.head_norms) == (14336, 2, False)


def test_the_adapter_of_llama_3_1_8b(llama):
    # 16 * (inputs + outputs): q, o 8192 each; k, v 5120; gate, up, down 18432; 32 layers.
    assert activations.adapter(llama, CUDA) == 32 * 16 * (2 * 8192 + 2 * 5120 + 3 * 18432) == 41_943_040


@pytest.mark.parametrize(("method", "adapters"), [("SFT", 1), ("DPO", 2), ("ORPO", 1), ("KTO", 2)])
def test_an_adapter_that_is_the_reference_is_held_twice(llama, method, adapters):
    new = replace(CUDA, method=method)
    one, both = (memory.memory(llama, setting).adapter for setting in (new, replace(new, started=True)))
    assert both == adapters * one


def test_parts_of_llama_3_1_8b_with_lora(llama):
    found = memory.memory(llama, replace(CUDA, length=2048, checkpointing=True))

    assert found.weights == 2 * 8_030_261_248
    assert (found.adapter, found.gradients, found.optimizer) == (167_772_160, 167_772_160, 335_544_320)
    # 32 layer inputs in bf16; the last norm in float32 and the head's input.
    assert found.activations == 2048 * (32 * 4096 * 2 + 4096 * 4 + 4096 * 2)
    assert found.total == sum(found.parts.values())


def test_parts_of_llama_3_1_8b_with_qlora(llama):
    found = memory.memory(llama, replace(CUDA, tuning="QLoRA", length=2048, checkpointing=True))

    in_layers = 32 * (4096 * 4096 * 2 + 4096 * 1024 * 2 + 3 * 4096 * 14336)
    half = int(in_layers * (0.5 + 1 / 64 + 4 / (64 * 256)))
    assert found.weights == half + 2 * (8_030_261_248 - in_layers) + 2 * 4096 * 14336


def test_parts_of_llama_3_1_8b_in_full(llama):
    found = memory.memory(llama, replace(CUDA, tuning="Full", targets=(), checkpointing=True))

    weights = 8_030_261_248
    assert (found.weights, found.gradients, found.optimizer) == (4 * weights, 4 * weights, 8 * weights)
    assert memory.memory(llama, replace(CUDA, tuning="Full", targets=(), method="DPO")).weights == 6 * weights


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        # Tied: embedding and head are the same numbers.
        (Qwen3Config(vocab_size=1000, hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4,
                     num_key_value_heads=2, head_dim=16, tie_word_embeddings=True),
         1000 * 64 + 3 * (64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 96 + 2 * 64 + 2 * 16) + 64),
        (GPT2Config(vocab_size=1000, n_embd=64, n_layer=2, n_head=4, n_positions=128), None),
        (Gemma2Config(vocab_size=1000, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
                      num_key_value_heads=2, head_dim=16), None),
    ],
)  # fmt: skip
def test_tied_weights_count_once(config, parameters):
    found = shape_of(config)
    real = AutoModelForCausalLM.from_config(config)

    assert found.parameters == sum(weight.numel() for weight in real.parameters())
    assert found.parameters == (parameters or found.parameters)
    assert found.head == 0
    assert found.layers == config.num_hidden_layers


def test_of_a_mixture_only_chosen_experts_multiply_a_token():
    config = Qwen3MoeConfig(
        vocab_size=500, hidden_size=64, intermediate_size=96, moe_intermediate_size=32, num_hidden_layers=2, num_experts=8,
        num_experts_per_tok=2, num_attention_heads=4, num_key_value_heads=2, head_dim=16, tie_word_embeddings=False,
    )  # fmt: skip
    found = shape_of(config)

    experts = 2 * 8 * 3 * 64 * 32
    assert found.parameters - found.active == 500 * 64 + experts * 6 // 8
    assert found.intermediate == 2 * 32


def saved_bytes(layers: int, setting: Setting) -> int:
    """Bytes of all tensors that autograd keeps of a real forward pass, weights aside."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=512, hidden_size=96, intermediate_size=256, num_hidden_layers=layers, num_attention_heads=6,
        num_key_value_heads=2, tie_word_embeddings=True,
    )  # fmt: skip
    dtype = torch.float32 if setting.full or setting.weight_bytes == 4 else torch.bfloat16
    model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    add_fused_lm_head(model)
    if not setting.full:
        model = get_peft_model(
            model,
            LoraConfig(
                r=setting.rank, target_modules=list(setting.targets), lora_dropout=0.1 * setting.dropout
            ),
        )
    if setting.checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
    model.train()
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept: dict[int, tuple[int, torch.Tensor]] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    ids = torch.randint(3, 500, (setting.rows, setting.length))
    mask = torch.ones_like(ids)
    if setting.rows > 1:
        mask[0, -5:] = 0
    apart = {"attention_mask": mask}
    if setting.packed:  # one sequence; each row of `ids` is a pack of two
        ids = ids.reshape(1, -1)
        row = setting.length // 2
        apart = {"position_ids": torch.arange(row).repeat(2 * setting.rows)[None]}
        if setting.by_row:
            (model if setting.full else model.get_base_model()).set_attn_implementation(row_attention.NAME)
            apart["cu_seq_lens_q"] = torch.arange(0, ids.numel() + 1, row, dtype=torch.int32)
    narrow = torch.autocast("cpu", dtype=torch.bfloat16) if setting.autocast else contextlib.nullcontext()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), narrow:
        model(input_ids=ids, labels=ids, fused_lm_head=True, use_cache=False, **apart)
    return sum(size for size, _ in kept.values())


def predicted_bytes(layers: int, setting: Setting) -> int:
    config = LlamaConfig(
        vocab_size=512, hidden_size=96, intermediate_size=256, num_hidden_layers=layers, num_attention_heads=6,
        num_key_value_heads=2, tie_word_embeddings=True,
    )  # fmt: skip
    return activations.kept(shape_of(config), setting)


FULL = {"tuning": "Full", "targets": ()}
COUNTED = {
    "float32, one row": {},
    "float32, padded rows": {"rows": 3},
    "bf16 under autocast": {"weight_bytes": 2, "compute_bytes": 2},
    "bf16 under autocast, padded rows": {"weight_bytes": 2, "compute_bytes": 2, "rows": 3},
    "float32, one pack": {"packed": True},
    "float32, two packs in a pass": {"packed": True, "rows": 2},
    "bf16 under autocast, one pack": {"weight_bytes": 2, "compute_bytes": 2, "packed": True},
    "float32, one pack by row": {"packed": True, "by_row": True},
    "float32, two packs in a pass by row": {"packed": True, "by_row": True, "rows": 2},
    "float32, by row, q and v only": {"packed": True, "by_row": True, "targets": ("q_proj", "v_proj")},
    "bf16 under autocast, by row": {"weight_bytes": 2, "compute_bytes": 2, "packed": True, "by_row": True},
    "all weights by row": {"tuning": "Full", "targets": (), "packed": True, "by_row": True},
    "all weights under autocast by row": {
        "tuning": "Full",
        "targets": (),
        "weight_bytes": 2,
        "compute_bytes": 2,
        "packed": True,
        "by_row": True,
    },
    "float32, attention only": {"targets": ("k_proj", "o_proj", "q_proj", "v_proj")},
    "bf16, attention only": {"targets": ("q_proj", "v_proj"), "weight_bytes": 2, "compute_bytes": 2},
    "float32, dropout": {"dropout": True},
    "bf16, dropout": {"dropout": True, "weight_bytes": 2, "compute_bytes": 2},
    "all weights, float32": FULL,
    "all weights under autocast": {**FULL, "weight_bytes": 2, "compute_bytes": 2},
    "checkpointed": {"checkpointing": True},
    "checkpointed, bf16": {"checkpointing": True, "weight_bytes": 2, "compute_bytes": 2},
}


@pytest.mark.parametrize("changes", COUNTED.values(), ids=COUNTED.keys())
def test_a_layer_keeps_what_autograd_keeps(changes):
    """What one more layer adds, to a percent: the rest does not grow with the model."""
    setting = replace(CPU, **changes)

    real = saved_bytes(3, setting) - saved_bytes(1, setting)
    predicted = predicted_bytes(3, setting) - predicted_bytes(1, setting)

    assert predicted == pytest.approx(real, rel=0.01)


@pytest.mark.parametrize("changes", [{}, {"rows": 3}, FULL, {"weight_bytes": 2, "compute_bytes": 2}])
def test_all_of_a_forward_pass(changes):
    setting = replace(CPU, **changes)

    assert predicted_bytes(2, setting) == pytest.approx(saved_bytes(2, setting), rel=0.08)


SETTINGS = st.builds(
    Setting,
    device=st.sampled_from(["cpu", "cuda"]),
    method=st.sampled_from(["SFT", "DPO", "ORPO", "KTO"]),
    tuning=st.sampled_from(["LoRA", "QLoRA"]),
    targets=st.just(PROJECTIONS),
    rank=st.integers(1, 256),
    dora=st.booleans(),
    dropout=st.booleans(),
    saved=st.just(()),
    double=st.booleans(),
    weight_bytes=st.sampled_from([2, 4]),
    compute_bytes=st.sampled_from([2, 4]),
    attention=st.sampled_from(["sdpa", "eager", "flash"]),
    checkpointing=st.booleans(),
    optimizer=st.sampled_from(sorted(memory.STATES)),
    processes=st.integers(1, 8),
    rows=st.integers(1, 64),
    share=st.sampled_from([1, 128]),
    length=st.integers(8, 32768),
    scored=st.integers(0, 5000),
)


@given(SETTINGS, st.integers(1, 5000), st.integers(1, 64), st.integers(1, 64))
def test_more_of_anything_never_needs_less(llama, setting, longer, more, higher):
    least = memory.memory(llama, setting).total

    for other in (
        setting.at(length=setting.length + longer),
        setting.at(rows=setting.rows + more),
        replace(setting, rank=setting.rank + higher),
        replace(setting, scored=setting.scored + more),
        replace(setting, dora=True),
    ):
        assert memory.memory(llama, other).total >= least


def test_gradients_come_where_activations_go_unless_several_passes_make_a_step(llama):
    one = replace(CUDA, tuning="Full", targets=(), share=1)
    weights = 4 * 8_030_261_248

    assert memory.memory(llama, one).gradients < weights
    assert memory.memory(llama, replace(one, share=2)).gradients == weights
    copies = replace(one, device="cpu", processes=2)
    assert memory.memory(llama, copies).gradients == 2 * weights


@given(SETTINGS)
def test_parts_are_never_negative(llama, setting):
    found = memory.memory(llama, setting)

    assert min(found.parts.values()) >= 0
    assert found.moment == "Train" or setting.scored


def test_evaluation_builds_logits_of_learned_positions_alone(llama):
    few = memory.memory(llama, replace(CUDA, tuning="QLoRA", length=8192, checkpointing=True, scored=100))
    all_of_them = memory.memory(
        llama, replace(CUDA, tuning="QLoRA", length=8192, checkpointing=True, scored=8192)
    )

    assert few.moment == "Train"
    assert all_of_them.moment == "Evaluate"
    assert all_of_them.logits == 8192 * 128_256 * (2 + 4 + 4)


def test_a_batch_of_evaluation_is_bounded_as_evaluate_bounds_it():
    pytest.importorskip("finetune_trainer.evaluate")
    from finetune_trainer import evaluate  # noqa: PLC0415 - imports torch

    assert memory.MOST_LOGITS == evaluate.MOST_LOGITS


def test_the_head_is_tiled_as_trl_tiles_it():
    from trl.kernels import chunked_logprob  # noqa: PLC0415 - a detail that only this test looks at
    from trl.trainer import utils  # noqa: PLC0415 - same

    assert chunked_logprob.TOKEN_CHUNK_SIZE == memory.TOKENS_AT_ONCE
    assert utils._CHUNKED_LOGPROB_CHUNK_SIZE == memory.WORDS_AT_ONCE
