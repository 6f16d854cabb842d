"""Sources to chunks: pieces of work that another process can do. Rows are parsed where they are understood, if they can be.

A file with one JSON row a line is cut at line ends, and only its lines are counted here. Rows of other files have to be read in
order; they are handed over on scratch.
"""

import io
import itertools
import pickle
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from finetune_trainer import errors
from finetune_trainer.data import readers
from finetune_trainer.data.facts import File
from finetune_trainer.data.rows import Place, Row
from finetune_trainer.data.sources import Fetched

BYTES = 256 * 1024
"""Of a chunk, about: some hundred rows."""


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Some rows of one file, in order."""

    source: int
    """Number of the source, those of `dataset.eval` counted on from those of `dataset.train`."""
    file: int
    """Index in the files of all sources."""
    name: str
    """Of the file, as the author knows it."""
    path: Path
    """Where the bytes lie: the file itself, or a piece handed over."""
    begin: int
    """First byte."""
    size: int
    """Bytes."""
    line: int | None
    """Number of the first line; None: pickled rows."""
    lent: bool
    """Whether `path` was written for this chunk, and is removed by its reader."""

    def rows(self) -> Iterator[Row]:
        """The rows. Raises `InvalidRow`."""
        with self.path.open("rb") as file:
            file.seek(self.begin)
            raw = file.read(self.size)
        if self.lent:
            self.path.unlink()
        if self.line is None:
            held = io.BytesIO(raw)
            while held.tell() < len(raw):
                yield pickle.load(held)  # noqa: S301 - written by our own process on our own disk
            return
        for number, line in readers.lines(io.BytesIO(raw), self.name, self.line):
            if row := readers.jsonl_row(line, Place(self.name, number)):
                yield row


def files(sources: Sequence[Fetched]) -> tuple[File, ...]:
    """The files of all sources, in order."""
    return tuple(
        File(name=name, unit="row" if readers.kind(path, name) == "parquet" else "line")
        for source in sources
        for path, name in source.files
    )


def chunks(sources: Sequence[Fetched], folder: Path, size: int = BYTES) -> Iterator[Chunk]:
    """All rows of `sources`, in order; pieces that are handed over are written to `folder`. Raises `InvalidFile`, `InvalidRow`."""
    file = 0
    for number, source in enumerate(sources):
        left = source.source.max_samples
        for path, name in source.files:
            cutter = _Cutter(number, file, name, path, folder, size)
            if left is None and readers.kind(path, name) == "jsonl":
                yield from cutter.lines()
            else:
                for chunk, count in cutter.rows(left):
                    left = left if left is None else left - count
                    yield chunk
            file += 1


@dataclass(frozen=True)
class _Cutter:
    """Cuts one file."""

    source: int
    file: int
    name: str
    path: Path
    folder: Path
    size: int

    def lines(self) -> Iterator[Chunk]:
        """Pieces that end with a line."""
        line, begin = 1, 0
        packed = self.name.lower().endswith((".gz", ".zst"))
        with readers.opened(self.path, self.name) as file:
            while raw := file.read(self.size):
                if not raw.endswith(b"\n"):
                    raw += file.readline(readers.MAX_ROW + 1)
                if packed:
                    yield self._lent(raw, line)
                else:
                    yield self._chunk(self.path, begin, len(raw), line)
                line += raw.count(b"\n")
                begin += len(raw)

    def rows(self, most: int | None) -> Iterator[tuple[Chunk, int]]:
        """Pieces of at most `most` rows in all, and how many rows each has. What was read before an error comes first."""
        held, count = io.BytesIO(), 0
        every = itertools.islice(readers.read(self.path, self.name), most)
        while True:
            failure: errors.TrainerError | None = None
            try:
                row = next(every, None)
            except errors.Interrupted:
                raise
            except errors.TrainerError as error:
                row, failure = None, error
            if row:
                pickle.dump(row, held, protocol=5)
                count += 1
            if count and (row is None or held.tell() >= self.size):
                yield self._lent(held.getvalue(), None), count
                held, count = io.BytesIO(), 0
            if failure:
                raise failure
            if row is None:
                return

    def _lent(self, raw: bytes, line: int | None) -> Chunk:
        """A piece that is handed over."""
        with tempfile.NamedTemporaryFile(dir=self.folder, prefix="piece-", delete=False) as file:
            file.write(raw)
        return self._chunk(Path(file.name), 0, len(raw), line, lent=True)

    def _chunk(self, path: Path, begin: int, size: int, line: int | None, *, lent: bool = False) -> Chunk:
        return Chunk(
            source=self.source,
            file=self.file,
            name=self.name,
            path=path,
            begin=begin,
            size=size,
            line=line,
            lent=lent,
        )
