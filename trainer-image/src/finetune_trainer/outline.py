"""What transformers would build of the config.json of a common model, told without torch, whose import takes seconds.

Decoders of Llama's plan differ in a few numbers. Of any other model, and of settings that are seldom seen, nothing is said
here: transformers builds those. A test holds every outline to what it builds.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HEAD_NORMS, BIASED = frozenset({"qwen3"}), frozenset({"qwen2"})
"""Types whose queries and keys have norms of their own; whose queries, keys and values have a bias, whatever is said."""

PLANNED = frozenset({"llama", "mistral"}) | HEAD_NORMS | BIASED
"""Types of models built by Llama's plan."""

USUAL = frozenset(
    {
        *(
            "model_type",
            "architectures",
            "dtype",
            "torch_dtype",
            "transformers_version",
            "transformers.js_config",
        ),
        *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
        *("num_key_value_heads", "head_dim", "max_position_embeddings", "max_window_layers", "hidden_act"),
        *(
            "attention_bias",
            "mlp_bias",
            "attention_dropout",
            "rms_norm_eps",
            "initializer_range",
            "use_cache",
        ),
        *("bos_token_id", "eos_token_id", "pad_token_id", "tie_word_embeddings", "pretraining_tp"),
        *("rope_theta", "rope_scaling", "rope_parameters", "rope_interleaved", "is_llama_config"),
        *("sliding_window", "use_sliding_window", "layer_types"),
    }
)
"""Settings whose meaning is known here."""

DTYPES = frozenset({"None", "float32", "float16", "bfloat16"})
LLAMA3 = frozenset(
    {"rope_type", "rope_theta", "factor", "low_freq_factor", "high_freq_factor"}
    | {"original_max_position_embeddings"}
)
"""What a rope of Llama 3's kind must say."""


class Weight:
    """The shape of a tensor."""

    def __init__(self, *shape: int) -> None:
        self.shape = shape

    def numel(self) -> int:
        """Numbers in it."""
        return math.prod(self.shape)


class Part:
    """A module; its class tells what it is, as with torch's."""

    weight: Weight | None = None
    bias: Weight | None = None


class Linear(Part):
    """Named as torch's."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool = False) -> None:
        self.in_features, self.out_features = inputs, outputs
        self.weight = Weight(outputs, inputs)
        self.bias = Weight(outputs) if bias else None


class Embedding(Part):
    """Named as torch's."""

    def __init__(self, rows: int, width: int) -> None:
        self.weight = Weight(rows, width)


class Norm(Part):
    """A scale for each number."""

    def __init__(self, width: int) -> None:
        self.weight = Weight(width)


class Outline:
    """Stands for a model where its modules are looked at, and nothing is computed."""

    def __init__(self, settings: Any) -> None:
        """`settings`: the model's config, one that `known` says yes to."""
        self.config = settings
        self._embedding = Embedding(settings.vocab_size, settings.hidden_size)
        self._head = Linear(settings.hidden_size, settings.vocab_size)
        if settings.tie_word_embeddings:
            self._head.weight = self._embedding.weight
        self._modules: dict[str, Part] = {
            "model": Part(), "model.embed_tokens": self._embedding, "model.layers": Part(),
        }  # fmt: skip
        for number in range(settings.num_hidden_layers):
            self._modules |= _layer(settings, f"model.layers.{number}")
        self._modules |= {"model.norm": Norm(settings.hidden_size), "model.rotary_emb": Part()}
        self._modules["lm_head"] = self._head

    def named_modules(self) -> Iterator[tuple[str, Any]]:
        """As torch's: the whole first, then each module behind the one it belongs to."""
        yield "", self
        yield from self._modules.items()

    def named_parameters(self) -> Iterator[tuple[str, Weight]]:
        """As torch's: a tied weight once."""
        seen = set()
        for name, module in self._modules.items():
            for kind, weight in (("weight", module.weight), ("bias", module.bias)):
                if weight and weight not in seen:
                    seen.add(weight)
                    yield f"{name}.{kind}", weight

    def get_input_embeddings(self) -> Embedding:
        """As transformers'."""
        return self._embedding

    def get_output_embeddings(self) -> Linear:
        """As transformers'."""
        return self._head

    def forward(self, *, position_ids: Any) -> None:
        """Asked for what it takes, and never called."""
        raise NotImplementedError


def known(settings: Any, folder: Path) -> bool:
    """Whether an `Outline` of `settings`, read from config.json in `folder`, is what transformers would build."""
    said = json.loads((folder / "config.json").read_bytes())
    if settings.model_type not in PLANNED or not said.keys() <= USUAL:
        return False
    sizes = (
        *(settings.vocab_size, settings.hidden_size, settings.intermediate_size, settings.num_hidden_layers),
        *(settings.num_attention_heads, settings.num_key_value_heads, _head_width(settings)),
    )
    layers, padding = getattr(settings, "layer_types", None), settings.pad_token_id
    return (
        all(size > 0 for size in sizes)
        and settings.hidden_act == "silu"
        and str(settings.dtype).removeprefix("torch.") in DTYPES
        and (layers is None or len(layers) == settings.num_hidden_layers)
        and (padding is None or 0 <= padding < settings.vocab_size)
        and _usual_rope(settings.rope_parameters or {})
    )


def _usual_rope(said: dict[str, Any]) -> bool:
    numbers = all(isinstance(value, float | int) for name, value in said.items() if name != "rope_type")
    kind = said.get("rope_type")
    names = {"default": {"rope_type", "rope_theta"}, "llama3": LLAMA3}.get(str(kind))
    return numbers and names is not None and names == said.keys() and said["rope_theta"] > 0


def _head_width(settings: Any) -> int:
    return int(getattr(settings, "head_dim", None) or settings.hidden_size // settings.num_attention_heads)


def _layer(settings: Any, name: str) -> dict[str, Part]:
    """One layer: attention, gated MLP, and a norm before each."""
    hidden, inner, width = settings.hidden_size, settings.intermediate_size, _head_width(settings)
    query, key = settings.num_attention_heads * width, settings.num_key_value_heads * width
    all_biased = bool(getattr(settings, "attention_bias", False))
    biased = all_biased or settings.model_type in BIASED
    mlp_biased = bool(getattr(settings, "mlp_bias", False))
    norms = settings.model_type in HEAD_NORMS
    return {
        name: Part(),
        f"{name}.self_attn": Part(),
        f"{name}.self_attn.q_proj": Linear(hidden, query, bias=biased),
        f"{name}.self_attn.k_proj": Linear(hidden, key, bias=biased),
        f"{name}.self_attn.v_proj": Linear(hidden, key, bias=biased),
        f"{name}.self_attn.o_proj": Linear(query, hidden, bias=all_biased),
        **({f"{name}.self_attn.{one}_norm": Norm(width) for one in "qk"} if norms else {}),
        f"{name}.mlp": Part(),
        f"{name}.mlp.gate_proj": Linear(hidden, inner, bias=mlp_biased),
        f"{name}.mlp.up_proj": Linear(hidden, inner, bias=mlp_biased),
        f"{name}.mlp.down_proj": Linear(inner, hidden, bias=mlp_biased),
        f"{name}.mlp.act_fn": Part(),
        f"{name}.input_layernorm": Norm(hidden),
        f"{name}.post_attention_layernorm": Norm(hidden),
    }
