"""Conversations from real text: the interactive sessions in the docstrings of Python's standard library.

    python examples/multi-turn-chat/make_data.py FOLDER        writes single.jsonl and multi.jsonl

What a session types is the user's turn, what Python printed the assistant's. One docstring becomes either one conversation
of several turns (`messages`) or single questions (`instruction`, `output`), never both.
"""

import ast
import doctest
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

Exchange = tuple[str, str]

SYSTEM = "You are a Python interpreter. You answer with what Python prints, and with nothing else."
MODULES = (
    "_pydecimal",
    "statistics",
    "difflib",
    "fractions",
    "datetime",
    "ipaddress",
    "heapq",
    "textwrap",
    "enum",
)
SINGLE, MULTI = 80, 60
LONGEST = 6
"""Exchanges of one conversation."""


def sessions() -> Iterator[list[Exchange]]:
    """What is typed and what is printed, docstring by docstring."""
    parser = doctest.DocTestParser()
    for module in MODULES:
        tree = ast.parse((Path(os.__file__).parent / f"{module}.py").read_bytes())
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                found = list(_exchanges(parser.get_examples(ast.get_docstring(node) or "")))
                if found:
                    yield found


def _exchanges(examples: list[doctest.Example]) -> Iterator[Exchange]:
    """Lines that print nothing are typed together with the next one that does."""
    typed = ""
    for example in examples:
        typed += example.source
        if example.want.strip():
            yield typed.strip(), example.want.strip()
            typed = ""


def single(found: list[list[Exchange]]) -> list[dict[str, str]]:
    """Questions of one line: what stood before them is not needed."""
    alone = {typed: printed for session in found for typed, printed in session if "\n" not in typed}
    rows = [{"system": SYSTEM, "instruction": typed, "output": alone[typed]} for typed in alone]
    return rows[:SINGLE]


def multi(found: list[list[Exchange]]) -> list[dict[str, list[dict[str, str]]]]:
    """Conversations of two to six exchanges."""
    rows = []
    for session in found:
        messages = [{"role": "system", "content": SYSTEM}]
        for typed, printed in session[:LONGEST]:
            messages += [{"role": "user", "content": typed}, {"role": "assistant", "content": printed}]
        rows.append({"messages": messages})
    return rows


def main(folder: str) -> None:
    """Write both files and say what is in them."""
    found = list(sessions())
    talks = [session for session in found if len(session) > 1][:MULTI]
    rest = [session for session in found if session not in talks]
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, rows in (("single.jsonl", single(rest)), ("multi.jsonl", multi(talks))):
        file = Path(folder) / name
        file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        print(f"{file}: {len(rows)} rows")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else ".")
