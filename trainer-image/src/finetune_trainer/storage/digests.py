"""Digests of files, to hold what has arrived against what was told."""

import hashlib
from pathlib import Path

CHUNK_BYTES = 4 * 1024 * 1024


def fits(file: Path, told: str | None) -> bool:
    """Whether the file is what `told` (`sha256:<hex>`, `git:<hex>`) says; where nothing was told, it is."""
    if told is None:
        return True
    kind, _, digest = told.partition(":")
    return (sha256(file) if kind == "sha256" else _git(file)) == digest


def sha256(file: Path) -> str:
    """Hexadecimal."""
    return _digest(file, hashlib.sha256())


def _git(file: Path) -> str:
    """Git's name for the content."""
    found = hashlib.sha1(f"blob {file.stat().st_size}\0".encode(), usedforsecurity=False)
    return _digest(file, found)


def _digest(file: Path, found: "hashlib._Hash") -> str:
    with file.open("rb") as source:
        while chunk := source.read(CHUNK_BYTES):
            found.update(chunk)
    return found.hexdigest()
