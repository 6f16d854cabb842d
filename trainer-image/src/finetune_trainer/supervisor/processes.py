"""The rank, or the launcher of several, and every process below: started, signalled, killed and reaped.

As PID 1 of the pod we inherit whatever loses its parent: where a launcher dies at once, its rank, which is still saving,
becomes ours. Where we are not PID 1 (tests, a run by hand) the kernel is asked for the same.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Self

from finetune_trainer import process_tree

PR_SET_CHILD_SUBREAPER = 36
"""linux/prctl.h"""

KILL_PAUSE = 0.05
"""Seconds between two looks for survivors."""

Beside = Callable[[], Collection[int]]
"""Pids of children that are none of the gang: nobody waits for them, and whoever started them ends them."""


def nobody() -> Collection[int]:
    """All are of the gang."""
    return ()


class Processes:
    """The gang of one pod. Only one may exist in a process: it reaps every child."""

    def __init__(self, launcher: int, beside: Beside = nobody) -> None:
        self._launcher = launcher
        self._beside = beside
        self.exits: dict[int, int] = {}
        """pid -> exit code as a shell tells it (128 + signal), of all children that are gone."""

    @classmethod
    def start(
        cls, command: Sequence[str], environment: Mapping[str, str], *, beside: Beside = nobody
    ) -> Self:
        """Start `command` in a session of its own, so that a signal to its group does not reach us."""
        _inherit_orphans()
        # S603: the command is ours. Output passes through to the pod's log.
        child = subprocess.Popen(  # noqa: S603
            command, env=dict(environment), stdin=subprocess.DEVNULL, start_new_session=True
        )
        child.returncode = 0  # Popen must not wait for it: reap() does, for all children alike
        return cls(child.pid, beside)

    def alive(self) -> bool:
        """Whether any process is left; collects those that are not."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return not self._beside() or bool(self._left())
            code = os.waitstatus_to_exitcode(status)
            if pid not in self._beside():
                self.exits[pid] = code if code >= 0 else 128 - code

    @property
    def launched(self) -> bool:
        """Whether the launcher is still there."""
        return self._launcher not in self.exits

    def interrupt(self) -> None:
        """SIGTERM to the rank, or to the launcher: torchrun forwards it.

        Orphans of the launcher are told as well: their group outlives it.
        """
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._launcher, signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL everything, level by level: whose parent dies becomes our child, and is seen in the next round."""
        while self.alive():
            for pid in self._left():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(KILL_PAUSE)

    def _left(self) -> list[int]:
        """Children that are of the gang."""
        beside = self._beside()
        return [pid for pid in process_tree.children(os.getpid()) if pid not in beside]


def _inherit_orphans() -> None:
    """Become the parent of every descendant that loses its own, as PID 1 is anyway."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
