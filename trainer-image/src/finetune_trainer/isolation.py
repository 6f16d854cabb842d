"""Whether rows that share a sequence stay apart: by what is known of an architecture, and by trying the very model.

transformers keeps them apart by their positions, which begin anew with each row: attention's mask is made of them. Nothing
complains where an architecture does not look at positions, or hands a state from token to token.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from finetune_trainer import errors

FIELD = "spec.training.packing"

ATTENTION = frozenset({"full_attention", "sliding_attention", "chunked_attention"})
"""Kinds of layers that see other tokens through a mask alone."""

UNMASKED = frozenset({"biogpt", "falcon", "gpt_oss", "opt", "xglm"})
"""Types of models that take positions and make their mask without them. A test tries each, and others."""

TRIED = 64
"""Tokens of each row that the model is tried with."""

MOST = {True: 0.1, False: 1e-3}
"""Of what a neighbour changes where nothing keeps it away, the share that rounding may explain: in 16 bits, in float32."""

Collate = Callable[[list[dict[str, Any]]], dict[str, Any]]
"""What makes a batch of the training rows."""


def obstacle(model: Any) -> str | None:
    """Why this kind of model cannot keep rows of one sequence apart, as half a sentence; None: nothing is known against it."""
    settings = model.config.get_text_config()
    if getattr(model, "_is_stateful", False) or set(getattr(settings, "layer_types", None) or ()) - ATTENTION:
        return "it carries a state from token to token"
    if "position_ids" not in inspect.signature(model.forward).parameters:
        return "it takes no position ids, by which rows are kept apart"
    if settings.model_type in UNMASKED:
        return "its attention ignores position ids, by which rows are kept apart"
    return None


def refusal(kind: str, why: str) -> errors.SettingsDoNotFit:
    """The error for a model of type `kind`."""
    return errors.SettingsDoNotFit(
        f"{FIELD}: rows that share a sequence would see each other in a model of type {kind}: {why}; leave packing out"
    )


def check(model: Any, collate: Collate, rows: Sequence[Sequence[int]], *, sixteen: bool) -> None:
    """Raises `SettingsDoNotFit` where the second of two `rows` (token ids) is not read as if it were alone.

    `sixteen`: whether the model computes in 16 bits.
    """
    first, second = (list(row[:TRIED]) for row in rows)
    found = leak(model, collate, first, second)
    if not found <= MOST[sixteen]:
        raise refusal(
            model.config.model_type,
            f"when tried, a row changed what the model says of the next one ({found:.0%} of the full effect)",
        )


def leak(model: Any, collate: Collate, first: list[int], second: list[int]) -> float:
    """How much `first` in the same pack changes what the model says to `second`, as a share of what it changes in one row."""
    import torch  # noqa: PLC0415 - Prepare asks for obstacles alone

    def said(ids: list[int], lengths: list[int]) -> torch.Tensor:
        """The logits of the last `len(second)` tokens."""
        batch = collate([{"input_ids": ids, "labels": ids, "seq_lengths": lengths}])
        batch.pop("labels", None)
        device = next(model.parameters()).device
        moved = {name: value.to(device) if hasattr(value, "to") else value for name, value in batch.items()}
        logits: torch.Tensor = model(**moved, use_cache=False).logits[0, len(ids) - len(second) :]
        return logits.double()

    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():  # see evaluate.py
            alone = said(second, [len(second)])
            packed = said(first + second, [len(first), len(second)])
            joined = said(first + second, [len(first) + len(second)])
    finally:
        model.train(was_training)
    changed, most = ((other - alone).abs().mean().item() for other in (packed, joined))
    return changed / most if most else float(changed > 0)
