"""The data sources of the spec: which files they are, fetching them, and their rows as examples."""

import fnmatch
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from finetune_trainer import config, errors, storage
from finetune_trainer.data import meaning as meanings
from finetune_trainer.data import readers
from finetune_trainer.data.meaning import Meaning
from finetune_trainer.data.rows import Example, LossOn, Row
from finetune_trainer.layout import Layout
from finetune_trainer.storage import Item, Reference, Role, Store

TRAIN_SPLIT = "train"
SHOWN = 5
"""Files that a sentence names."""


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """One source, its files on disk."""

    source: config.DataSource
    field: str
    """Where the spec names it: `spec.dataset.train[0]`."""
    files: tuple[tuple[Path, str], ...]
    """Path on disk and the name the author knows, in order."""

    def rows(self) -> Iterator[Row]:
        """Its rows, file after file, at most `maxSamples`."""
        every = itertools.chain.from_iterable(readers.read(path, name) for path, name in self.files)
        return itertools.islice(every, self.source.max_samples)


@dataclass(frozen=True)
class Spot:
    """Where a source stands in the spec, and where its files go."""

    field: str
    folder: Path


@dataclass(frozen=True, kw_only=True)
class Understood:
    """One source whose format is known."""

    meaning: Meaning
    examples: Iterator[Example]

    @property
    def format(self) -> str:
        """As the report names it."""
        return self.meaning.format

    @property
    def loss_on(self) -> LossOn:
        """Which tokens are learned."""
        return self.meaning.loss_on


def fetch(run: config.Run, layout: Layout, part: str, told: Callable[[str], object]) -> list[Fetched]:
    """Download the files of `dataset.train` or `dataset.eval`; `told` hears of each one. Raises storage's errors."""
    sources: tuple[config.DataSource, ...] = getattr(run.dataset, part)
    spots = [Spot(f"spec.dataset.{part}[{at}]", layout.data / part / str(at)) for at in range(len(sources))]
    return [_fetched(run, layout, source, spot, told) for source, spot in zip(sources, spots, strict=True)]


def _fetched(
    run: config.Run, layout: Layout, source: config.DataSource, spot: Spot, told: Callable[[str], object]
) -> Fetched:
    secret = source.credentials_secret_ref
    uri, pattern = _globbed(source.uri)
    reference = Reference(
        uri=uri,
        field=f"{spot.field}.uri",
        role=Role.DATA,
        secret=secret.name if secret else None,
        hub=run.hub,
    )
    store = storage.open_store(reference, layout)
    files: list[tuple[Path, str]] = []
    for number, item in enumerate(_items(store, source, pattern)):
        name = item.key or source.uri.partition("?")[0].rstrip("/").rpartition("/")[2]
        told(name)
        path = spot.folder / f"{number:05d}"
        store.get(item.key, path)
        files.append((path, name))
    return Fetched(source=source, field=spot.field, files=tuple(files))


def _globbed(uri: str) -> tuple[str, str | None]:
    """The folder and the pattern of a URI whose last segment holds a `*`."""
    folder, _, last = uri.rpartition("/")
    return (folder, last) if "*" in last and not uri.startswith(("http://", "https://")) else (uri, None)


def _items(store: Store, source: config.DataSource, pattern: str | None) -> list[Item]:
    """The data files of a source, sorted by name: a file, what fits a pattern, or all that a folder holds."""
    if pattern is None and (one := store.head("")):
        return [one]
    found = store.list()
    if pattern is not None:
        found = [item for item in found if fnmatch.fnmatchcase(item.key, pattern)]
    data = [item for item in found if readers.is_data(item.key)]
    files = _of_split(data, source)
    if data and not files:
        raise errors.DataFileNotFound(
            f"{store.reference.field.removesuffix('.uri')}.split: no file of {source.uri} belongs to the split {source.split!r}; "
            f"there are {_named(data)}; name one of their splits, or a file in uri"
        )
    if not files:
        seen = f"it holds {len(found)} files, none of them {readers.KNOWN}" if found else "nothing lies there"
        raise errors.DataFileNotFound(
            f"{store.reference.field}: {source.uri}: {seen}; correct the URI, or put the data there"
        )
    return files


def _named(items: list[Item]) -> str:
    """The first files by name, and how many there are besides."""
    names = ", ".join(item.key for item in items[:SHOWN])
    return f"{names} and {len(items) - SHOWN} more" if len(items) > SHOWN else names


def _of_split(items: list[Item], source: config.DataSource) -> list[Item]:
    """The files of one split of a Hub dataset. Where none is asked for: `train`, if the files are sorted by splits at all."""
    if not source.uri.startswith("hf://"):
        return items
    wanted = source.split or TRAIN_SPLIT
    mine = [item for item in items if wanted in re.split(r"[^A-Za-z0-9]+", item.key)]
    return mine if mine or source.split else items


def meaning(fetched: Fetched, run: config.Run, *, chat: bool) -> Meaning:
    """What the source's rows mean, decided by the first one. Raises `EmptyDataset`, and what that row does not fit.

    `chat`: whether the model has a chat template.
    """
    first = next(fetched.rows(), None)
    if first is None:
        names = ", ".join(name for _, name in fetched.files[:SHOWN])
        raise errors.EmptyDataset(
            f"{fetched.field}.uri: {names}: the file is empty, there are no rows in it; put rows there"
        )
    return meanings.found(first, fetched.source, fetched.field, run, chat=chat)


def understand(fetched: Fetched, run: config.Run, *, chat: bool) -> Understood:
    """The source's examples, in order, and how they are made. Errors of the first row are raised here."""
    one = meaning(fetched, run, chat=chat)
    return Understood(meaning=one, examples=map(one.example, fetched.rows()))
