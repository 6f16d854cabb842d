"""For all tests."""

import signal


def pytest_configure() -> None:
    """A shell that starts tests in the background has them ignore Ctrl-C, and every process they start: some are stopped so."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
