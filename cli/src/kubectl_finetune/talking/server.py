"""A server that runs somewhere, as `chat` and `serve` hold it, and how long it may take to be ready."""

import time
from typing import Protocol

from kubectl_finetune import screen
from kubectl_finetune.talking.client import Client

LOOK = 0.5
"""Seconds between two looks."""


class Server(Protocol):
    """One of them. It lasts as long as the context that made it."""

    name: str
    """The tuned model's."""
    host: str
    """Of this machine, where it is reached."""

    @property
    def port(self) -> int:
        """The same."""

    def check(self) -> None:
        """Raise why it has gone, if it has; reach it again, if only the way to it has broken."""


def ready(server: Server) -> Client:
    """Wait until `server` answers, and tell what it does before. Raises why it never will."""
    client, said = Client(server.host, server.port, server.name), None
    while True:
        server.check()
        try:
            waits_for = client.waits_for()
        except OSError:
            waits_for = said  # not listening yet
        else:
            if waits_for is None:
                return client
        if waits_for and _what(waits_for) != _what(said):
            screen.note(f"{waits_for} ...")
        said = waits_for
        time.sleep(LOOK)


def _what(waits_for: str | None) -> str:
    """Without how far it is: one line a step."""
    return (waits_for or "").partition(":")[0]


def until_ctrl_c(server: Server) -> None:
    """Look after `server` for as long as it is wanted."""
    while True:
        server.check()
        time.sleep(LOOK)
