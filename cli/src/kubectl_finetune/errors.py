"""What can go wrong at the terminal, as a person reads it and as a script sees it.

    CliError
    ├── JobFailed            1   the job that was watched has failed
    ├── Mistake              64  the job, a flag or a file says something that cannot be
    ├── NotThere             66  no such job, file or pod
    ├── Outside              69  the cluster, a bucket or a program that is needed does not answer
    ├── DiskFull             74
    ├── NotYet               75  the job has not got that far; or was interrupted, and goes on when run again
    ├── Denied               77  you may not do that
    ├── Stopped              130 Ctrl-C
    └── StageEnded           *   a stage of the trainer on this machine ended with this code (docs/contract.md, section 4)

Codes are sysexits', and those of the trainer where it has one for the same thing.
"""

from enum import IntEnum
from typing import ClassVar, Self


class Exit(IntEnum):
    """An exit code, and what it means."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> Self:
        """A number that carries its meaning."""
        one = int.__new__(cls, code)
        one._value_ = code
        one.meaning = meaning
        return one

    DONE = 0, "done"
    JOB_FAILED = 1, "the job that was watched has failed"
    USAGE = 2, "the command line itself is wrong"
    MISTAKE = 64, "the job, its data or a flag must be changed; the sentence names the field or line"
    GATE = 65, "the evaluation gate was not met (a run on this machine)"
    NOT_THERE = 66, "there is no such job, file or pod"
    OUTSIDE = 69, "the cluster, the bucket, the Hub or a program that is needed does not answer"
    BUG = 70, "a bug in kubectl finetune; please report it"
    DISK = 74, "the disk is full"
    NOT_YET = 75, "the job has not got that far yet; or it was interrupted, and goes on when run again"
    DENIED = 77, "you, or the keys that were given, may not do that"
    MEMORY = 86, "there was too little memory (a run on this machine)"
    STOPPED = 130, "stopped by Ctrl-C"
    UNREAD = 141, "whoever read the output has gone"


class CliError(Exception):
    """`str(error)` is the sentence that is shown: what is wrong, and what to do."""

    exit_code: ClassVar[int] = Exit.BUG

    @property
    def code(self) -> int:
        """What the program ends with."""
        return int(self.exit_code)


class JobFailed(CliError):
    """The job has ended, and not well."""

    exit_code = Exit.JOB_FAILED


class Mistake(CliError):
    """Something that was written must be written differently."""

    exit_code = Exit.MISTAKE


class NotThere(CliError):
    """Something that was named does not exist."""

    exit_code = Exit.NOT_THERE


class Outside(CliError):
    """Somebody does not answer, or is not installed."""

    exit_code = Exit.OUTSIDE


class DiskFull(CliError):
    """Nothing more can be written."""

    exit_code = Exit.DISK


class NotYet(CliError):
    """Too early; the same command works later."""

    exit_code = Exit.NOT_YET


class Denied(CliError):
    """The user's rights do not suffice."""

    exit_code = Exit.DENIED


class Stopped(CliError):
    """Ctrl-C."""

    exit_code = Exit.STOPPED


class StageEnded(CliError):
    """A stage on this machine ended with another code than 0."""

    def __init__(self, sentence: str, *, code: int) -> None:
        super().__init__(sentence)
        self._code = code

    @property
    def code(self) -> int:
        """The trainer's own."""
        return self._code
