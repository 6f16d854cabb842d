"""Ends that come from outside."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

ENDS = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def as_ctrl_c() -> Iterator[None]:
    """SIGTERM, and the terminal that is closed, are heard as Ctrl-C is: whoever ends this program leaves nothing behind."""
    if threading.current_thread() is not threading.main_thread():  # only that one is told of signals
        yield
        return
    before = {one: signal.signal(one, _interrupt) for one in ENDS}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
