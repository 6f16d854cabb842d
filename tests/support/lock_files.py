"""What our lock files pin."""

import pathlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from packaging.markers import Marker

ROOT = pathlib.Path(__file__).resolve().parents[2]
ENTRY = re.compile(r"^(?P<name>[a-z0-9.-]+)==(?P<version>[^ ;]+)(?: ; (?P<marker>.*?))? \\$", re.MULTILINE)
IMAGE = {
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
    "os_name": "posix",
    "python_version": "3.11",
    "python_full_version": "3.11.2",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
}
"""Where our images run."""


@dataclass(frozen=True)
class Pin:
    """One package of a lock file."""

    name: str
    version: str
    marker: str
    """Where it is installed; empty: everywhere."""
    hashes: frozenset[str]
    """sha256:..., of every file of it that may be installed."""

    @property
    def in_image(self) -> bool:
        """Whether an image has it."""
        return not self.marker or Marker(self.marker).evaluate(dict(IMAGE))


def pins(file: str) -> Iterator[Pin]:
    """Every entry of a lock file, named from the root."""
    text = (ROOT / file).read_text()
    starts = [*ENTRY.finditer(text)]
    ends = [*(entry.start() for entry in starts[1:]), len(text)]
    for entry, end in zip(starts, ends, strict=True):
        hashes = frozenset(re.findall(r"--hash=(sha256:[0-9a-f]{64})", text[entry.end() : end]))
        yield Pin(entry["name"], entry["version"], entry["marker"] or "", hashes)
