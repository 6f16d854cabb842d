"""Names made of content: what was built from the same input is never built again."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

LENGTH = 16  # characters; 64 bits are enough to tell a few hundred builds apart


def fingerprint(*parts: str | bytes) -> str:
    """A short name for a sequence of texts; where one ends and the next begins counts too."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(f"{len(data)}:".encode())
        digest.update(data)
    return digest.hexdigest()[:LENGTH]


def of_files(folder: Path, files: Iterable[Path], *more: str) -> str:
    """A short name for files below `folder`: paths, contents and execute bits; times and owners do not count."""
    parts: list[str | bytes] = []
    for file in sorted(files):
        executable = "x" if file.stat().st_mode & 0o100 else "-"
        parts += [file.relative_to(folder).as_posix(), executable, file.read_bytes()]
    return fingerprint(*parts, *more)


def of_mapping(mapping: Mapping[str, str]) -> str:
    """A short name for a mapping, whatever its order."""
    return fingerprint(*(part for pair in sorted(mapping.items()) for part in pair))
