"""The sizes of a language model, as far as memory and time depend on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

OUTWARD = frozenset(
    {"o_proj", "out_proj", "dense", "wo", "c_proj", "down_proj", "dense_4h_to_h", "fc2", "fc_out", "w2"}
)
"""Last names of the linear layers that write to the residual stream, in the families people tune."""

QUERY_AND_KEY_NORMS = ("q_norm", "k_norm", "query_layernorm", "key_layernorm")

Role = Literal["attention-in", "attention-out", "mlp-in", "mlp-out"]


@dataclass(frozen=True, kw_only=True)
class Linear:
    """One linear layer, the head aside."""

    name: str
    """Its path within the model."""
    inputs: int
    outputs: int

    @property
    def last(self) -> str:
        """The name that `targetModules` goes by."""
        return self.name.rpartition(".")[2]

    @property
    def weights(self) -> int:
        """Numbers in its matrix."""
        return self.inputs * self.outputs

    @property
    def role(self) -> Role:
        """Its place in the layer: what it reads tells which tensor is kept for its gradient."""
        side = "attention" if "attn" in self.name or "attention" in self.name else "mlp"
        return f"{side}-{'out' if self.last in OUTWARD else 'in'}"  # type: ignore[return-value]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A decoder-only transformer."""

    parameters: int
    """All weights; a head that is tied to the embedding is counted once."""
    active: int
    """Those that multiply each token, head included and embedding left out: of a mixture, the experts that are chosen."""
    embedding: int
    """Weights of the embedding."""
    head: int
    """Weights of the head beside the embedding: 0 where they are tied."""
    linear: tuple[Linear, ...]
    layers: int
    hidden: int
    """Width of the residual stream."""
    query: int
    """Width of all query heads together."""
    key_value: int
    """Width of all key heads together, and of all value heads."""
    heads: int
    intermediate: int
    """Width of the MLP; of a mixture, of all experts that a token goes through."""
    norms: int
    """Norms of a layer over the residual stream."""
    head_norms: bool
    """Whether queries and keys have norms of their own."""
    vocabulary: int
    """Rows of the embedding."""
    window: int | None = None
    """Tokens that the layers which see least reach back; None where all see everything."""

    def targeted(self, names: Sequence[str]) -> tuple[Linear, ...]:
        """The linear layers that `names` (last names, or ends of paths) put an adapter on."""
        return tuple(
            one
            for one in self.linear
            if any(one.name == name or one.name.endswith(f".{name}") for name in names)
        )


def read(model: Any, settings: Any) -> Shape:
    """The shape of `model` (weights may be on the meta device); `settings` is the config of its text part."""
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    named = dict(model.named_parameters())
    total = sum(int(weight.numel()) for weight in named.values())
    rows, hidden = (int(size) for size in embedding.weight.shape)
    tied = head is None or head.weight is embedding.weight or bool(_of(settings, "tie_word_embeddings"))
    head_weights = int(head.weight.numel()) if head is not None else rows * hidden
    if tied and head is not None and head.weight is not embedding.weight:
        total -= head_weights  # tied only when weights are loaded
    linear = tuple(
        Linear(name=name, inputs=inputs, outputs=outputs)
        for name, module in model.named_modules()
        if module is not head and (sizes := _sizes(module)) is not None
        for inputs, outputs in [sizes]
    )
    layers = int(_of(settings, "num_hidden_layers", "n_layer", "num_layers") or 1)
    heads = int(_of(settings, "num_attention_heads", "n_head") or 1)
    width = int(_of(settings, "head_dim") or hidden // heads)
    groups = int(_of(settings, "num_key_value_heads") or heads)
    chosen, experts = _mixture(settings, named)
    names = [name for name, _ in model.named_modules()]
    return Shape(
        parameters=total,
        active=total
        - rows * hidden
        - _positions(named)
        + (head_weights if tied else 0)
        - round(experts * (1 - chosen)),
        embedding=rows * hidden,
        head=0 if tied else head_weights,
        linear=linear,
        layers=layers,
        hidden=hidden,
        query=heads * width,
        key_value=groups * width,
        heads=heads,
        intermediate=_intermediate(settings, linear, hidden),
        norms=max(1, _stream_norms(names) // layers),
        head_norms=any(name.endswith(QUERY_AND_KEY_NORMS) for name in names),
        vocabulary=rows,
        window=_of(settings, "sliding_window"),
    )


def _of(settings: Any, *names: str) -> Any:
    """The first of these settings that is said."""
    return next((value for name in names if (value := getattr(settings, name, None)) is not None), None)


def _sizes(module: Any) -> tuple[int, int] | None:
    """Inputs and outputs of a linear layer; GPT-2's Conv1D holds its matrix the other way round."""
    kind = type(module).__name__
    if kind == "Linear":
        return int(module.in_features), int(module.out_features)
    if kind == "Conv1D":
        return int(module.weight.shape[0]), int(module.weight.shape[1])
    return None


def _mixture(settings: Any, named: dict[str, Any]) -> tuple[float, int]:
    """Share of the experts that a token goes through, and the weights of all of them; 1 and 0 where there are none."""
    experts = sum(int(weight.numel()) for name, weight in named.items() if ".experts." in name)
    number = _of(settings, "num_experts", "num_local_experts", "n_routed_experts")
    if not experts or not number:
        return 1.0, 0
    return min(1.0, int(_of(settings, "num_experts_per_tok", "moe_top_k") or 1) / int(number)), experts


def _positions(named: dict[str, Any]) -> int:
    """Weights of learned positions (GPT-2), which are looked up and not multiplied."""
    return sum(int(weight.numel()) for name, weight in named.items() if name.endswith("wpe.weight"))


def _intermediate(settings: Any, linear: Sequence[Linear], hidden: int) -> int:
    expert, chosen = _of(settings, "moe_intermediate_size"), _of(settings, "num_experts_per_tok")
    if expert and chosen:
        return int(expert) * int(chosen)
    said = _of(settings, "intermediate_size", "n_inner", "ffn_dim")
    if said:
        return int(said) * int(chosen or 1)
    return max((one.inputs for one in linear if one.role == "mlp-out"), default=4 * hidden)


def _stream_norms(names: Sequence[str]) -> int:
    """Norms within the layers, those of queries and keys aside."""
    lasts = [name.rpartition(".")[2] for name in names if any(part.isdigit() for part in name.split("."))]
    return sum(
        (last.endswith(("layernorm", "norm")) or last.startswith("ln_")) and last not in QUERY_AND_KEY_NORMS
        for last in lasts
    )
