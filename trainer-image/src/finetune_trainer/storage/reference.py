"""What a URI of the spec means, and what can be done with the place it names."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import Enum
from pathlib import Path

from finetune_trainer import config, errors

SCHEMES = ("s3", "gs", "az", "pvc", "configmap", "file", "hf", "http", "https")

Told = Callable[[int], object]
"""Hears how many more bytes of a download are there. Called from several threads."""


def nobody(more: int) -> None:
    """Nobody wants to hear it."""
    del more


class Role(Enum):
    """What a place is for: decides which error a missing object is."""

    MODEL = errors.ModelNotFound
    ADAPTER = errors.AdapterNotFound
    CHECKPOINT = errors.CheckpointNotFound
    DATA = errors.DataFileNotFound
    OUTPUT = errors.InternalError
    """What the trainer wrote itself and does not find again."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reference:
    """One URI of the spec with all that is needed to open it."""

    uri: str
    field: str
    """Where the spec names it, for example `dataset.train[0].uri`."""
    role: Role
    secret: str | None = None
    """Name of the Secret. None: the pod's own identity."""
    hub: config.Hub = dataclasses.field(default_factory=config.Hub)

    def __post_init__(self) -> None:
        if self.scheme not in SCHEMES:
            raise self.unsupported()
        if any(part in {".", ".."} for part in self.path.split("/")):
            raise errors.InvalidRun(
                f"{self.field}: {self.uri} has . or .. in its path; write the path without them"
            )
        if not self.place:
            raise errors.InvalidRun(
                f"{self.field}: {self.uri} names no bucket, claim or host after '{self.scheme}://'; write it there"
            )

    @property
    def scheme(self) -> str:
        """`s3`, `hf`, ..."""
        return self.uri.partition("://")[0]

    @property
    def place(self) -> str:
        """Bucket, claim, ConfigMap, host; for `hf` the first segment."""
        return self.uri.partition("://")[2].partition("/")[0] or ("/" if self.scheme == "file" else "")

    @property
    def path(self) -> str:
        """What comes after the place, without slashes at its ends."""
        rest = self.uri.partition("://")[2]
        return (rest if self.scheme == "file" else rest.partition("/")[2]).strip("/")

    def beside(self, uri: str) -> "Reference":
        """Another URI with the same field and credentials."""
        return dataclasses.replace(self, uri=uri)

    def unsupported(self) -> errors.InvalidRun:
        """The error for a scheme that nobody opens."""
        known = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        return errors.InvalidRun(f"{self.field}: {self.uri} cannot be opened; known are {known}")

    def missing(self, what: str = "") -> errors.TrainerError:
        """The error for something that should lie here and does not."""
        return self.error(
            f"{self.field}: there is nothing at {what or self.uri}; correct the URI, or put it there"
        )

    def error(self, sentence: str) -> errors.TrainerError:
        """The role's error with `sentence`."""
        kind: type[errors.TrainerError] = self.role.value
        return kind(sentence)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Item:
    """One object."""

    key: str
    """Relative to the reference."""
    size: int
    """Bytes."""
    tag: str
    """Changes with the content: an ETag, a Git blob id, or size and time."""
    digest: str | None = None
    """What the place says of the content, to hold a download against: `sha256:<hex>` or `git:<hex>` (Git's blob id)."""


class Store(ABC):
    """The place that a reference names. Keys are relative to it; the key `""` is the named object itself."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference

    @property
    def origin(self) -> str:
        """What tells this place from all others, wherever the same URI may lead elsewhere: the server comes first."""
        return self.reference.uri.rstrip("/")

    def uri_of(self, key: str) -> str:
        """The full URI of `key`."""
        return f"{self.reference.uri.rstrip('/')}/{key}" if key else self.reference.uri

    @abstractmethod
    def list(self, prefix: str = "") -> "list[Item]":
        """All objects below the folder `prefix`, sorted by key; empty where there are none."""

    @abstractmethod
    def head(self, key: str) -> Item | None:
        """The object at `key`, None where there is none."""

    @abstractmethod
    def get(self, key: str, to: Path, told: Told = nobody) -> None:
        """Download `key` to the file `to`; its folder is made. Raises the role's error where it is missing.

        `to` is there whole or not at all. What a broken download leaves lies hidden beside it; the next one goes on from
        there, if the object is still the same.
        """

    @abstractmethod
    def read(self, key: str) -> bytes:
        """The content of a small object. Raises the role's error where it is missing."""

    def read_if_there(self, key: str) -> bytes | None:
        """The content of a small object, None where there is none."""
        return self.read(key) if self.head(key) else None

    def put(self, key: str, content: bytes | Path) -> None:
        """Write an object, replacing what lay there; a reader sees the old one or the new one whole."""
        raise self._read_only(key, content)

    def put_if_absent(self, key: str, content: bytes) -> bool:
        """Write an object where none lies yet; False where one did."""
        raise self._read_only(key, content)

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens where there is none."""
        raise self._read_only(key, b"")

    def delete_below(self, prefix: str) -> int:
        """Remove all objects below the folder `prefix`; how many."""
        items = self.list(prefix)
        for item in items:
            self.delete(item.key)
        return len(items)

    def _read_only(self, key: str, content: bytes | Path) -> errors.InvalidRun:
        del content
        return errors.InvalidRun(
            f"{self.reference.field}: {self.uri_of(key)} can only be read; name a bucket or a claim"
        )
