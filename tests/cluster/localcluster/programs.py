"""Other programs, run to their end."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from localcluster.errors import ClusterError

TAIL = 25  # lines of a failed program's output worth showing


def run(
    *argv: str | Path,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    log: Path | None = None,
    advice: str = "",
) -> str:
    """Standard output of a program that succeeded. With `log` both outputs go to that file instead."""
    command = [str(word) for word in argv]
    try:
        if log is None:
            done = subprocess.run(
                command,
                env=environ,
                cwd=cwd,
                capture_output=True,
                text=True,
                check=False,
                stdin=subprocess.DEVNULL,
            )
            output = done.stdout + done.stderr
        else:
            with log.open("a") as file:
                file.write(f"$ {' '.join(command)}\n")
                file.flush()
                done = subprocess.run(
                    command,
                    env=environ,
                    cwd=cwd,
                    stdout=file,
                    stderr=file,
                    text=True,
                    check=False,
                    stdin=subprocess.DEVNULL,
                )
            output = last_lines(log)
    except FileNotFoundError:
        message = f"the program {command[0]} is missing; `up` as root on Debian installs what is needed"
        raise ClusterError(message) from None
    if done.returncode != 0:
        raise ClusterError(complaint(command, done.returncode, output, log, advice))
    return done.stdout or ""


def succeeds(*argv: str | Path) -> bool:
    """Whether a program ends well; what it prints is of no interest."""
    return (
        subprocess.run(
            [str(word) for word in argv], capture_output=True, check=False, stdin=subprocess.DEVNULL
        ).returncode
        == 0
    )


def complaint(command: Sequence[str], code: int, output: str, log: Path | None, advice: str) -> str:
    """What a person needs when a program has failed: which one, its last words, and what to do."""
    tail = "\n".join(f"    {line}" for line in output.splitlines()[-TAIL:])
    where = f"\n  whole log: {log}" if log else ""
    return f"{' '.join(command[:6])} ended with exit code {code}:\n{tail}{where}" + (
        f"\n  {advice}" if advice else ""
    )


def last_lines(file: Path, count: int = TAIL) -> str:
    """The end of a text file, or nothing if there is none."""
    if not file.exists():
        return ""
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - 64 * 1024))
        return "\n".join(stream.read().decode(errors="replace").splitlines()[-count:])


def missing(names: Sequence[str]) -> list[str]:
    """Those of the programs that are not on the search path."""
    return [name for name in names if shutil.which(name) is None]
