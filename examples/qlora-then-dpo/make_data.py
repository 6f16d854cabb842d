"""Answers and preferences from real text: what Python's standard library says about its own functions.

    python examples/qlora-then-dpo/make_data.py FOLDER        writes answers.jsonl and pairs.jsonl

SFT learns what the functions do. The preference is brevity: of two true answers, the first sentence of a docstring is the
better one and all of it the worse. No function stands in both files.
"""

import importlib
import inspect
import json
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

MODULES = """
    argparse ast asyncio base64 bdb bisect calendar cmd codecs collections configparser contextlib
    copy csv datetime decimal difflib dis email.message fileinput fractions ftplib functools gettext
    heapq html.parser http.client http.cookiejar imaplib inspect io ipaddress json locale logging
    mailbox multiprocessing.managers numbers optparse os pathlib pdb pickle pickletools pkgutil
    platform poplib pprint queue random shutil smtplib socket socketserver statistics string
    subprocess tarfile tempfile textwrap threading trace traceback types typing unittest.case
    unittest.mock urllib.parse urllib.request uuid weakref wsgiref.handlers xml.dom.minidom
    xml.etree.ElementTree xmlrpc.client zipfile
""".split()  # noqa: SIM905  seventy names
SYSTEM = "You know Python's standard library, and answer briefly."
ANSWERS, PAIRS = 100, 220
SUMMARY, WHOLE = range(20, 121), range(160, 801)
"""Characters of a usable first sentence, and of a usable docstring."""


def documented() -> dict[str, tuple[str, str]]:
    """Functions by name, with the first sentence of their docstring and all of it; no sentence twice."""
    found: dict[str, tuple[str, str]] = {}
    sentences: set[str] = set()
    for name, text in _docstrings():
        summary, _, rest = text.partition("\n\n")
        usable = rest and summary.endswith(".") and len(summary) in SUMMARY and len(text) in WHOLE
        if usable and "\n" not in summary and summary not in sentences:
            sentences.add(summary)
            found[name] = (summary, text)
    return found


def _docstrings() -> Iterator[tuple[str, str]]:
    """Public functions and methods of the modules, by their dotted names."""
    for name in MODULES:
        module = importlib.import_module(name)
        classes = [
            one
            for one in vars(module).values()
            if inspect.isclass(one) and one.__module__ == name and one.__name__[0] != "_"
        ]
        for owner in (module, *classes):
            for function in vars(owner).values():
                if inspect.isfunction(function) and not function.__name__.startswith("_"):
                    yield f"{name}.{function.__qualname__}", inspect.getdoc(function) or ""


def main(folder: str) -> None:
    """Write both files and say what is in them."""
    found = documented()
    names = sorted(found, key=lambda name: sha256(name.encode()).digest())
    answers = [{"prompt": f"What does {name} do?", "completion": found[name][1]} for name in names[PAIRS:]]
    pairs = [
        {
            "system": SYSTEM,
            "question": f"What does {name} do?",
            "chosen": found[name][0],
            "rejected": found[name][1],
        }
        for name in names[:PAIRS]
    ]
    Path(folder).mkdir(parents=True, exist_ok=True)
    for file_name, rows in (("answers.jsonl", answers[:ANSWERS]), ("pairs.jsonl", pairs)):
        file = Path(folder) / file_name
        file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        print(f"{file}: {len(rows)} rows")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else ".")
