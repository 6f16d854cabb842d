"""One stage of the trainer as a process of this machine: started, asked how far it is, told to end, heard out."""

import ctypes
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from finetune_operator.observe import words
from finetune_operator.observe.words import LastWord
from kubectl_finetune import errors, signals
from kubectl_finetune.local import machine
from kubectl_finetune.local.folder import FILE, Folder

LOOK = 0.5
"""Seconds between two looks at the progress document."""
ANSWER = 2.0
LARGEST = 64 * 1024
SIGNALLED = 128
"""An exit code for an end by a signal: this and its number, as shells have it."""
PR_SET_PDEATHSIG = 1
"""prctl(2)."""
FULL = "ScratchFull"
"""The trainer's reason where its scratch disk is: here the disk of this machine, whatever spec.resources say."""
ROOM = 64 * 1024
"""Bytes that a stage needs to end properly."""
KEYS = "on this machine, keys come from --secret NAME=FILE or from its own identity (AWS_ACCESS_KEY_ID, ...)"
Tell = Callable[[dict[str, Any]], object]


def hint(word: LastWord | None) -> str:
    """What is otherwise on this machine than in a pod, of which the trainer's sentence speaks."""
    return f"; {KEYS}" if word and word.reason == "AccessDenied" else ""


def is_available() -> bool:
    """Whether the trainer is installed here."""
    return importlib.util.find_spec("finetune_trainer") is not None


def available() -> None:
    """`Outside` where the trainer is not installed here."""
    if not is_available():
        raise errors.Outside(
            "the trainer is not installed here; install it from a checkout of this project: uv tool install './cli[local]'"
        )


def run(
    folder: Folder, stage: str, *more: str, tell: Tell, held: Sequence[int] = ()
) -> tuple[int, LastWord | None]:
    """Run `stage` to its end; its exit code and its last word. `tell` hears each progress document.

    `held`: file descriptors that it shall hold as well. Ctrl-C is passed on as SIGTERM, upon which the trainer saves a
    checkpoint; a second one ends it at once.
    """
    available()
    log, attempt = folder.log(stage)
    folder.last_word.unlink(missing_ok=True)
    port = machine.free_port()
    command = [
        *(
            sys.executable,
            "-m",
            "finetune_trainer",
            stage,
            "--run",
            str(folder.run),
            "--attempt",
            str(attempt),
        ),
        *("--layout-root", str(folder.pod), "--port", str(port), *more),
    ]
    with log.open("wb") as written, signals.as_ctrl_c():
        process = subprocess.Popen(  # noqa: S603 - ours
            command,
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=held,
            preexec_fn=_end_with_parent,  # noqa: PLW1509 - this program has one thread
        )
        try:
            _follow(process, port, tell)
        except KeyboardInterrupt:
            _stop(process)
        except BaseException:  # whoever told of it cannot any more: a pipe is closed, a disk is full
            _stop(process)
            raise
    if process.returncode == -signal.SIGKILL:
        raise errors.StageEnded(
            "the stage was killed, as a rule because this machine had too little memory; lower spec.training.maxLength, or use a "
            "smaller model",
            code=errors.Exit.MEMORY,
        )
    code = process.returncode
    return (SIGNALLED - code if code < 0 else code), folder.said()


def check_disk(folder: Folder, code: int, word: LastWord | None) -> None:
    """`DiskFull` where a stage ended for that: it says so, or has found no room to say anything."""
    if code == 0:
        return
    output = str(json.loads(folder.run.read_text(encoding="utf-8"))["output"]["uri"])
    places = [folder.root, *([Path(output.removeprefix(FILE))] if output.startswith(FILE) else [])]
    for place in places:
        check_room(place)
    if word and word.reason == FULL:
        raise _full(folder.root)


def check_room(place: Path) -> None:
    """`DiskFull` where not even a last word would find room."""
    if place.exists() and shutil.disk_usage(place).free < ROOM:
        raise _full(place)


def _full(place: Path) -> errors.DiskFull:
    return errors.DiskFull(
        f"the disk is full at {place}; make room and run the same command again, or name another place"
    )


def _follow(process: "subprocess.Popen[bytes]", port: int, tell: Tell) -> None:
    while process.poll() is None:
        if (told := _progress(port)) is not None:
            tell(told)
        time.sleep(LOOK)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """As the kubelet does: SIGTERM, time to save, and SIGKILL for whoever does not want to wait."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait()
    except KeyboardInterrupt as again:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise errors.Stopped(
            "ended at once, and what was not saved is lost; the same command goes on from the last checkpoint"
        ) from again


def _end_with_parent() -> None:
    """In the stage's process: SIGTERM where this program is killed itself. Linux alone has a call for that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _progress(port: int) -> dict[str, Any] | None:
    """The progress document, or None where there is none yet."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/progress", timeout=ANSWER) as answer:
            return words.progress(answer.read(LARGEST))
    except (OSError, urllib.error.URLError):
        return None
