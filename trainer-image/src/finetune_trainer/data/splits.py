"""Which files of a folder belong to a split. Paths tell: train.jsonl, data/test-00000-of-00002.parquet, dev/a.csv."""

import re
from collections.abc import Sequence

from finetune_trainer import config, errors
from finetune_trainer.storage import Item

TRAIN = "train"
ALIKE = (
    (TRAIN, "training"),
    ("validation", "valid", "val", "dev"),
    ("test", "testing", "eval", "evaluation"),
)
"""Words that mean the same split; the first is its name."""
SHARD = re.compile(r"(?:^|/)(?P<split>\w[\w.]*)-\d{5}-of-\d{5}[^/]*$")
"""What the Hub's own tools write; the name before the numbers is the split, whole."""
SHOWN = 5
"""Files that a sentence names."""


def chosen(items: Sequence[Item], source: config.DataSource, field: str) -> list[Item]:
    """The files of the source's split. Where none is asked for, a folder is read whole, and of a dataset of the Hub `train`.

    `items`: data files, at least one; `field`: `spec.dataset.train[0]`. Raises `DataFileNotFound`.
    """
    hub = source.uri.startswith("hf://")
    if source.split is None and not hub:
        return list(items)
    wanted = source.split or TRAIN
    for names in asked(source):
        if mine := [item for item in items if _is(item.key, names)]:
            return mine
    known = sorted({name for item in items if (name := _shard(item.key))})
    if (source.split is None and not known) or _is(_inside(source.uri), _alike(wanted)):
        return list(items)  # not sorted by splits at all, or the folder is the split
    there = f"its splits are {', '.join(known)}" if known else f"there are {_named(items)}"
    if source.split is None:
        raise errors.DataFileNotFound(
            f"{field}.split: {source.uri} has no split {TRAIN!r}; {there}; name one"
        )
    raise errors.DataFileNotFound(
        f"{field}.split: no file of {source.uri} belongs to the split {source.split!r}; {there}; name one of these splits, or give "
        f"a single file in {field}.uri"
    )


def asked(source: config.DataSource) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names to look for, the split's own before its other forms."""
    wanted = source.split or TRAIN
    return (wanted,), _alike(wanted)


def is_whole_repository(uri: str) -> bool:
    """Whether a URI of the Hub names neither folder nor file."""
    return uri.startswith("hf://") and not _inside(uri).strip("/")


def check_file(source: config.DataSource, field: str) -> None:
    """One file is one split: the one in its path, `train` where none is. Raises `DataFileNotFound` where another is asked for."""
    path, wanted = _inside(source.uri), source.split or TRAIN
    own = _shard(path) or next((words[0] for words in ALIKE if _is(path, words)), None)
    if source.split is None or _is(path, (wanted, *_alike(wanted))) or (own is None and wanted == TRAIN):
        return
    told = f"is one file, of the split {own!r} and not of {source.split!r}"
    if not own:
        told = f"is one file, and its name does not say that it is the split {source.split!r}"
    raise errors.DataFileNotFound(
        f"{field}.split: {source.uri} {told}; leave split out to read the file, or name the folder that holds all splits"
    )


def _is(path: str, names: Sequence[str]) -> bool:
    """Whether a path says one of these splits: as the whole name of a shard, else between its slashes, dashes and dots."""
    if shard := _shard(path):
        return shard in names
    return any(re.search(rf"(?<![^\W_]){re.escape(name)}(?![^\W_])", path, re.IGNORECASE) for name in names)


def _shard(path: str) -> str | None:
    """The split of a file that the Hub's tools wrote."""
    found = SHARD.search(path)
    return found["split"] if found else None


def _alike(split: str) -> tuple[str, ...]:
    """The words for a split of that name."""
    return next((words for words in ALIKE if split.lower() in words), (split,))


def _inside(uri: str) -> str:
    """The path within the bucket, claim, ConfigMap, host or repository: their own names tell nothing."""
    path = uri.partition("?")[0].partition("://")[2]
    names = 3 if path.startswith("datasets/") and uri.startswith("hf://") else 1
    return "/".join(path.split("/")[names:])


def _named(items: Sequence[Item]) -> str:
    """The first files by name, and how many there are besides."""
    names = ", ".join(item.key for item in items[:SHOWN])
    return f"{names} and {len(items) - SHOWN} more" if len(items) > SHOWN else names
