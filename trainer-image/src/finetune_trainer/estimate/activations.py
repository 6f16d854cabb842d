"""Bytes that one forward pass keeps for the backward pass, layer by layer. docs/estimate.md derives every term.

The terms are those of a Llama-like layer as transformers computes it: two norms in float32, fused attention, a gated MLP.
A test counts the tensors that autograd really saves and compares to the byte.
"""

from finetune_trainer.estimate.setting import LEARNED_BYTES, Setting
from finetune_trainer.estimate.shape import Linear, Shape

NORM_BYTES = 4
"""Norms compute in float32 whatever the arithmetic."""


def kept(shape: Shape, setting: Setting) -> int:
    """Bytes alive when the backward pass begins."""
    end = setting.tokens * _end(shape, setting)
    if setting.checkpointing:
        return setting.tokens * shape.layers * shape.hidden * _stream(setting) + end
    return setting.tokens * _layers(shape, setting) + end + _casts(shape, setting)


def passing(shape: Shape, setting: Setting) -> int:
    """Bytes that come and go within the backward pass of one layer; with checkpointing that layer is computed anew."""
    gradients = setting.tokens * 3 * max(shape.intermediate, shape.query) * setting.compute_bytes
    if not setting.checkpointing:
        return gradients
    again = gradients + setting.tokens * _layers(shape, setting) // shape.layers
    # All weights' copies in 16 bits live until the forward pass ends; the backward pass makes those of one layer.
    return max(again, _casts(shape, setting))


def without_gradient(shape: Shape, setting: Setting) -> int:
    """Bytes of a forward pass that nothing is learned from: one layer at a time."""
    widest = 3 * shape.intermediate + 2 * shape.query + 2 * shape.key_value
    return setting.tokens * (
        3 * shape.hidden * NORM_BYTES + widest * setting.compute_bytes + _mask(shape, setting) // shape.layers
    )


def _layers(shape: Shape, setting: Setting) -> int:
    """Bytes of one token in all layers."""
    return (
        shape.layers * (_norms(shape, setting) + _attention(shape, setting) + _mlp(shape, setting))
        + _mask(shape, setting)
        + _inputs(shape, setting)
    )


def _norms(shape: Shape, setting: Setting) -> int:
    """What each norm reads, in float32, and two numbers about it. Weights that learn want the normalised values too."""
    copies = 2 if setting.full else 1
    streams = shape.norms * (shape.hidden * NORM_BYTES * copies + NORM_BYTES)
    heads = (shape.query + shape.key_value) * NORM_BYTES * copies if shape.head_norms else 0
    return streams + heads


def _attention(shape: Shape, setting: Setting) -> int:
    """Queries, keys, values and the output. Keys and values are repeated for every query head where there is a mask."""
    flash = setting.attention == "flash"
    groups = shape.key_value if flash or not _masked(shape, setting) else shape.query
    fused = (2 * shape.query + 2 * groups) * setting.compute_bytes + shape.heads * 4
    if setting.attention == "eager":
        return fused + shape.heads * setting.span * (4 + 2 * setting.compute_bytes)
    return fused


def _mask(shape: Shape, setting: Setting) -> int:
    """Each layer makes its own mask of numbers out of the common one of booleans, L x L for each sequence."""
    if not _masked(shape, setting) or setting.attention != "sdpa":
        return 0
    return shape.layers * setting.span * setting.compute_bytes


def _masked(shape: Shape, setting: Setting) -> bool:
    """Whether there is a mask: by row there is none, unless a window hides more."""
    return setting.masked or (setting.by_row and shape.window is not None and shape.window < setting.length)


def _mlp(shape: Shape, setting: Setting) -> int:
    """Gate, gate after its function, and the other half."""
    return 3 * shape.intermediate * setting.compute_bytes


def _inputs(shape: Shape, setting: Setting) -> int:
    """What linear layers read, kept for the gradients of what learns. Under autocast every one of them has its own copy."""
    learning = shape.linear if setting.full else shape.targeted(setting.targets)
    compute = setting.compute_bytes
    if not setting.full and (setting.autocast or setting.dropout):
        # A GPU's dropout keeps booleans, the CPU's float32.
        mask = (1 if setting.device == "cuda" else 4) * setting.dropout
        found = sum(one.inputs * (compute + mask) for one in learning)
    elif setting.autocast:
        # The attention's output is in 16 bits already, and kept by attention itself; by row it is put together in a copy.
        found = sum(one.inputs * compute for one in learning if setting.by_row or one.role != "attention-out")
    else:
        found = _shared(learning, shape, setting) * compute
    ranks = 0 if setting.full else setting.rank * compute * len(learning)
    dora = 2 * compute * sum(one.outputs for one in learning) if setting.dora else 0
    return found + ranks + dora


def _shared(learning: tuple[Linear, ...], shape: Shape, setting: Setting) -> int:
    """Numbers that are read, where neighbours read the same tensor."""
    roles = {one.role for one in learning}
    return shape.layers * (
        shape.hidden * (("attention-in" in roles) + ("mlp-in" in roles))
        + shape.intermediate * ("mlp-out" in roles)
        + shape.query * (setting.by_row and "attention-out" in roles)
    )


def _end(shape: Shape, setting: Setting) -> int:
    """Bytes of one token behind the layers: the last norm, and what the head reads."""
    copies = 2 if setting.full else 1
    last = shape.hidden * (NORM_BYTES * copies + setting.compute_bytes)
    # Below the first adapter nothing needs a gradient: the first norm keeps nothing.
    return last if setting.full or setting.checkpointing else last - shape.hidden * NORM_BYTES


def _casts(shape: Shape, setting: Setting) -> int:
    """Weights that learn are kept in float32, and once more in 16 bits for the backward pass; shares are gathered in 16 bits."""
    if not setting.autocast or setting.sharded:
        return 0
    if setting.full:
        return setting.compute_bytes * sum(one.weights for one in shape.linear)
    return setting.compute_bytes * adapter(shape, setting)


def adapter(shape: Shape, setting: Setting) -> int:
    """Weights of the adapter."""
    found = shape.targeted(setting.targets)
    low = sum(setting.rank * (one.inputs + one.outputs) for one in found)
    magnitudes = sum(one.outputs for one in found) if setting.dora else 0
    return low + magnitudes


def _stream(setting: Setting) -> int:
    """Bytes of a number in the residual stream."""
    return LEARNED_BYTES if setting.full else setting.weight_bytes
