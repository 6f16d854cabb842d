"""A process that helps this one: told over a pipe, and gone when this one wants no more of it.

Helpers are started, never forked: a fork of a process with threads (tokenizers, pyarrow) can hang.
"""

import os
import pickle
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.connection import Connection
from typing import Any, Self, TypeVar

from finetune_trainer import errors

ENVIRONMENT = {"TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}
"""One thread a helper: there are as many as there are CPUs."""

Made = TypeVar("Made")


@dataclass(frozen=True)
class Failure:
    """An exception on its way to another process."""

    error: Exception
    trace: str
    """Where it was raised."""


@dataclass
class Helper:
    """The other process, seen from the one that started it."""

    process: subprocess.Popen[bytes]
    pipe: Connection
    does: str
    """What it is there for, as a sentence tells it: "reads data"."""

    @classmethod
    def start(cls, program: str, *arguments: str, does: str) -> Self:
        """Run `program`; its first argument is the descriptor of its end of the pipe, `arguments` follow.

        It is imported and not run as a module: what it sends back must have the names that this process knows.
        """
        ours, theirs = connection.Pipe()
        command = [sys.executable, "-c", program, str(theirs.fileno()), *arguments]
        with theirs:
            process = subprocess.Popen(  # noqa: S603 - our own module
                command,
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                env={**os.environ, **ENVIRONMENT},
            )
        return cls(process, ours, does)

    def send(self, said: Any) -> None:
        """Tell it something. Raises `WorkerDied`."""
        try:
            self.pipe.send(said)
        except OSError as error:
            raise self._died() from error

    def receive(self) -> Any:
        """Wait for its next word, which may be a `Failure`. Raises `WorkerDied`."""
        try:
            return self.pipe.recv()
        except (EOFError, OSError) as error:
            raise self._died() from error

    def stop(self) -> None:
        """End it, whatever it does."""
        self.pipe.close()
        self.process.kill()
        self.process.wait()

    def _died(self) -> errors.WorkerDied:
        """The error for a process that is gone."""
        code = self.process.wait()
        if code == -signal.SIGKILL:
            return errors.WorkerDied(
                f"a process that {self.does} was killed (SIGKILL), most likely because memory ran out; raise "
                "spec.resources.prepare.memory"
            )
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        return errors.WorkerDied(f"a process that {self.does} {how}; see the pod's log")


def tried(work: Callable[[], Made]) -> Made | Failure:
    """What `work` makes, or how it failed: the helper's answer."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - the process that asked decides what to make of it
        return Failure(_portable(error), traceback.format_exc())


def answered(found: Made | Failure) -> Made:
    """What a helper made. Raises what it failed at; with its traceback in the log where that is none of our errors."""
    if isinstance(found, Failure):
        if not isinstance(found.error, errors.TrainerError):
            print(found.trace, file=sys.stderr, flush=True)  # noqa: T201 - the pod's log
        raise found.error
    return found


def _portable(error: Exception) -> Exception:
    """`error`, or what it says where it cannot be pickled."""
    try:
        same = type(pickle.loads(pickle.dumps(error))) is type(error)  # noqa: S301 - pickled right here
    except Exception:  # noqa: BLE001 - exceptions may hold anything
        same = False
    return error if same else RuntimeError(f"{type(error).__name__}: {error}")
