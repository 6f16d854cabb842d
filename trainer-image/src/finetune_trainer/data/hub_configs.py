"""Datasets of the Hub whose README says which files belong together: configurations (languages, subsets), and their splits."""

import fnmatch
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from finetune_trainer import config, errors
from finetune_trainer.data import splits
from finetune_trainer.storage import Item

README = "README.md"
METADATA = re.compile(r"\s*---\s*\n(?P<yaml>.*?)\n---\s*(\n|$)", re.DOTALL)
"""The beginning of a README, between two lines of dashes."""


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One entry of `configs` in the README's metadata."""

    name: str
    usual: bool
    """Whether it is meant where none is named."""
    files: tuple[tuple[str | None, tuple[str, ...]], ...]
    """Split, None where the files' names tell it, and patterns of paths in the repository."""

    def items(self, found: Sequence[Item], names: Sequence[str] | None) -> list[Item]:
        """The files of the splits of one of these names; all files with None."""
        patterns = [
            pattern for split, those in self.files if names is None or split in names for pattern in those
        ]
        return [item for item in found if any(_fits(item.key, pattern) for pattern in patterns)]


def parse(readme: bytes) -> tuple[Configuration, ...]:
    """The configurations that name files; none where the README has no metadata that can be read."""
    import yaml  # noqa: PLC0415 - datasets with a README need it, and few sources are such

    metadata = METADATA.match(readme.decode("utf-8-sig", errors="replace"))
    try:
        said = yaml.safe_load(metadata["yaml"]) if metadata else None
    except (yaml.YAMLError, ValueError, RecursionError):
        return ()
    entries = said.get("configs") if isinstance(said, dict) else None
    made = (_configuration(entry) for entry in (entries if isinstance(entries, list) else []))
    return tuple(one for one in made if one and one.files)


def chosen(
    configurations: Sequence[Configuration], items: Sequence[Item], source: config.DataSource, field: str
) -> list[Item]:
    """The data files of the source's split in the only, or the usual, configuration. Raises `DataFileNotFound`."""
    usual = next((one for one in configurations if one.usual), None)
    one = configurations[0] if len(configurations) == 1 else usual
    if one is None:
        told = ", ".join(f"{one.name} ({one.files[0][1][0]})" for one in configurations[: splits.SHOWN])
        raise errors.DataFileNotFound(
            f"{field}.uri: {source.uri} has {len(configurations)} configurations, each a dataset of its own: {told}; add the "
            "folder or the file of one of them to the URI"
        )
    named = [split for split, _ in one.files if split]
    if not named:
        return splits.chosen(one.items(items, None) or items, source, field)
    for names in splits.asked(source):
        if mine := one.items(items, names):
            return mine
    wanted = source.split or splits.TRAIN
    raise errors.DataFileNotFound(
        f"{field}.split: {source.uri} has no split {wanted!r}; its splits are {', '.join(named)}; name one"
    )


def _configuration(entry: Any) -> Configuration | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("config_name"), str):
        return None
    folder = f"{str(entry.get('data_dir') or '').strip('/')}/".lstrip("/")
    files = entry.get("data_files", [""] if folder else [])
    return Configuration(
        name=entry["config_name"],
        usual=bool(entry.get("default")) or entry["config_name"] == "default",
        files=tuple((split, tuple(folder + one for one in those)) for split, those in _files(files)),
    )


def _files(said: Any) -> Iterator[tuple[str | None, tuple[str, ...]]]:
    """Split and patterns: a path, a list of paths, or a list of {split, path}."""
    entries = said if isinstance(said, list) else [said]
    paths = tuple(entry for entry in entries if isinstance(entry, str))
    if paths:
        yield None, paths
    for entry in entries:
        if isinstance(entry, dict) and isinstance(entry.get("split"), str):
            those = entry.get("path")
            yield entry["split"], tuple(map(str, those if isinstance(those, list) else [those]))


def _fits(key: str, pattern: str) -> bool:
    """Whether a path fits a pattern, or lies in a folder that does. `*` stays within a folder, `**` does not."""
    parts = [part for part in pattern.removeprefix("./").split("/") if part]
    return _fit(key.split("/"), [*parts, "**"])


def _fit(key: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not key
    if pattern[0] == "**":
        return any(_fit(key[skipped:], pattern[1:]) for skipped in range(len(key) + 1))
    return bool(key) and fnmatch.fnmatchcase(key[0], pattern[0]) and _fit(key[1:], pattern[1:])
