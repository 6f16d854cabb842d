"""How things are written: to people in at most the terminal's width, to programs as JSON."""

import json
import sys
from typing import Any

import click
from rich.console import Console, RenderableType

from kubectl_finetune import errors

WIDTH = 80
"""Where nobody says how wide the terminal is."""


def console(*, stderr: bool = False) -> Console:
    """A console of rich's: colours on a terminal alone, 80 columns where the output is piped, nothing read as markup."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def show(*things: RenderableType) -> None:
    """To people."""
    console().print(*things, sep="\n")


def say(sentence: str) -> None:
    """One line, whole however long: somebody may search for it."""
    click.echo(sentence)


def note(sentence: str) -> None:
    """One line beside the output proper."""
    click.echo(sentence, err=True)


def as_json(value: Any) -> None:
    """To programs."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def refuse(error: errors.CliError, *, json_wanted: bool) -> None:
    """Why it ended, on stderr."""
    if json_wanted:
        told = {"reason": type(error).__name__, "message": str(error), "exitCode": error.code}
        click.echo(json.dumps({"error": told}, ensure_ascii=False), err=True)
    else:
        click.echo(f"error: {error}", err=True)


def interactive() -> bool:
    """Whether a person sits there who can be asked."""
    return sys.stdin.isatty() and sys.stdout.isatty()
