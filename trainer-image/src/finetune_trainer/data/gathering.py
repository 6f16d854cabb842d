"""All rows of all sources, read once: their facts in memory, their tokens on scratch."""

import contextlib
import itertools
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from finetune_trainer.data import chunks, cpus, facts, spool, workers
from finetune_trainer.data.facts import Facts, Indexes
from finetune_trainer.data.reading import Recipe
from finetune_trainer.data.rows import Example
from finetune_trainer.data.sources import Fetched
from finetune_trainer.data.spool import Spot

SMALL = 4 * 1024 * 1024
"""Bytes of data files that this process reads itself: workers take two seconds to start."""


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """All rows."""

    facts: Facts
    spots: tuple[Spot, ...]
    """Where the tokens lie, chunk by chunk."""


@contextlib.contextmanager
def place(folder: Path) -> Iterator[Path]:
    """An empty folder for the spool, that is gone afterwards."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def helpers(sources: Sequence[Fetched], *, small: int = SMALL) -> int:
    """How many worker processes this data is worth: 0 where it is small, or there is one CPU."""
    size = sum(path.stat().st_size for source in sources for path, _ in source.files)
    found = min(cpus.allowed(), cpus.MOST)
    return 0 if size <= small or found == 1 else found


def gather(
    sources: Sequence[Fetched],
    recipe: Recipe,
    folder: Path,
    told: Callable[[int], object],
    *,
    helpers: int,
    size: int = chunks.BYTES,
) -> Gathered:
    """Read all rows of `sources`; `told` hears how many were read. Neither `helpers` nor `size` (bytes of a chunk) matter.

    Raises the errors of the first bad row, and `WorkerDied`.
    """
    names = chunks.files(sources)
    known = facts.Growing()
    spots: list[Spot] = []
    read = 0
    cut = chunks.chunks(sources, folder, size)
    with contextlib.closing(workers.spooled(cut, recipe, folder, workers=helpers)) as found:
        for spot in found:
            spots.append(spot)
            known.add(spool.facts(spot))
            read += spot.rows
            told(read)
    return Gathered(facts=known.whole(names), spots=tuple(spots))


def again(sources: Sequence[Fetched], recipe: Recipe, known: Facts, wanted: Indexes) -> Iterator[Example]:
    """The rows `wanted` (rising) as examples: read once more, no further than the last one that is asked for."""
    for number, (source, meaning) in enumerate(zip(sources, recipe.meanings, strict=True)):
        begin, end = known.source.searchsorted([number, number + 1]).tolist()
        mine = (row - begin for row in wanted.tolist() if begin <= row < end)
        rows, read = source.rows(), 0
        for at in mine:
            yield meaning.example(next(itertools.islice(rows, at - read, None)))
            read = at + 1
