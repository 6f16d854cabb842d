"""Bytes by part, at the moment that needs most. docs/estimate.md has the formulas in words, and how far off they are."""

from dataclasses import dataclass
from typing import Any, Literal

from finetune_trainer.estimate import activations
from finetune_trainer.estimate.setting import LEARNED_BYTES, Setting
from finetune_trainer.estimate.shape import Shape

TOKENS_AT_ONCE, WORDS_AT_ONCE = 4096, 32768
"""Tokens and words that TRL's head scores in one tile."""

TILES_CPU = 12.0
"""Tiles of float32 in the backward pass of TRL's head, where torch does what Triton does on a GPU. 8.25 are alive at once by its
code; between 8 and 15 were measured, for what libraries keep."""

MOST_LOGITS = 2**27
"""evaluate.py's bound on the logits of a batch of several rows."""

STATES = {
    "adamw_torch_fused": 8.0,
    "adamw_torch": 12.0,  # beside the two moments, what the step makes for all weights at once
    "adamw_8bit": 2.1,
    "paged_adamw_8bit": 2.1,
    "paged_adamw_32bit": 8.0,
    "adafactor": 4.2,  # moments by row and column, and the update itself
}
"""Bytes of optimiser state per weight that learns."""

NF4_BYTES = 0.5 + 4 / 64
NF4_DOUBLE_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Of a 4-bit weight with its scale: one float32 for 64 weights, or one byte and a float32 for 256 of those."""

MIB = 2**20
OVERHEAD = {"cpu": 1070 * MIB, "cuda": 1024 * MIB}
"""CPU: Python with torch, transformers, TRL and PEFT (830 MiB), and what MKL keeps after the first product (240 MiB); measured.
CUDA: context, cuBLAS and its workspaces (assumed)."""

SLACK = {"cpu": 0.12, "cuda": 0.08}
"""Of activations: holes between the blocks of an allocator. CPU: glibc's, measured; CUDA: assumed."""

ERROR = 0.2
"""How far from the truth an estimate may be, either way."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What one process needs on its device (bytes). Parts add up to `total`."""

    weights: int
    """Frozen and learned weights that the model came with."""
    adapter: int
    gradients: int
    optimizer: int
    activations: int
    """What the forward pass keeps, or in evaluation passes through."""
    logits: int
    """The head: tiles in training, whole logits in evaluation; or what a layer's backward pass needs, if that is more."""
    overhead: int
    """Programs and libraries, and what allocators lose."""
    moment: Literal["Train", "Evaluate"]

    @property
    def total(self) -> int:
        """All parts."""
        return sum(self.parts.values())

    @property
    def parts(self) -> dict[str, int]:
        """By name, in the order they are told."""
        return {
            "weights": self.weights,
            "adapter": self.adapter,
            "gradients": self.gradients,
            "optimizer": self.optimizer,
            "activations": self.activations,
            "logits": self.logits,
            "overhead": self.overhead,
        }

    @property
    def told(self) -> str:
        """`weights 2.5 GiB, activations 1.0 GiB, ...`, what is next to nothing left out."""
        return ", ".join(f"{name} {gib(size)}" for name, size in self.parts.items() if size >= 2**30 // 20)


def gib(size: float) -> str:
    """`11.2 GiB`."""
    return f"{size / 2**30:.1f} GiB"


def memory(shape: Shape, setting: Setting) -> Memory:
    """The moment of a run that needs most memory: a training step, or the evaluation of held-out rows."""
    moments = [_step(shape, setting)]
    if setting.scored:
        moments.append(_evaluation(shape, setting))
    return max(moments, key=lambda one: one.total)


def learned(shape: Shape, setting: Setting) -> int:
    """Number of weights that learn."""
    if setting.full:
        return shape.parameters
    return activations.adapter(shape, setting) + _copied(shape, setting)


def _step(shape: Shape, setting: Setting) -> Memory:
    kept = activations.kept(shape, setting)
    passing = max(_head(shape, setting), activations.passing(shape, setting))
    return _memory(shape, setting, kept=kept, passing=passing, moment="Train")


def _evaluation(shape: Shape, setting: Setting) -> Memory:
    """Rows one by one, or several as far as the logits of all their positions would stay within a bound.

    Built are those of positions that are learned in any row of the batch: once in the model's type, twice in float32.
    """
    rows = max(1, min(setting.rows, MOST_LOGITS // (setting.length * shape.vocabulary)))
    positions = rows * min(setting.length, rows * setting.scored)
    copies = 8 if setting.compute_bytes == LEARNED_BYTES else setting.compute_bytes + 8
    through = activations.without_gradient(shape, setting.at(rows=rows))
    return _memory(
        shape, setting, kept=through, passing=positions * shape.vocabulary * copies, moment="Evaluate"
    )


def _memory(shape: Shape, setting: Setting, *, kept: int, passing: int, moment: Any) -> Memory:
    learning = learned(shape, setting)
    held = kept + passing
    return Memory(
        weights=_weights(shape, setting),
        adapter=setting.adapters * learning * LEARNED_BYTES,
        gradients=_gradients(shape, learning * LEARNED_BYTES, setting, held) if moment == "Train" else 0,
        optimizer=int(learning * STATES[setting.optimizer]) // setting.shares,
        activations=kept,
        logits=passing,
        overhead=OVERHEAD[setting.device] + int(kept * SLACK[setting.device]),
        moment=moment,
    )


def _gradients(shape: Shape, size: int, setting: Setting, held: int) -> int:
    """Bytes beside the `held` ones: with one pass a step, gradients come where activations go."""
    if setting.sharded:  # a share of all, and one group whole: as it was computed, and as it is sent
        return size // setting.shares + max(_groups(shape)) * (setting.compute_bytes + LEARNED_BYTES)
    if setting.processes > 1:
        return 2 * size  # processes send them out of a second copy
    return size if setting.accumulates else max(0, size - held)


def _weights(shape: Shape, setting: Setting) -> int:
    if setting.full:
        reference = shape.parameters * setting.weight_bytes if setting.reference else 0
        return (shape.parameters * LEARNED_BYTES + reference) // setting.shares + _gathered(shape, setting)
    if setting.tuning != "QLoRA":
        return shape.parameters * setting.weight_bytes
    quantised = sum(one.weights for one in shape.linear)
    largest = max((one.weights for one in shape.linear), default=0)
    each = NF4_DOUBLE_BYTES if setting.double else NF4_BYTES
    return (
        int(quantised * each)
        + (shape.parameters - quantised) * setting.weight_bytes
        + largest * setting.compute_bytes  # the matrix that is multiplied just now
    )


def _groups(shape: Shape) -> tuple[int, int, int]:
    """Weights of what is gathered at once: the embedding, the head, one layer."""
    return shape.embedding, shape.head, (shape.parameters - shape.embedding - shape.head) // shape.layers


def _gathered(shape: Shape, setting: Setting) -> int:
    """Whole weights for the pass through them: both ends, one layer and the next; of the reference all layers (TRL's way)."""
    if not setting.sharded:
        return 0
    embedding, head, layer = _groups(shape)
    own = embedding + head + 2 * layer
    return setting.compute_bytes * (max(own, shape.parameters) if setting.reference else own)


def _copied(shape: Shape, setting: Setting) -> int:
    """Weights of `modulesToSave`, which learn whole in a copy of their own."""
    linear = sum(one.weights for one in shape.targeted(setting.saved))
    whole = {"embed_tokens", "wte", "lm_head"} & {name.rpartition(".")[2] for name in setting.saved}
    return linear + len(whole) * shape.embedding


def _head(shape: Shape, setting: Setting) -> int:
    """What comes and goes in the head."""
    hidden = setting.tokens * shape.hidden * (setting.compute_bytes + 4)
    gradient = 4 * shape.hidden * shape.vocabulary if setting.full else 0
    if setting.method == "ORPO":
        # Whole logits: as the model gives them, in float32, their gradient, and twice for two losses of the same.
        return setting.tokens * shape.vocabulary * (setting.compute_bytes + 16) + gradient
    rows = min(setting.tokens, TOKENS_AT_ONCE)
    if setting.device == "cuda":
        return rows * WORDS_AT_ONCE * setting.compute_bytes + hidden + gradient
    return int(rows * min(shape.vocabulary, WORDS_AT_ONCE) * 4 * TILES_CPU) + hidden + gradient
