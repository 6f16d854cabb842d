"""One tracker's process: started, asked how it is, and killed. It never ends a run, and nobody waits for it for long."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping

import pydantic

from finetune_trainer import process_tree
from finetune_trainer.supervisor import watch
from finetune_trainer.supervisor.processes import KILL_PAUSE
from finetune_trainer.tracking import assignment
from finetune_trainer.tracking.assignment import Assignment, Finish, Told

PROGRAM = "finetune_trainer.tracking.program"

SILENCE = 120.0
"""Seconds without a sign of life after which it counts as hanging. W&B alone takes up to 90 to find no server."""

REAPING = 1.0
"""Seconds that a killed child may take to be gone; one that waits for a disk takes longer, and is left to the kernel."""

NOT_TAKEN = "the run goes on without it"


class TrackerProcess:
    """A child, and all that it starts itself."""

    def __init__(self, given: Assignment, environment: Mapping[str, str]) -> None:
        """Start it. Raises OSError."""
        self.given = given
        self.title = assignment.TITLES[given.kind]
        given.folder.mkdir(parents=True)
        document = given.folder / "assignment.json"
        assignment.write(document, given)
        # S603: the command is ours. What libraries print is not for the pod's log: their troubles are told in sentences.
        self._child = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", PROGRAM, str(document)],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._heartbeat = watch.Heartbeat(given.told, time.monotonic)

    @property
    def pid(self) -> int:
        """Of the child."""
        return self._child.pid

    def alive(self) -> bool:
        """Whether it is there."""
        return self._child.poll() is None

    def finish(self, finish: Finish) -> None:
        """Say that the run has ended. Raises OSError."""
        assignment.write(self.given.finish, finish)

    def trouble(self) -> str | None:
        """What is wrong, as a sentence; None: nothing."""
        said, silent = self._told(), self._heartbeat.age()
        if said.done:
            return None
        if not self.alive():
            return f"{self.title}: its process has died; {NOT_TAKEN}"
        if silent > SILENCE:
            return f"{self.title}: has not answered for {silent:.0f} s; {NOT_TAKEN}"
        return f"{self.title}: {said.trouble}; {NOT_TAKEN}" if said.trouble else None

    def close(self, *, waited: float) -> str | None:
        """Kill what is left; what it was not told, as a sentence. `waited`: seconds since it was told of the end."""
        said = self._told()
        wrong = None if said.done else self.trouble()
        if self.alive() and not said.done:
            wrong = wrong or (
                f"{self.title}: did not accept all figures within {waited:.0f} s after training, so some are missing there; "
                "metrics.jsonl of the result has them all"
            )
        self._kill()
        return wrong

    def _kill(self) -> None:
        """SIGKILL to all of them; whose parent is dead is ours to reap."""
        below = process_tree.descendants(self.pid) if self.alive() else []
        for pid in (*below, self.pid) if self.alive() else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        until = time.monotonic() + REAPING
        while self.alive() and time.monotonic() < until:
            time.sleep(KILL_PAUSE)
        for pid in below:
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(pid, os.WNOHANG)[0] == 0 and time.monotonic() < until:
                    time.sleep(KILL_PAUSE)

    def _told(self) -> Told:
        try:
            return Told.model_validate_json(self.given.told.read_bytes())
        except (OSError, pydantic.ValidationError):
            return Told()
