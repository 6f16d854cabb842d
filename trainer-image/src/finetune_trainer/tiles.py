"""How many tokens TRL's output head scores at once.

The head makes a tile of logits, tokens x words, and goes over it a dozen times. That of a whole pack is far larger than what a
processor keeps near: on CPU training from packs takes a fifth longer with it. Smaller tiles may change the last bits of what the
last tokens of a pass add up to; so whoever is promised TRL's losses to the last bit is given TRL's tiles.
"""

from finetune_trainer.estimate.memory import TOKENS_AT_ONCE

FEW = 128
"""Of a pack on CPU: with 4,096 words two MiB of logits."""


def cut(*, few: bool) -> None:
    """Have this process score `FEW` tokens at once, or as many as TRL does. Imports torch and TRL."""
    from trl.kernels import chunked_logprob  # noqa: PLC0415 - only a rank has need of it

    chunked_logprob.TOKEN_CHUNK_SIZE = FEW if few else TOKENS_AT_ONCE
