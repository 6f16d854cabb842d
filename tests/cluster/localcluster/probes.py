"""How to tell from outside that a daemon works."""

import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable

# Health pages only, on certificates that the daemons made for themselves: nothing secret is sent.
UNVERIFIED = ssl._create_unverified_context()  # noqa: S323


def page(url: str, timeout: float = 2) -> Callable[[], bool]:
    """Ready when the page answers with a 2xx code."""

    def ready() -> bool:
        try:
            # A proxy from the environment must not be asked for an address inside this machine.
            handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=UNVERIFIED))
            with urllib.request.build_opener(*handlers).open(url, timeout=timeout) as answer:
                return bool(answer.status < 300)
        except OSError:
            return False

    return ready


def port(address: str, number: int) -> Callable[[], bool]:
    """Ready when a connection is accepted."""

    def ready() -> bool:
        try:
            socket.create_connection((address, number), timeout=1).close()
        except OSError:
            return False
        return True

    return ready


def unix_socket(path: str) -> Callable[[], bool]:
    """Ready when something listens at the path."""

    def ready() -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(path)
            except OSError:
                return False
            return True

    return ready
