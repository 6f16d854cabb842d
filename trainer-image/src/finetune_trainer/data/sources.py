"""The data sources of the spec: which files they are, fetching them, and what their rows mean."""

import fnmatch
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from finetune_trainer import config, errors, storage
from finetune_trainer.data import hub_configs, readers, splits
from finetune_trainer.data import meaning as meanings
from finetune_trainer.data.meaning import Meaning
from finetune_trainer.data.rows import Row
from finetune_trainer.layout import Layout
from finetune_trainer.plural import counted
from finetune_trainer.storage import Item, Moving, Reference, Role, Store

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


def fetch(run: config.Run, layout: Layout, part: str, told: Callable[[str], object]) -> list[Fetched]:
    """Download the files of `dataset.train` or `dataset.eval`; `told` hears of each one. Raises storage's errors."""
    sources: tuple[config.DataSource, ...] = getattr(run.dataset, part)
    spots = [Spot(f"spec.dataset.{part}[{at}]", layout.data / part / str(at)) for at in range(len(sources))]
    return [fetch_one(run, layout, source, spot, told) for source, spot in zip(sources, spots, strict=True)]


def fetch_one(
    run: config.Run, layout: Layout, source: config.DataSource, spot: Spot, told: Callable[[str], object]
) -> Fetched:
    """Download the files of `source`, which stands at `spot`. Raises storage's errors."""
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
        path = spot.folder / f"{number:05d}"
        store.get(item.key, path, Moving(name, item.size, told).more)
        files.append((path, name))
    return Fetched(source=source, field=spot.field, files=tuple(files))


def _globbed(uri: str) -> tuple[str, str | None]:
    """The folder and the pattern of a URI whose last segment holds a `*`."""
    folder, _, last = uri.rpartition("/")
    return (folder, last) if "*" in last and not uri.startswith(("http://", "https://")) else (uri, None)


def _items(store: Store, source: config.DataSource, pattern: str | None) -> list[Item]:
    """The data files of a source, sorted by name: a file, what fits a pattern, or all that a folder holds."""
    field = store.reference.field.removesuffix(".uri")
    if pattern is None and (one := store.head("")):
        splits.check_file(source, field)
        return [one]
    found = store.list()
    if pattern is not None:
        found = [item for item in found if fnmatch.fnmatchcase(item.key, pattern)]
    data = [item for item in found if readers.is_data(item.key)]
    if not data:
        others = counted(len(found), "file of another kind", "files of other kinds")
        seen = (
            f"it has no data file, but {others} (known are {readers.KNOWN})"
            if found
            else "there is nothing there"
        )
        raise errors.DataFileNotFound(
            f"{field}.uri: {source.uri}: {seen}; correct the URI, or put the data there"
        )
    if splits.is_whole_repository(source.uri) and (readme := store.read_if_there(hub_configs.README)):
        configurations = hub_configs.parse(readme)
        if configurations:
            return hub_configs.chosen(configurations, data, source, field)
    return splits.chosen(data, source, field)


def meaning(fetched: Fetched, run: config.Run, *, chat: bool) -> Meaning:
    """What the source's rows mean, decided by the first one. Raises `EmptyDataset`, and what that row does not fit.

    `chat`: whether the model has a chat template.
    """
    first = next(fetched.rows(), None)
    if first is None:
        names = ", ".join(name for _, name in fetched.files[:SHOWN])
        has = "has" if len(fetched.files) == 1 else "have"
        raise errors.EmptyDataset(
            f"{fetched.field}.uri: {names} {has} no rows; put rows there, or name another file"
        )
    return meanings.found(first, fetched.source, fetched.field, run, chat=chat)
