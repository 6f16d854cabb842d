"""All that a person can read of this project's programs, as one text: `python tests/support/sentences.py` prints it, file by file.

Every text of the three packages' sources with a blank in it, docstrings left out; what is put in stands as `{}`. With it the
lines of report and model card, and the chart's NOTES, admission policies and alerts.
"""

import ast
import functools
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("operator", "trainer-image", "cli")
CHART = ROOT / "charts" / "finetune-operator"
TEMPLATES = ROOT / "trainer-image" / "src" / "finetune_trainer" / "templates"
OF_LINES = (
    TEMPLATES / "report.html.j2",
    TEMPLATES / "README.md.j2",
    CHART / "templates" / "NOTES.txt",
    CHART / "templates" / "admission-policies.yaml",
    CHART / "files" / "alerts.yaml",
)
WORD = re.compile(r"[A-Za-z]{2,}")
FEWEST_WORDS = 3
SYNTAX = re.compile(
    r"self[.)]|oldSelf|\\[spdw(]|\(\?|<!--|\{%|\{\{|^\s*[<.#@]|^(?:from|import) |^(?:curl|vllm|aws) |^[a-z-]+: var"
)
"""CEL, regular expressions, HTML, templates, commands: texts for programs."""

PUT_IN, TAGS = re.compile(r"\{\{.*?\}\}"), re.compile(r"\{%.*?%\}|<[^>]*>|^.*\{ [a-z-]+:.*$")
"""In templates; and styles, which nobody reads."""


class Sentence(NamedTuple):
    """One text."""

    where: str
    """File and line."""
    error: str
    """The class of the error that says it; empty where it is said otherwise."""
    text: str


@functools.cache
def collected() -> tuple[Sentence, ...]:
    """All of them, in the order of files and lines."""
    files = [file for package in PACKAGES for file in sorted((ROOT / package / "src").rglob("*.py"))]
    return (
        *(one for file in files for one in _of_source(file)),
        *(one for file in OF_LINES for one in _of_lines(file)),
    )


def _of_source(file: Path) -> Iterator[Sentence]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    errors = {
        id(given): _name(node) for node in ast.walk(tree) if isinstance(node, ast.Call) for given in node.args
    }
    passed = {id(part) for node in ast.walk(tree) for part in _no_texts(node)}
    found = {}
    for node in ast.walk(tree):
        text = None if id(node) in passed else _text(node)
        if (
            text is not None
            and len(WORD.findall(text)) >= FEWEST_WORDS
            and " " in text
            and not SYNTAX.search(text)
        ):
            line, column = node.lineno, node.col_offset
            found[line, column] = Sentence(
                f"{file.relative_to(ROOT)}:{line}", _error(errors.get(id(node), "")), text
            )
    yield from (found[place] for place in sorted(found))


def _name(call: ast.Call) -> str:
    """The last part of what is called."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


@functools.cache
def _error(name: str) -> str:
    """`name` if it is an error of ours: of a module that holds nothing else, or defined beside its use."""
    return name if name in _classes() else ""


@functools.cache
def _classes() -> frozenset[str]:
    """All errors of ours."""
    files = [*ROOT.glob("*/src/*/errors.py"), *ROOT.glob("*/src/*/errors/__init__.py")]
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in files]
    return frozenset(node.name for tree in trees for node in tree.body if isinstance(node, ast.ClassDef))


def _no_texts(node: ast.AST) -> Iterator[ast.AST]:
    """Docstrings, and the parts of a text that is put together: it is read as a whole."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        yield node.value
    if isinstance(node, ast.JoinedStr):
        for part in node.values:
            yield part
            if isinstance(part, ast.FormattedValue) and part.format_spec is not None:
                yield from ast.walk(part.format_spec)


def _text(node: ast.AST) -> str | None:
    """What a literal says; None where the node is none."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return None


def _of_lines(file: Path) -> Iterator[Sentence]:
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        text = PUT_IN.sub("{}", TAGS.sub("", line)).strip()
        if len(WORD.findall(text)) >= FEWEST_WORDS and " " in text:
            yield Sentence(f"{file.relative_to(ROOT)}:{number}", error="", text=text)


def main() -> None:
    """Print everything, to be read."""
    file = ""
    for where, _, text in collected():
        name, _, line = where.rpartition(":")
        if name != file:
            file = name
            sys.stdout.write(f"\n{file}\n")
        sys.stdout.write(f"{line:>6}  {' '.join(text.split())}\n")


if __name__ == "__main__":
    main()
