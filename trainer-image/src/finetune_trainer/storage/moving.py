"""How far a download is, in words."""

import threading
from collections.abc import Callable

UNITS = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))


class Moving:
    """Tells of one file's bytes: "model.safetensors 1.2 of 4.9 GiB". Asked from several threads, speaks in one at a time."""

    def __init__(self, name: str, size: int, told: Callable[[str], object]) -> None:
        self._name = name
        self._size = size
        self._told = told
        self._there = 0
        self._lock = threading.Lock()

    def more(self, number: int) -> None:
        """So many bytes more are there; fewer where something has to come again."""
        with self._lock:
            self._there += number
            largest = max(self._size, self._there)
            unit, divisor = next(((unit, size) for unit, size in UNITS if largest >= size), UNITS[-1])
            total = f" of {self._size / divisor:.1f}" if self._size else ""  # not every server tells the size
            self._told(f"{self._name} {self._there / divisor:.1f}{total} {unit}")
