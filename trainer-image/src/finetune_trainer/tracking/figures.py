"""The figures of metrics.jsonl on their way to a tracker: read as they come, each told once."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Entry:
    """What was logged at one moment."""

    step: int
    figures: dict[str, float]


@dataclass
class Feed:
    """A file of figures that grows, read from where the last look ended."""

    path: Path
    _inode: int = 0
    _offset: int = 0

    def new(self) -> list[dict[str, Any]]:
        """The whole lines since the last look; all of them where another file stands there now."""
        try:
            with self.path.open("rb") as file:
                now = os.fstat(file.fileno())
                if now.st_ino != self._inode or now.st_size < self._offset:
                    self._inode, self._offset = now.st_ino, 0
                file.seek(self._offset)
                whole, newline, _ = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return []
        self._offset += len(whole) + len(newline)
        return [json.loads(line) for line in whole.splitlines()]


@dataclass
class Taken:
    """What a tracker has. A tracker takes nothing back: steps that are trained a second time stay as they were told first."""

    step: int = -1
    """Everything up to here."""
    by_name: dict[str, int] = field(default_factory=dict)
    """Figure -> the last step it was told of."""

    def fresh(self, lines: Sequence[Mapping[str, Any]]) -> list[Entry]:
        """What it has not: numbers alone, for a tracker has no word for null."""
        found, last = [], dict(self.by_name)
        for line in lines:
            step = int(line["step"])
            figures = {
                name: float(value)
                for name, value in line.items()
                if name != "step" and isinstance(value, int | float) and step > last.get(name, self.step)
            }
            last |= dict.fromkeys(figures, step)
            if figures:
                found.append(Entry(step, figures))
        return found

    def add(self, entries: Sequence[Entry]) -> None:
        """It has these now."""
        for entry in entries:
            self.by_name |= dict.fromkeys(entry.figures, entry.step)
