"""How things are written: to people in at most the terminal's width, to programs as JSON."""

import json
import sys
from typing import Any, ClassVar

import click
from rich import markdown
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table

from kubectl_finetune import errors
from kubectl_finetune.views import lines

WIDTH = 80
"""Where nobody says how wide the terminal is."""


class _WholeTable(markdown.TableElement):
    """A table of a document with nothing cut: what is too long for its column goes on in the next line."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for made in super().__rich_console__(console, options):
            for column in made.columns if isinstance(made, Table) else ():
                column.overflow = "fold"
            yield made


class _Document(markdown.Markdown):
    elements: ClassVar = {**markdown.Markdown.elements, "table_open": _WholeTable}


def console(*, stderr: bool = False) -> Console:
    """A console of rich's: colours on a terminal alone, 80 columns where the output is piped, nothing read as markup."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def show(*things: RenderableType) -> None:
    """To people."""
    console().print(*things, sep="\n")


def document(text: str) -> None:
    """Markdown: drawn on a terminal, as it stands in a pipe."""
    if console().is_terminal:
        console().print(_Document(text))
    else:
        say(text)


def say(sentence: str) -> None:
    """One line, whole however long: somebody may search for it."""
    click.echo(sentence)


def note(sentence: str) -> None:
    """A sentence beside the output proper: one line, on a terminal as many as it takes."""
    _sentence(sentence)


def _sentence(sentence: str, *, label: str = "") -> None:
    """On stderr. Each line of `sentence` is a sentence of its own."""
    beside = console(stderr=True)
    for line in sentence.splitlines():
        if beside.is_terminal:
            wrapped = lines.broken(f"{label}{line.strip()}", width=beside.width, indent=len(label))
            click.echo("\n".join(wrapped), err=True)
        else:
            click.echo(f"{label}{line.strip()}", err=True)
        label = " " * len(label)


def as_json(value: Any) -> None:
    """To programs."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def refuse(error: errors.CliError, *, json_wanted: bool) -> None:
    """Why it ended, on stderr."""
    if json_wanted:
        told = {"reason": type(error).__name__, "message": str(error), "exitCode": error.code}
        click.echo(json.dumps({"error": told}, ensure_ascii=False), err=True)
    else:
        _sentence(str(error), label="error: ")


def interactive() -> bool:
    """Whether a person sits there who can be asked."""
    return sys.stdin.isatty() and sys.stdout.isatty()
