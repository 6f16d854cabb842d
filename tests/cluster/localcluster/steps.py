"""One line a step: what is done, about how long it takes, how long it took."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Step:
    """A step in progress; `note` is added to its line when it ends."""

    note: str = ""


@dataclass
class Steps:
    """Writes to standard error, so that standard output stays free for JSON."""

    started: float = field(default_factory=time.monotonic)

    def say(self, text: str) -> None:
        print(f"{self._elapsed()} {text}", file=sys.stderr, flush=True)

    @contextmanager
    def step(self, what: str, cost: str = "") -> Iterator[Step]:
        """`cost` is what the reader should be prepared for, such as "cold 4 min, cached 0 s"."""
        begun = time.monotonic()
        expectation = f" ({cost})" if cost else ""
        print(f"{self._elapsed()} {what}{expectation} ...", end=" ", file=sys.stderr, flush=True)
        step = Step()
        try:
            yield step
        except BaseException:
            print("FAILED", file=sys.stderr, flush=True)
            raise
        note = f", {step.note}" if step.note else ""
        print(f"{time.monotonic() - begun:.1f} s{note}", file=sys.stderr, flush=True)

    def _elapsed(self) -> str:
        return f"[{time.monotonic() - self.started:6.1f} s]"
