"""Tokens that really pass through the model, and how long that takes."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from finetune_trainer import config
from finetune_trainer.estimate.setting import SEQUENCES, Setting
from finetune_trainer.estimate.shape import Shape

UTILISATION = 0.35
"""Share of a GPU's arithmetic that plain TRL uses, recomputed activations included: published runs lie between 0.16 and 0.56."""

CPU_OPERATIONS = 30e9
"""Operations a second of one CPU (float32, AVX2); 18 to 44 x 10^9 were measured."""

QUANTISED = 0.85
"""Speed with 4-bit weights, which are unpacked for every product (published: 0.78 to 0.98)."""

DORA = 0.8
"""Speed of DoRA beside LoRA (published)."""

START_SECONDS = 60.0
"""Until programs and libraries run."""

LOAD_BYTES = 1e9
"""Bytes of weights a second, from the model's storage to the device (assumed)."""

ANSWER_SECONDS = 0.03
"""For each token that a GPU answers with, one at a time."""

FORWARDS_BESIDE = {"SFT": 0, "DPO": 1, "ORPO": 0, "KTO": 3}
"""Forward passes without gradient, per sequence: the reference; KTO's also see another row's answer."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is to be done."""

    lengths: Sequence[int]
    """Tokens of each training row, or pack; of pairs, those of the longer sequence."""
    steps: int
    epochs: float
    held_out_tokens: int
    answers: int
    """Samples to answer, by base and tuned model each."""


def padded(lengths: Sequence[int], rows: int, *, tight: bool = False) -> float:
    """Positions of one epoch, padding included: `rows` at a time, each batch as long as its longest row.

    With rows in a random order, the expected longest of a batch; `tight`: grouped by length, or packed, next to nothing is padded.
    """
    counted, total = Counter(int(length) for length in lengths), len(lengths)
    if tight or rows <= 1:
        return float(sum(length * number for length, number in counted.items()))
    expected, below = 0.0, 0
    for length in sorted(counted):
        upto = below + counted[length]
        expected += length * ((upto / total) ** rows - (below / total) ** rows)
        below = upto
    return expected * total


def operations(shape: Shape, setting: Setting) -> float:
    """Arithmetic for one position of one training step (docs/estimate.md): forward, backward, and what is computed twice."""
    forward = 2.0 * shape.active + 2.0 * shape.layers * shape.query * setting.length
    passes = 3 if setting.full else 2  # frozen weights want no gradient of their own
    return forward * (passes + setting.checkpointing + FORWARDS_BESIDE[setting.method])


def seconds(run: config.Run, shape: Shape, setting: Setting, work: Work) -> int | None:
    """From the first pod's start to the published result; None where nobody says how fast the GPUs are."""
    speed = _speed(run, setting)
    if speed is None:
        return None
    # Attention grows with the square of the length: the mean row stands for all.
    mean = max(1, round(sum(work.lengths) / max(1, len(work.lengths))))
    usual = setting.at(length=mean)
    tight = run.training.group_by_length or run.training.packing
    positions = padded(work.lengths, setting.rows, tight=tight) * SEQUENCES[run.method]
    training = work.epochs * positions * operations(shape, usual) / speed
    every = run.evaluation.every_steps
    evaluations = 2 + (work.steps // every if every else 0) + run.evaluation.keep_best
    one_process = speed / run.resources.processes
    evaluating = evaluations * work.held_out_tokens * 2.0 * shape.active / one_process
    tokens = 2 * work.answers * run.evaluation.max_new_tokens
    each = ANSWER_SECONDS if setting.device == "cuda" else 2.0 * shape.active / one_process
    loading = START_SECONDS + shape.parameters * setting.weight_bytes / LOAD_BYTES
    return math.ceil(loading + training + evaluating + tokens * each)


def _speed(run: config.Run, setting: Setting) -> float | None:
    """Operations a second of all processes."""
    resources = run.resources
    if setting.device == "cpu":
        speed = CPU_OPERATIONS * max(1.0, resources.cpu) * resources.nodes
    elif resources.gpu_teraflops is None:
        return None
    else:
        speed = UTILISATION * resources.gpu_teraflops * 1e12 * resources.processes
    if setting.tuning == "QLoRA":
        speed *= QUANTISED
    return speed * DORA if setting.dora else speed
