"""Python looks for garbage in cycles again and again, over everything there is. Where none is made, it is spared that."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def unsought() -> Iterator[None]:
    """Import here: what is imported stays, and looking for cycles among it takes a fifth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def seldom() -> None:
    """For a process that reads rows: what is there stays, and rows make no cycles."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 1_000)
