"""Large downloads: several parts at once, each taken up where it broke off, never of two versions, told in bytes.

A slow download is no broken one: as long as bytes arrive it goes on. What is there already is written down beside the
file, so that a pod that comes later, over a claim that is still there, goes on as well.
"""

import concurrent.futures
import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from finetune_trainer import errors
from finetune_trainer.storage.reference import Told, nobody

PART_BYTES = 32 * 1024 * 1024
STREAMS = 8
"""Parts of one object that are under way at once."""
MOST_BREAKS = 100
"""Breaks of one part. Each attempt must have brought something: a server that brings nothing ends the download at once."""
PAUSE = 0.5
"""Seconds between a break and the next attempt."""

Chunk = bytes | memoryview
Read = Callable[[int, int], Iterator[Chunk]]
"""The object's bytes from the first offset up to, and without, the second."""


class _Stopped(Exception):
    """Another part has failed."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is downloaded."""

    size: int
    """Bytes."""
    tag: str
    """Changes with the content; empty where the server gives none: then nothing is taken up again by another pod."""
    name: str
    """How sentences begin: the field and the URI."""


def download(
    wanted: Wanted,
    read: Read,
    to: Path,
    told: Told = nobody,
    *,
    part_bytes: int | None = None,
    resumable: bool = True,
) -> None:
    """Bring the object to the file `to`, in parts of `part_bytes` (`PART_BYTES`).

    `resumable`: whether `read` can begin in the middle.

    Raises what `read` raises where it brings nothing, and `StorageUnavailable` where it brings too much.
    """
    journal = _Journal(to, wanted, part_bytes or PART_BYTES)
    missing = journal.missing()
    told(wanted.size - sum(end - start for start, end in missing))
    work = _Download(wanted, read, journal, told, resumable=resumable)
    if len(missing) == 1:
        work.fetch(missing[0])
    elif missing:
        work.fetch_all(missing)
    journal.finish(to)


class _Download:
    """The parts of one object, on their way."""

    def __init__(
        self, wanted: Wanted, read: Read, journal: "_Journal", told: Told, *, resumable: bool
    ) -> None:
        self._wanted = wanted
        self._read = read
        self._journal = journal
        self._told = told
        self._resumable = resumable
        self._stop = threading.Event()

    def fetch_all(self, parts: list[tuple[int, int]]) -> None:
        """All parts, several at once. The first error ends the others."""
        pool = concurrent.futures.ThreadPoolExecutor(min(STREAMS, len(parts)), thread_name_prefix="download")
        try:
            for done in concurrent.futures.as_completed([pool.submit(self.fetch, part) for part in parts]):
                done.result()
        except BaseException:
            self._stop.set()
            # Not waited for: a SIGTERM must not wait for a silent server.
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        pool.shutdown()

    def fetch(self, part: tuple[int, int]) -> None:
        """One part, however often its stream breaks."""
        start, end = part
        at = start
        for _attempt in range(MOST_BREAKS):
            before = at
            try:
                for chunk in self._chunks(at, end):
                    self._journal.write(chunk, at)
                    at += len(chunk)
                    self._told(len(chunk))
            except errors.OutsideError:
                if at == before or self._stop.is_set():
                    raise
            else:
                self._journal.done(part)
                return
            if not self._resumable:
                self._told(start - at)
                at = start
            time.sleep(PAUSE)
        raise errors.StorageUnavailable(
            f"{self._wanted.name}: the connection broke {MOST_BREAKS} times, the last time at {at} of {self._wanted.size} bytes; "
            "it is tried again later"
        )

    def _chunks(self, at: int, end: int) -> Iterator[Chunk]:
        """The bytes from `at` to `end`, neither more nor less."""
        for chunk in self._read(at, end):
            if self._stop.is_set():
                raise _Stopped
            at += len(chunk)
            if at > end:
                raise errors.StorageUnavailable(
                    f"{self._wanted.name}: the server sends more than the {self._wanted.size} bytes that it announced; it is tried "
                    "again later"
                )
            yield chunk
        if at < end:
            raise errors.EndpointUnreachable(
                f"{self._wanted.name}: the answer ended {end - at} bytes too soon; it is tried again later"
            )


class _File:
    """A file open for writing, closed when the last thread that may write has let go of it: never under a writer."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)

    def __del__(self) -> None:
        os.close(self.number)


class _Journal:
    """The unfinished file, and which of its parts are there."""

    def __init__(self, to: Path, wanted: Wanted, part_bytes: int) -> None:
        to.parent.mkdir(parents=True, exist_ok=True)
        self._data = to.with_name(f".{to.name}.part")
        self._page = to.with_name(f".{to.name}.parts.json")
        self._wanted = wanted
        self._lock = threading.Lock()
        self._parts = [
            (start, min(start + part_bytes, wanted.size)) for start in range(0, wanted.size, part_bytes)
        ]
        self._found = self._load()
        self._file = _File(self._data)
        if not self._found:
            os.ftruncate(self._file.number, 0)

    def missing(self) -> list[tuple[int, int]]:
        """Parts that are not there yet, as first and last-but-one offset."""
        return [part for part in self._parts if part not in self._found]

    def write(self, chunk: Chunk, at: int) -> None:
        """Bytes at their place. Several threads write at once, each in its own part."""
        view = memoryview(chunk)
        while view:
            written = os.pwrite(self._file.number, view, at)
            view, at = view[written:], at + written

    def done(self, part: tuple[int, int]) -> None:
        """One more part is there."""
        if len(self._parts) == 1 or not self._wanted.tag:
            return
        with self._lock:
            self._found.add(part)
            os.fsync(self._file.number)
            page = {"tag": self._wanted.tag, "size": self._wanted.size, "done": sorted(self._found)}
            unfinished = self._page.with_suffix(".new")
            unfinished.write_text(json.dumps(page))
            unfinished.replace(self._page)

    def finish(self, to: Path) -> None:
        """All is there: the file gets its name."""
        os.fsync(self._file.number)
        self._data.replace(to)
        self._page.unlink(missing_ok=True)

    def _load(self) -> set[tuple[int, int]]:
        """The parts that an earlier download of the same object has left."""
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            page = json.loads(self._page.read_text())
            same = (page["tag"], page["size"]) == (self._wanted.tag, self._wanted.size)
            if same and self._wanted.tag and self._data.is_file():
                return {(start, end) for start, end in page["done"]} & set(self._parts)
        return set()
