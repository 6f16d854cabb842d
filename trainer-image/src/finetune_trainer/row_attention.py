"""Attention over the rows of a pack one by one: what it costs goes by the rows' lengths, not by the square of the pack's.

Without flash attention transformers hides the rows of a pack from each other by a mask of pack x pack numbers, and computes
what the mask then throws away. Here each row has a call of torch's attention of its own, as if it were alone. What a plain
causal call does not say (a window that is shorter than the pack, a mask of the model's own) keeps its mask.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils.weak import WeakTensorKeyDictionary
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from finetune_trainer.isolation import Collate

NAME = "sdpa_by_row"
"""In transformers' table of attention functions."""

DENSE = "sdpa"
"""What it stands in for."""

MOST = {True: 2e-2, False: 1e-4}
"""Of the largest number of the last layer, the difference from `DENSE` that rounding may explain: in 16 bits, in float32."""

_lengths: Any = WeakTensorKeyDictionary()
"""Rows' lengths by the tensor that tells their bounds: all layers are given the same one, and to read it a GPU is waited for."""


def mask(
    *,
    q_length: int,
    kv_length: int,
    mask_function: Callable[..., Any],
    attention_mask: torch.Tensor | None = None,
    local_size: int | None = None,
    allow_is_causal_skip: bool = True,
    use_vmap: bool = False,
    **more: Any,
) -> torch.Tensor | None:
    """No mask where rows are told apart by their positions and nothing else hides a token; otherwise that of `DENSE`.

    transformers calls it once a forward pass for each kind of layer. A causal mask may be left out by anybody unless the
    sequence is a pack, and only then is there no padding. `local_size`: tokens that a window reaches back.
    """
    whole = local_size is None or local_size >= q_length
    packed = not allow_is_causal_skip and attention_mask is None and q_length == kv_length
    if packed and whole and not use_vmap:
        return None
    return sdpa_mask(
        q_length=q_length,
        kv_length=kv_length,
        mask_function=mask_function,
        attention_mask=attention_mask,
        local_size=local_size,
        allow_is_causal_skip=allow_is_causal_skip,
        use_vmap=use_vmap,
        **more,
    )


def forward(  # noqa: PLR0917 - transformers passes them so
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    cu_seq_lens_q: torch.Tensor | None = None,
    position_bias: torch.Tensor | None = None,
    **said: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of (1, heads, tokens, width), as (1, tokens, heads, width). `cu_seq_lens_q`: where rows begin, and the end.

    Whatever else a model says goes to each row's call, and is refused where that refuses it.
    """
    if attention_mask is not None or cu_seq_lens_q is None:
        whole: tuple[torch.Tensor, None] = _dense(
            module, query, key, value, attention_mask, position_bias=position_bias, **said
        )
        return whole
    if position_bias is not None:
        raise ValueError(f"{NAME} does not support a position bias")
    lengths = _lengths.get(cu_seq_lens_q)
    if lengths is None:
        lengths = _lengths[cu_seq_lens_q] = cu_seq_lens_q.diff().tolist()
    rows = zip(*(torch.split(one, lengths, dim=2) for one in (query, key, value)), strict=True)
    return torch.cat([_dense(module, *row, None, **said)[0] for row in rows], dim=1), None


_dense: Any = sdpa_attention_forward

AttentionInterface.register(NAME, forward)
AttentionMaskInterface.register(NAME, mask)


def take(model: Any, collate: Collate, rows: Sequence[Sequence[int]], *, sixteen: bool) -> bool:
    """Let `model` (a causal language model without adapters around it) attend by row, if it computes what it did before.

    It is tried on `rows` (token ids), which fill a pack; `sixteen`: whether it computes in 16 bits. Returns whether it does.
    """
    if attention(model) != DENSE:
        return False
    ids = [token for row in rows for token in row]
    batch = collate([{"input_ids": ids, "labels": ids, "seq_lengths": [len(row) for row in rows]}])
    del batch["labels"]
    # A model may do anything with what it is given: whatever goes wrong here, the mask of all is there for it.
    with contextlib.suppress(Exception):
        expected = _last(model, batch)
        model.set_attn_implementation(NAME)
        difference = (_last(model, batch) - expected).abs().max()
        if attention(model) == NAME and difference <= MOST[sixteen] * expected.abs().max():
            return True
    model.set_attn_implementation(DENSE)
    return False


def attention(model: Any) -> str:
    """How `model` attends, in transformers' word."""
    return str(model.config.get_text_config()._attn_implementation)  # noqa: SLF001 - where transformers keeps it


def _last(model: Any, batch: dict[str, Any]) -> torch.Tensor:
    """What the last layer says to each token: without the head, whose output is far larger."""
    device = next(model.parameters()).device
    moved = {name: value.to(device) if hasattr(value, "to") else value for name, value in batch.items()}
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():  # see evaluate.py
            found: torch.Tensor = model.base_model(**moved, use_cache=False)[0]
            return found.float()
    finally:
        model.train(was_training)
