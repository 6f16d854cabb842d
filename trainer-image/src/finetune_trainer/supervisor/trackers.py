"""All trackers of a run, from the start of training to its end. Nothing that they do, or fail to do, changes how the run ends.

Servers are told while training goes on. Files (TensorBoard's, an offline W&B run) are written in one go when it is over: they
hold exactly what metrics.jsonl holds, and lie beside it.
"""

import contextlib
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from finetune_trainer import config
from finetune_trainer.layout import Layout
from finetune_trainer.supervisor import launch, tracker_environment
from finetune_trainer.supervisor.tracker_process import TrackerProcess
from finetune_trainer.task import Evaluated, Task, Trained
from finetune_trainer.tracking import assignment
from finetune_trainer.tracking.assignment import Assignment, Finish, Kind, Outcome

LOOK = 0.1
"""Seconds between two looks for the last one to be done."""

Say = Callable[[str], object]
"""Writes a line to the pod's log."""


def servers(run: config.Run) -> list[Kind]:
    """Trackers of `run` that are told over the network."""
    said = run.tracking or config.Tracking()
    online = said.wandb is not None and said.wandb.mode == "Online"
    found: dict[Kind, bool] = {"wandb": online, "mlflow": said.mlflow is not None}
    return [kind for kind, asked in found.items() if asked]


def files(run: config.Run) -> list[Kind]:
    """Those that become files of the result."""
    said = run.tracking or config.Tracking()
    offline = said.wandb is not None and said.wandb.mode == "Offline"
    board = said.tensorboard is not None and said.tensorboard.enabled
    found: dict[Kind, bool] = {"wandb": offline, "tensorboard": board}
    return [kind for kind, asked in found.items() if asked]


def lacking(run: config.Run, layout: Layout) -> list[str]:
    """What trackers cannot do without and do not have; sentences."""
    found = [tracker_environment.lacking(run, layout, kind) for kind in servers(run)]
    return [one for one in found if one]


class Trackers:
    """The processes of one pod's trackers. No method raises; what goes wrong is among the warnings."""

    def __init__(self, run: config.Run, document: Path, layout: Layout, *, say: Say) -> None:
        self._run = run
        self._document = document
        self._layout = layout
        self._say = say
        self._resolved: dict[str, Any] = {}
        self._open: list[TrackerProcess] = []
        self._kept: list[str] = []
        """Warnings that stay."""
        self._said: set[str] = set()

    def pids(self) -> Collection[int]:
        """Children of this process that are no ranks."""
        return {one.pid for one in self._open}

    def warnings(self) -> tuple[str, ...]:
        """What goes wrong, as sentences; each is a line of the pod's log once."""
        now = (*self._kept, *(wrong for one in self._open if (wrong := one.trouble())))
        for one in now:
            kind = one.partition(":")[0]
            if kind not in self._said:
                self._said.add(kind)
                self._say(one)
        return now

    def begin(self, given: Task, resolved: dict[str, Any]) -> None:
        """Start telling the servers what the ranks of `given` log."""
        self._resolved = resolved
        for kind in servers(self._run):
            with self._going_on(kind, "could not be started"):
                if wrong := tracker_environment.lacking(self._run, self._layout, kind):
                    self._kept.append(wrong)
                else:
                    self._start(kind, given)

    def end(self, outcome: Outcome, given: Task, *, seconds: Callable[[], float]) -> None:
        """Tell the end, write the files beside the result in `given.artefact`, and close what is open.

        `seconds`: how long that may take in all; asked again and again.
        """
        trained = Trained.model_validate_json(given.trained.read_bytes())
        finish = Finish(
            outcome=outcome,
            figures=given.artefact / "metrics.jsonl",
            step=trained.step,
            evaluation=_figures(trained.evaluation),
        )
        self._tell(finish)
        for kind in files(self._run):
            with self._going_on(kind, "could not be started"):
                self._start(kind, given).finish(finish)
        self.close(seconds=seconds, artefact=given.artefact)

    def announce(self, outcome: Outcome) -> None:
        """Tell that it ended without a result, and do not wait."""
        self._tell(Finish(outcome=outcome))

    def _tell(self, finish: Finish) -> None:
        for one in self._open:
            with self._going_on(one.given.kind, "could not be told that the run has ended"):
                one.finish(finish)

    def close(self, *, seconds: Callable[[], float] = lambda: 0.0, artefact: Path | None = None) -> None:
        """Wait for those that were told of the end, no longer than `seconds` in all; then nobody is left."""
        began = time.monotonic()
        while any(one.alive() for one in self._open) and time.monotonic() - began < seconds():
            time.sleep(LOOK)
        for one in self._open:
            if wrong := one.close(waited=time.monotonic() - began):
                self._kept.append(wrong)
            elif artefact and one.given.files.is_dir():
                with self._going_on(one.given.kind, "its files could not be put with the result"):
                    shutil.move(one.given.files, artefact / one.given.kind)
        self._open.clear()
        self.warnings()

    def _start(self, kind: Kind, given: Task) -> TrackerProcess:
        folder = self._layout.state / "trackers" / kind
        shutil.rmtree(folder, ignore_errors=True)
        told = Assignment(
            kind=kind, run=self._document, resolved=self._resolved, figures=given.figures, folder=folder
        )
        environment = tracker_environment.environment(self._run, self._layout, kind, launch.inherited())
        started = TrackerProcess(told, environment)
        self._open.append(started)
        return started

    @contextlib.contextmanager
    def _going_on(self, kind: Kind, wrong: str) -> Iterator[None]:
        """Whatever is raised is told, and that is all: a full disk, a Secret that is not text, a process too many."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - see above
            self._kept.append(f"{assignment.TITLES[kind]}: {wrong}: {error}")


def _figures(found: Evaluated | None) -> dict[str, float]:
    """`tuned/loss` and the like."""
    if found is None:
        return {}
    sides = {"base": found.base, "start": found.start, "tuned": found.tuned}
    return {
        f"{side}/{name}": value
        for side, measured in sides.items()
        if measured
        for name, value in (
            ("loss", measured.loss),
            ("perplexity", measured.perplexity),
            *measured.other.items(),
        )
        if value is not None
    }
