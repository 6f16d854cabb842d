"""Chunks to spooled rows, in order: in this process, or by several others.

Workers import no torch, read their pieces from disk and write what they find to disk; only a few words go over the pipes.
Nothing survives this process: a worker ends when its pipe does.
"""

import contextlib
import pickle
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from multiprocessing import connection
from pathlib import Path
from typing import Any

from finetune_trainer import errors, helper
from finetune_trainer.data.chunks import Chunk
from finetune_trainer.data.reading import Reader, Recipe
from finetune_trainer.data.spool import Spool, Spot
from finetune_trainer.data.worker import Answer
from finetune_trainer.helper import Helper

PROGRAM = """
from finetune_trainer import cycles
with cycles.unsought():
    from finetune_trainer.data import worker
worker.main()
"""
DEPTH = 2
"""Chunks a worker has at a time: the next one is there when it is done with one."""
AHEAD = 64
"""Chunks that may be done before an earlier one is."""


def spooled(chunks: Iterator[Chunk], recipe: Recipe, folder: Path, *, workers: int) -> Generator[Spot]:
    """Where the rows of each chunk lie, in order; `workers` 0: read by this process. Files go to `folder`.

    Raises the errors of the first bad row in the order of reading, whoever found it, and `WorkerDied`.
    """
    if not workers:
        return _here(chunks, recipe, folder)
    return _elsewhere(chunks, recipe, folder, workers)


def _here(chunks: Iterator[Chunk], recipe: Recipe, folder: Path) -> Generator[Spot]:
    reader, spool = Reader(recipe), Spool(folder / "spool")
    with contextlib.closing(spool):
        for chunk in chunks:
            yield spool.add(*reader(chunk))


def _elsewhere(chunks: Iterator[Chunk], recipe: Recipe, folder: Path, workers: int) -> Generator[Spot]:
    path = folder / "recipe"
    path.write_bytes(pickle.dumps(recipe))
    crew: list[_Worker] = []
    try:
        crew += (
            _Worker.start(PROGRAM, str(path), str(folder / f"spool-{number}"), does="reads data")
            for number in range(workers)
        )
        yield from _Rounds(chunks, crew).answers()
    finally:
        for worker in crew:
            worker.stop()


@dataclass
class _Worker(Helper):
    """A process, and the chunks that it has been given."""

    chunks: deque[int] = field(default_factory=deque)
    """Their numbers, in the order they will be answered."""

    def give(self, number: int, chunk: Chunk) -> None:
        """One more chunk. Raises `WorkerDied`."""
        self.send(chunk)
        self.chunks.append(number)

    def take(self) -> tuple[int, Answer]:
        """The next answer, and the number of its chunk. Raises `WorkerDied`."""
        found: Answer = self.receive()
        return self.chunks.popleft(), found


class _Rounds:
    """Gives chunks to workers, and puts their answers back into order."""

    def __init__(self, chunks: Iterator[Chunk], crew: list[_Worker]) -> None:
        self._chunks = enumerate(chunks)
        self._crew = crew
        self._done: dict[int, Answer] = {}
        self._next = 0
        """Number of the chunk whose answer is due."""
        self._last: int | None = None
        """Number of chunks; None while there may be more."""
        self._broken: errors.TrainerError | None = None
        """Why there are no more chunks, if not because all have been cut."""

    def answers(self) -> Generator[Spot]:
        while True:
            self._give()
            while self._next in self._done:
                yield helper.answered(self._done.pop(self._next))
                self._next += 1
                self._give()
            if self._last == self._next:
                break
            self._take()
        if self._broken:
            raise self._broken

    def _give(self) -> None:
        """Give every worker what it can take."""
        while len((idlest := min(self._crew, key=lambda worker: len(worker.chunks))).chunks) < DEPTH:
            if (found := self._cut()) is None:
                return
            idlest.give(*found)

    def _cut(self) -> tuple[int, Chunk] | None:
        """The next chunk, unless all are cut, or too many wait for an earlier one."""
        waiting = len(self._done) + sum(len(worker.chunks) for worker in self._crew)
        if self._last is not None or waiting >= AHEAD + DEPTH * len(self._crew):
            return None
        try:
            found = next(self._chunks, None)
        except errors.Interrupted:
            raise
        except errors.TrainerError as error:  # told when its turn has come: an earlier row may be worse
            found, self._broken = None, error
        if found is None:
            self._last = self._next + waiting
        return found

    def _take(self) -> None:
        """Wait for answers."""
        pipes: dict[Any, _Worker] = {worker.pipe: worker for worker in self._crew if worker.chunks}
        for pipe in connection.wait(list(pipes)):
            number, found = pipes[pipe].take()
            self._done[number] = found
