"""Every FineTuneJob and FineTuneProfile that a reader of the project meets: the files of examples/, the YAML blocks of the docs."""

import pathlib
import re
from collections.abc import Iterator
from typing import Any

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```yaml\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)
KINDS = {"FineTuneJob", "FineTuneProfile"}


def found() -> Iterator[tuple[str, dict[str, Any]]]:
    """Where it stands, and the object."""
    for file in sorted((ROOT / "examples").rglob("*.yaml")):
        yield from _ours(file, file.read_text())
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for block in BLOCK.finditer(page.read_text()):
            yield from _ours(page, block["text"])


def _ours(file: pathlib.Path, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for document in yaml.safe_load_all(text):
        if isinstance(document, dict) and document.get("kind") in KINDS:
            yield f"{file.relative_to(ROOT)}:{document['metadata']['name']}", document
