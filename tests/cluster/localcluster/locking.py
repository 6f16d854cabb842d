"""Two commands that change the same thing take turns."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from localcluster.steps import Steps

Turn = AbstractContextManager[None]


@contextmanager
def turn(file: Path, steps: Steps) -> Iterator[None]:
    """Hold the lock; wait for whoever holds it. The kernel frees it when a holder dies."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            steps.say(f"waiting for another command to finish (pid {holder}, lock {file})")
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
