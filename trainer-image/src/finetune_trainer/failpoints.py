"""Faults on purpose, for tests alone: named moments of a run, and what goes wrong there. docs/failpoints.md.

They are armed by an environment variable of the supervisor, which no field of a FineTuneJob reaches; unarmed, a moment costs
a look at an empty tuple.
"""

import errno
import os
import signal
import time
from collections.abc import Mapping
from typing import Literal

import pydantic

from finetune_trainer import config, errors, process_tree

VARIABLE = "FINETUNE_FAILPOINTS"
"""A JSON list of failpoints."""

POD = "FINETUNE_FAILPOINTS_POD"
"""The supervisor's pid, for its ranks."""

PAUSE = 1.0
"""Seconds that the process waits after it had the pod told to end: the signal arrives at the named moment, not after it."""

Moment = Literal[
    "Fetch", "Read", "Tokenise", "Load", "EvaluateBase", "Train", "Evaluate", "Publish",  # a stage begins
    "Step",  # an optimiser step begins
    "Measure",  # held-out loss is measured in the middle of training
    "Checkpoint",  # all ranks have written a checkpoint, none has set it apart
    "Upload",  # a checkpoint is half sent
    "Send",  # the result is half sent
]  # fmt: skip

Fault = Literal["OutOfMemory", "DiskFull", "Hang", "Wait", "Kill", "KillPod", "Terminate"]


class Failpoint(config.Value):
    """One fault."""

    at: Moment
    do: Fault
    step: int | None = None
    """The step that is being made, from 1. None: any."""
    rank: int = 0
    """Who it happens to; the supervisor counts as 0."""
    attempt: int | None = None
    """The attempt it happens in. None: every one."""
    seconds: float = PAUSE
    """Wait: so long."""
    above: int = 0
    """OutOfMemory: only where a forward pass has more sequences than this."""


TABLE = pydantic.TypeAdapter(tuple[Failpoint, ...])


class Failpoints:
    """What is armed in this process."""

    def __init__(self) -> None:
        self._armed: tuple[Failpoint, ...] = ()
        self._pod = os.getpid()

    def arm(self, environment: Mapping[str, str], *, attempt: int, rank: int = 0) -> None:
        """Take from `environment` what concerns this process. Raises `InternalError` for what cannot be read."""
        try:
            told = TABLE.validate_json(environment.get(VARIABLE) or "[]")
        except ValueError as error:
            raise errors.InternalError(f"{VARIABLE} cannot be read: {error}") from error
        self._armed = tuple(one for one in told if one.rank == rank and one.attempt in {None, attempt})
        self._pod = int(environment.get(POD) or os.getpid())

    @property
    def armed(self) -> bool:
        """Whether anything may go wrong on purpose."""
        return bool(self._armed)

    def reach(
        self,
        moment: str,
        *,
        step: int | None = None,
        sequences: int | None = None,
        memory_error: type[Exception] = MemoryError,
    ) -> None:
        """A moment has come. `sequences`: of the forward pass, which `memory_error` would end; None where there is none."""
        for one in self._armed:
            needs_pass = one.do == "OutOfMemory"
            if (
                one.at == moment
                and one.step in {None, step}
                and needs_pass == (sequences is not None)
                and (sequences is None or sequences > one.above)
            ):
                print(f"failpoint: {one.do} at {moment} {step or ''}", flush=True)  # noqa: T201 - the pod's log
                if needs_pass:
                    raise memory_error(
                        "CUDA out of memory. Tried to allocate more than there is (a failpoint)."
                    )
                self._do(one.do, one.seconds)

    def _do(self, fault: Fault, seconds: float) -> None:
        if fault == "Wait":
            time.sleep(seconds)
        elif fault == "DiskFull":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        elif fault == "Hang":
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # as in a library that never returns
            while True:
                time.sleep(60)
        elif fault == "Kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif fault == "KillPod":
            _kill_all(self._pod)
        else:
            os.kill(self._pod, signal.SIGTERM)
            time.sleep(PAUSE)


FAILPOINTS = Failpoints()
"""This process's."""

arm = FAILPOINTS.arm
reach = FAILPOINTS.reach


def passed_on(environment: Mapping[str, str]) -> dict[str, str]:
    """What the supervisor's ranks must see of `environment`."""
    if not environment.get(VARIABLE):
        return {}
    return {VARIABLE: environment[VARIABLE], POD: str(os.getpid())}


def _kill_all(pod: int) -> None:
    """SIGKILL to everything, as when a machine dies; oneself last. A container's own PID 1 is beyond this reach."""
    others = [pid for pid in [pod, *process_tree.descendants(pod)] if pid != os.getpid()]
    for pid in [*others, os.getpid()]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
