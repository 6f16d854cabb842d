"""Bad input, and the sentence it gets: the table behind docs/bad-input.md, each row of which a test lets Prepare meet.

What is wrong stands in the modules `bad_input_*`, a chapter or a few in each; what is said of it, word for word, in
tests/data/bad_input.yaml. `bad_input_page.py` writes the page.
"""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from trainer_world import World

SENTENCES = pathlib.Path(__file__).resolve().parents[1] / "data" / "bad_input.yaml"
Change = Callable[[World], object]
SERVERS = {
    "{web}": "http://data.example",
    "{hub}": "https://hub.example",
    "{own hub}": "https://hub.example",
    "{s3}": "http://s3.example",
}
"""Servers as a row writes them, and as the page shows them."""


def talk(asked: Any, answered: Any) -> dict[str, Any]:
    """A row of messages."""
    return {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]}


GOOD = [talk(f"What is {number} plus one?", f"It is {number + 1}.") for number in range(3)]
"""Three rows that are all right; a bad one behind them stands on line 4."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """One way to get it wrong, and what is said about it."""

    wrong: str
    """In a person's words."""
    code: int
    """The exit code."""
    reason: str
    name: str = "train.jsonl"
    """The data file."""
    content: bytes | None = dataclasses.field(default_factory=lambda: jsonl(GOOD))
    """What it holds. None: there is no such file."""
    spec: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Parts of run.json that are others."""
    change: Change | None = None
    """What else is others in the pod."""
    secrets: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)

    @property
    def says(self) -> str:
        """The whole sentence. Names in braces stand for servers of the test."""
        return sentences()[self.wrong]

    @property
    def dataset(self) -> dict[str, Any]:
        """The part of the spec that names the data, as far as the row does not name its own."""
        return {"train": [{"uri": f"pvc://data/{self.name}"}]}

    def filled(self, value: Any, servers: dict[str, str]) -> Any:
        """JSON data with the addresses of servers put in."""
        text = json.dumps(value)
        for name, address in servers.items():
            text = text.replace(name, address)
        return json.loads(text)


@functools.cache
def sentences() -> dict[str, str]:
    """What is wrong -> what is said."""
    found: dict[str, str] = yaml.safe_load(SENTENCES.read_text(encoding="utf-8"))
    return found


def jsonl(rows: list[Any]) -> bytes:
    """Rows as JSONL."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def file(wrong: str, name: str, content: bytes, reason: str) -> Case:
    """A data file that is bad."""
    return Case(wrong=wrong, name=name, content=content, code=64, reason=reason)


def line(wrong: str, content: str | bytes) -> Case:
    """A fourth line of JSONL that is no row."""
    raw = content.encode() if isinstance(content, str) else content
    return file(wrong, "train.jsonl", jsonl(GOOD) + raw, "InvalidRow")


def row(wrong: str, bad: dict[str, Any], reason: str, **more: Any) -> Case:
    """A fourth row that means nothing."""
    return rows(wrong, [*GOOD, bad], reason, **more)


def rows(wrong: str, every: list[Any], reason: str, **more: Any) -> Case:
    """Rows that mean nothing."""
    return Case(wrong=wrong, content=jsonl(every), code=64, reason=reason, **more)


def source(**settings: Any) -> dict[str, Any]:
    """The data source with more settings."""
    return {"dataset": {"train": [{"uri": "pvc://data/train.jsonl", **settings}]}}


def chapters() -> dict[str, list[Case]]:
    """All cases by chapter, in order."""
    import bad_input_adapter  # noqa: PLC0415 - same
    import bad_input_files  # noqa: PLC0415 - they are made of what stands above
    import bad_input_rows  # noqa: PLC0415 - same
    import bad_input_run  # noqa: PLC0415 - same
    import bad_input_storage  # noqa: PLC0415 - same

    return {
        **bad_input_files.CHAPTERS,
        **bad_input_rows.CHAPTERS,
        **bad_input_run.CHAPTERS,
        **bad_input_adapter.CHAPTERS,
        **bad_input_storage.CHAPTERS,
    }


def cases() -> list[Case]:
    """All of them."""
    return [case for chapter in chapters().values() for case in chapter]


def files() -> Iterator[tuple[str, bytes]]:
    """Small data files of all kinds, for the fuzzer to begin with."""
    for case in cases():
        if case.content is not None and len(case.content) < 4096:  # longer ones only slow it down
            yield case.name, case.content
