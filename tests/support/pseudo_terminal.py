"""A program at a terminal of 80 x 24, as a person sits at it: the kernel's pseudo-terminal, with signals by its keys."""

import asyncio
import fcntl
import os
import pty
import re
import signal
import struct
import sys
import termios

import pyte

import terminal

COLUMNS, ROWS = 80, 24
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
HIDDEN, SHOWN = "\x1b[?25l", "\x1b[?25h"
"""What hides the cursor, and what shows it again."""
CTRL_C, CTRL_D = "\x03", "\x04"


class Seated:
    """`kubectl finetune WORDS` at a terminal; begun at once."""

    def __init__(self, shell: terminal.Terminal, *words: str, **variables: str) -> None:
        self.wrote = ""
        """All that came, escape sequences included."""
        self.code: int | None = None
        command = [
            *(sys.executable, "-m", "kubectl_finetune", *words),
            *(("--kubeconfig", str(shell.kubeconfig)) if terminal.takes_kubeconfig(words) else ()),
        ]
        environment = {
            **os.environ,
            "PYTHONPATH": str(terminal.ROOT / "cli" / "src"),
            "TERM": "xterm-256color",
            **variables,
        }
        for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
            environment.pop(name, None)
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
            os.chdir(shell.folder)
            os.execve(command[0], command, environment)  # noqa: S606 - no shell
        os.set_blocking(self._terminal, False)
        self._before = termios.tcgetattr(self._terminal)

    @property
    def text(self) -> str:
        """What came, without escape sequences; each time that something was drawn anew, lines of their own."""
        return ESCAPES.sub("", self.wrote).replace("\r\n", "\n").replace("\r", "\n")

    @property
    def screen(self) -> pyte.Screen:
        """What is on the terminal now: its rows and columns, by a terminal's own rules."""
        found = pyte.Screen(COLUMNS, ROWS)
        pyte.Stream(found).feed(self.wrote)
        return found

    @property
    def is_as_before(self) -> bool:
        """Whether the terminal is as it was: its modes, and its cursor to be seen."""
        return termios.tcgetattr(self._terminal) == self._before and (
            self.wrote.rfind(SHOWN) >= self.wrote.rfind(HIDDEN)
        )

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._terminal, keys.encode())

    async def shows(self, text: str, *, times: int = 1, seconds: float = 110) -> None:
        """Wait until `text` has come so many times."""
        until = asyncio.get_running_loop().time() + seconds
        while self.text.count(text) < times:
            self._look()
            assert self.code is None, self.text
            assert asyncio.get_running_loop().time() < until, f"{text!r} does not come: {self.text}"
            await asyncio.sleep(0.05)

    async def rests(self, seconds: float = 1) -> None:
        """Wait until nothing more has come for so long."""
        before = None
        while before != self.wrote:
            before = self.wrote
            await asyncio.sleep(seconds)
            self._read()

    async def leave(self, seconds: float = 20) -> None:
        """End it, whatever it does: by Ctrl-C, or else by force."""
        self.press(CTRL_C)
        try:
            await self.ends(seconds)
        except TimeoutError:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)  # noqa: ASYNC222 - it is dead

    async def ends(self, seconds: float = 110) -> int:
        """Wait for its end; the exit code."""
        async with asyncio.timeout(seconds):
            while self.code is None:
                self._look()
                await asyncio.sleep(0.05)
        return self.code

    def _look(self) -> None:
        """Whether it has ended, and all that it has written."""
        pid, status = os.waitpid(self._pid, os.WNOHANG) if self.code is None else (0, 0)
        if pid:
            self.code = os.waitstatus_to_exitcode(status)
        self._read()

    def _read(self) -> None:
        try:
            while some := os.read(self._terminal, 65536):
                self.wrote += some.decode("utf-8", "replace")
        except OSError:  # nothing more at the moment, or for good
            return
