"""Real text from any machine: documentation -> one-line summary, out of the standard library's docstrings.

A row is `{"document", "title"}`: what a function or class says about itself, and the one line it begins with. Train and
held-out rows come from different modules, so that near copies (`bytes.strip`, `bytearray.strip`) do not straddle.

    python tests/support/docstrings.py FOLDER        writes train.jsonl and held-out.jsonl
"""

import argparse
import ast
import hashlib
import inspect
import json
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

Row = dict[str, str]

SKIPPED = {"test", "tests", "idlelib", "site-packages", "lib2to3", "turtledemo", "__pycache__"}
TITLE = range(12, 101)
"""Characters of a usable title."""
DOCUMENT = range(80, 1201)
"""Characters of a usable document."""
HELD_OUT = 0.1
"""Share of the rows that is held out."""


def rows(*, seed: int = 0) -> tuple[list[Row], list[Row]]:
    """Train and held-out rows, shuffled by `seed`; which modules are held out is drawn by it too."""
    modules: dict[str, list[Row]] = {}
    seen: set[str] = set()
    for module, row in _library():
        if row["document"] not in seen:
            seen.add(row["document"])
            modules.setdefault(module, []).append(row)
    apart = _held_out({module: len(found) for module, found in modules.items()}, seed)
    train = [row for module, found in modules.items() if module not in apart for row in found]
    held_out = [row for module in apart for row in modules[module]]
    for part in (train, held_out):
        part.sort(key=lambda row: _draw(seed, row["document"]))
    return train, held_out


def _held_out(sizes: dict[str, int], seed: int) -> list[str]:
    """Modules, drawn by `seed`, that together hold about `HELD_OUT` of the rows; none of them half of that alone."""
    wanted = HELD_OUT * sum(sizes.values())
    chosen: list[str] = []
    for module in sorted(sizes, key=lambda name: _draw(seed, name)):
        if sum(sizes[one] for one in chosen) >= wanted:
            break
        if sizes[module] <= wanted / 2:
            chosen.append(module)
    return chosen


def write(
    folder: Path, *, train: int | None = None, held_out: int | None = None, seed: int = 0
) -> tuple[Path, Path]:
    """`train.jsonl` and `held-out.jsonl` in `folder`, with at most so many rows each."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / "train.jsonl", folder / "held-out.jsonl"
    for path, part, most in zip(paths, rows(seed=seed), (train, held_out), strict=True):
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in part[:most]]
        path.write_text("".join(lines), encoding="utf-8")
    return paths


def _library() -> Iterator[tuple[str, Row]]:
    """Every usable row, with the top-level module it comes from, in the order of the file names."""
    base = Path(os.__file__).parent
    for path in sorted(base.rglob("*.py")):
        parts = path.relative_to(base).parts
        if not SKIPPED.intersection(parts):
            for docstring in _docstrings(path):
                if row := _row(docstring):
                    yield parts[0].removesuffix(".py"), row


def _docstrings(path: Path) -> Iterator[str]:
    """The docstrings of the functions and classes in the source at `path`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old escapes in the library's strings
        tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield inspect.cleandoc(ast.get_docstring(node) or "")


def _row(docstring: str) -> Row | None:
    """The docstring as document and title; None where it is not a title, an empty line, and a text of fair length."""
    title, _, rest = docstring.partition("\n")
    gap, _, document = rest.partition("\n")
    document = document.strip()
    usable = not gap.strip() and title.endswith(".") and len(title) in TITLE and len(document) in DOCUMENT
    return {"document": document, "title": title} if usable else None


def _draw(seed: int, text: str) -> float:
    """A number in [0, 1) that depends on nothing but `seed` and `text`."""
    digest = hashlib.sha256(f"{seed}:{text}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def main() -> int:
    """Write both files and say what is in them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, help="at most so many rows to train on")
    parser.add_argument("--held-out", type=int, help="at most so many held-out rows")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    for path in write(given.folder, train=given.train, held_out=given.held_out, seed=given.seed):
        print(f"{path}: {sum(1 for _ in path.open())} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
