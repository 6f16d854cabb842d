"""Alpaca rows from real text: the paragraphs of Python's language reference and the headings they stand under.

    python examples/alpaca/make_data.py FOLDER        writes python-reference.jsonl

200 good rows, 50 of them without an input, and 30 as scraped files have them: empty, copied, nearly copied, short,
repetitive, rude. They are mixed by a fixed seed. The text is `pydoc_data.topics`, which comes with Python.
"""

import json
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics

Row = dict[str, str]

FILE = "python-reference.jsonl"
WITHOUT_INPUT, WITH_INPUT = 50, 150
CHARACTERS = range(150, 601)
"""Of a usable paragraph."""
ASKED = "Under which heading of Python's language reference does this paragraph stand?"


def good() -> list[Row]:
    """200 rows: sections begun from their heading alone, and headings found for a paragraph."""
    begun: dict[str, Row] = {}
    found: dict[str, Row] = {}
    for heading, paragraph in sorted(set(_paragraphs())):
        if heading not in begun:
            asked = f"Begin the section {heading} of Python's language reference."
            begun[heading] = {"instruction": asked, "input": "", "output": paragraph}
        elif paragraph not in found:
            found[paragraph] = {"instruction": ASKED, "input": paragraph, "output": heading}
    return [*begun.values()][:WITHOUT_INPUT] + [*found.values()][:WITH_INPUT]


def bad(rows: list[Row]) -> list[Row]:
    """30 rows that nobody wants to learn from, made from good ones."""
    with_input = [row for row in rows if row["input"]]
    return [
        *({**row, "output": ""} for row in with_input[:6]),
        *({**row, "instruction": " ", "input": ""} for row in rows[:2]),
        *(dict(row) for row in with_input[10:18]),
        *({**row, "input": row["input"].removesuffix(".") + ", so they say."} for row in with_input[20:25]),
        *({"instruction": asked, "input": "", "output": "OK."} for asked in ("Go on.", "Hi!", "More?")),
        *({**row, "output": "Look it up. " * 20} for row in rows[30:33]),
        *({**row, "output": f"Only an idiot asks. {row['output']}"} for row in rows[40:43]),
    ]


def _paragraphs() -> Iterator[tuple[str, str]]:
    """Heading and paragraph, on one line each."""
    for text in topics.values():
        heading = text.strip().splitlines()[0]
        for block in re.split(r"\n[ ]*\n", text):
            paragraph = " ".join(block.split())
            prose = block[:1].isupper() and paragraph.endswith(".")
            if prose and len(paragraph) in CHARACTERS:
                yield heading, paragraph


def main(folder: str) -> None:
    """Write the file and say what is in it."""
    rows = good()
    rows += bad(rows)
    random.Random(0).shuffle(rows)  # noqa: S311  the order of rows
    file = Path(folder) / FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    print(f"{file}: {len(rows)} rows")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else ".")
