"""docs/bad-input.md: the table of bad input. `python tests/support/bad_input_page.py` writes it; a test holds it to the table."""

import pathlib

import bad_input
from bad_input import Case

PATH = pathlib.Path(__file__).resolve().parents[2] / "docs" / "bad-input.md"

HEAD = """\
# Bad input

What can be wrong with data, model or spec, and what Prepare says of it, before a GPU is asked for. Each row is a test: Prepare
meets that very input, and must end with this exit code, this [reason](reasons.md) and this sentence, word for word. Codes: 64
change the spec or the data, 69 something outside is not there yet and is tried again, 77 access denied
([contract](contract.md#4-exit-codes-and-the-last-word)).

A sentence begins with the field of the spec, or with the file and the line or row, counted from 1. It quotes a little of the text
around the spot, is one line of at most 1,200 characters, and shows control characters as escapes. Any other bytes end in rows or in
such a sentence too: the readers are fuzzed (`make fuzz`).

Written by `python tests/support/bad_input_page.py` from `tests/support/bad_input*.py` and `tests/data/bad_input.yaml`.
"""
SCRIPT = str.maketrans({"|": "\\|", "<": "&lt;", "`": "\\`", "*": "\\*", "_": "\\_", "\\": "\\\\"})
"""Characters that Markdown would obey."""


def text() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(_chapter(name, cases) for name, cases in bad_input.chapters().items())])


def _chapter(name: str, cases: list[Case]) -> str:
    lines = ["| what is wrong | code | reason | what is said |", "|---|---|---|---|"]
    lines += [f"| {case.wrong} | {case.code} | `{case.reason}` | {_shown(case.says)} |" for case in cases]
    return "\n".join([f"## {name}", "", *lines, ""])


def _shown(sentence: str) -> str:
    """A sentence for a cell of the table, with addresses in place of the test's servers."""
    for name, address in bad_input.SERVERS.items():
        sentence = sentence.replace(name, address)
    return sentence.translate(SCRIPT)


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
