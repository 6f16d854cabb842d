"""A job followed to its end: drawn anew on a terminal, a line for each change in a pipe."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol, Self

from rich.live import Live

from kubectl_finetune import screen
from kubectl_finetune.views import status
from kubectl_finetune.views.curve import Point
from kubectl_finetune.views.job import Job

SAID_BELOW = 4
"""Lines that the screen leaves free: for how it ended, and the shell's next prompt."""


class Follower(Protocol):
    """Whoever shows it."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(self, *_: object) -> None:
        """End, and leave the terminal as it was."""

    def tell(self, job: Job) -> None:
        """What is new about it, if anything is."""


def ending(job: Job, *, json_wanted: bool = False) -> str:
    """How it ended, for those who read nothing else; a screen has the sentence on it already."""
    reason, message = job.says
    return reason if _is_drawn(json_wanted=json_wanted) else f"{reason}: {message}"


def follower(points: Callable[[Job], Sequence[Point]], *, json_wanted: bool = False) -> "Lines | Screen":
    """The one that fits to where the output goes. `points`: the curve so far, asked for once."""
    return Screen(points) if _is_drawn(json_wanted=json_wanted) else Lines(json_wanted=json_wanted)


def _is_drawn(*, json_wanted: bool) -> bool:
    console = screen.console()
    return console.is_terminal and not console.is_dumb_terminal and not json_wanted


class Lines:
    """To a pipe."""

    def __init__(self, *, json_wanted: bool) -> None:
        self._json = json_wanted
        self._said = ""

    def __enter__(self) -> Self:
        """Nothing to begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to end."""

    def tell(self, job: Job) -> None:
        """One line, or with `-o json` one object."""
        if self._json:
            screen.as_json(job.raw)
            return
        progress = job.status.progress
        reason, message = job.says
        told = [job.state, message if reason == job.state else f"{reason}: {message}"]
        if progress and not job.settled:
            steps = (
                f"step {progress.step}/{progress.total_steps}"
                if progress.total_steps and progress.step is not None
                else ""
            )
            told += [one for one in (steps, status.figures(progress)) if one]
        line = "  ".join(told)
        if line != self._said:
            self._said = line
            screen.say(line)


class Screen:
    """To a terminal: the status screen."""

    def __init__(self, points: Callable[[Job], Sequence[Point]]) -> None:
        self._ask = points
        self._console = screen.console()
        self._live = Live(console=self._console, auto_refresh=False)
        self._points: dict[int, float] = {}

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """What was drawn last stays."""
        self._live.stop()

    def tell(self, job: Job) -> None:
        """Draw it. Earlier points are asked for once; later ones come with the progress."""
        progress = job.status.progress
        if not self._points:
            self._points = dict(self._ask(job))
        if progress and progress.step and progress.loss is not None:
            self._points[progress.step] = progress.loss
        known = sorted(self._points.items())
        width, height = self._console.size
        drawn = status.screen(job, datetime.now(UTC), points=known, width=width, height=height - SAID_BELOW)
        self._live.update(drawn, refresh=True)
