"""Commands that pages tell a reader to type, and what a page says of those that no test runs.

A shell block is marked `sh`, or begins with a program that readers are told to type. `<!-- not run: REASON -->` above a
block, or `<!-- not run on this page: REASON -->` anywhere in a page, speaks for its commands; `<!-- not run (aws, uv): REASON -->`
for those that begin so.
"""

import pathlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").glob("*/README.md")),
)
PROGRAMS = ("make", "kubectl", "helm", "uv", "aws", "python", "export", "echo", "source", "sed")
BLOCK = re.compile(
    r"(?:<!-- not run(?: \((?P<only>[^)]+)\))?: (?P<why>[^\n]+?) -->\s*\n)?^```(?P<language>\S*)[^\n]*\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
WHOLE_PAGE = re.compile(r"<!-- not run on this page: (?P<why>[^\n]+?) -->")
PROMPT = "$ "


@dataclass(frozen=True)
class Command:
    """One line of a page, as a shell would read it."""

    page: str
    """From the root."""
    line: str
    not_run: str
    """Why no test runs it; empty where one does."""


def found() -> Iterator[Command]:
    """Every command of every page."""
    for page in PAGES:
        text = page.read_text()
        whole = WHOLE_PAGE.search(text)
        for block in BLOCK.finditer(text):
            if block["language"] not in {"", "sh"}:
                continue
            for line in _lines(block["text"]):
                meant = line.startswith(tuple((block["only"] or "").split(", ")))
                why = (block["why"] if meant else "") or (whole["why"] if whole else "")
                yield Command(str(page.relative_to(ROOT)), line, why)


def _lines(text: str) -> list[str]:
    """Commands of a block; none where it is no shell block. Of a block with prompts the rest is output."""
    lines = text.replace("\\\n", " ").splitlines()
    if any(line.startswith(PROMPT) for line in lines):
        return [line.removeprefix(PROMPT) for line in lines if line.startswith(PROMPT)]
    typed = [line for line in lines if line and not line.startswith("#")]
    return typed if typed and typed[0].split()[0] in PROGRAMS else []
