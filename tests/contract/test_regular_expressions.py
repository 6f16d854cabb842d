"""Regular expressions that every python 3.11 matches alike: the images have Debian's 3.11.2, a laptop something newer."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    source
    for package in ("operator", "trainer-image", "cli")
    for source in (ROOT / package / "src").rglob("*.py")
)
POSSESSIVE = re.compile(r"(?:[^\\]|\\.)(?:[*+?]|\{\d+(?:,\d*)?\})\+|\(\?>")
"""Possessive quantifiers and atomic groups: python before 3.11.5 takes them and matches wrongly (cpython issue 106052)."""


def expressions(source: Path) -> Iterator[str]:
    """The patterns that `source` hands to `re` as they stand there."""
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("re."):
            yield from (one.value for one in node.args[:1] if isinstance(one, ast.Constant))


@pytest.mark.parametrize("pattern", [r"a++", r"\s*+b", r"(?:ab)?+", r"a{2,}+", r"(?>a+)b"])
def test_possessive_ones_are_recognised(pattern):
    re.compile(pattern)
    assert POSSESSIVE.search(pattern)


def test_none_is_possessive():
    found = [(source.name, one) for source in SOURCES for one in expressions(source)]
    assert len(found) > 20
    assert [one for one in found if POSSESSIVE.search(one[1])] == []
