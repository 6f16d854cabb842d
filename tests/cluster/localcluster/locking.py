"""Two commands that change the cluster take turns."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from localcluster.steps import Steps


@contextmanager
def turn(file: Path, steps: Steps) -> Iterator[None]:
    """Hold the lock; wait for whoever holds it. The kernel frees it when a holder dies."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            steps.say(f"waiting for another command to finish (pid {lock.read().strip() or 'unknown'}, lock {file})")
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
