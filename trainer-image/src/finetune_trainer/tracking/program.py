"""A tracker's process: follows the figures of a run and tells them, until it has told the end, or is killed.

python -m finetune_trainer.tracking.program FILE
"""

import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pydantic

from finetune_trainer import config, unneeded
from finetune_trainer.tracking import assignment
from finetune_trainer.tracking.assignment import Assignment, Finish, Told
from finetune_trainer.tracking.figures import Feed, Taken
from finetune_trainer.tracking.tracker import Tracker

PAUSE, AFTER_TROUBLE = 1.0, 5.0
"""Seconds between two rounds."""

LONGEST = 300
"""Characters of a library's own words."""

SECRETS = ("WANDB_API_KEY", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD")


def opened(given: Assignment) -> Tracker:
    """The tracker, whose library takes seconds to import."""
    run = config.load(given.run)
    said = run.tracking or config.Tracking()
    if given.kind == "wandb" and said.wandb:
        from finetune_trainer.tracking.wandb_run import WandbRun  # noqa: PLC0415 - see above

        return WandbRun(given, run, said.wandb)
    if given.kind == "mlflow" and said.mlflow:
        from finetune_trainer.tracking.mlflow_run import MlflowRun  # noqa: PLC0415 - see above

        return MlflowRun(given, run, said.mlflow)
    from finetune_trainer.tracking.tensorboard_files import TensorboardFiles  # noqa: PLC0415 - see above

    return TensorboardFiles(given, run)


class Following:
    """One run, told round by round. What fails is begun again in the next one, from what the tracker says that it has."""

    def __init__(self, given: Assignment) -> None:
        self._given = given
        self._tracker: Tracker | None = None
        self.now = Told()
        self._begin_again()

    def _begin_again(self) -> None:
        self._feed = Feed(self._given.figures)
        self._taken: Taken | None = None

    def round(self) -> Told:
        """Tell what is new, and the end if it has come."""
        try:
            self.now = Told(done=self._tell())
        except Exception as error:  # noqa: BLE001 - whatever ails a tracker is told, and tried again
            self._begin_again()
            self.now = Told(trouble=_words(error))
        return self.now

    def _tell(self) -> bool:
        """Whether the end is told."""
        finish = _finish(self._given.finish)  # looked at first: nothing is logged after it
        if self._tracker is None:
            self._tracker = opened(self._given)
        if self._taken is None:
            self._taken = self._tracker.begin()
        lines = self._feed.new()
        if finish and finish.figures:
            lines += Feed(finish.figures).new()
        entries = self._taken.fresh(lines)
        self._tracker.tell(entries)
        self._taken.add(entries)
        if finish:
            self._tracker.end(finish)
        return finish is not None


def _finish(path: Path) -> Finish | None:
    try:
        return Finish.model_validate_json(path.read_bytes())
    except (OSError, pydantic.ValidationError):
        return None


def _words(error: Exception) -> str:
    """The first line of what a library says, without credentials."""
    said = " ".join((str(error).strip().splitlines() or [""])[0].split()) or type(error).__name__
    for secret in _secrets():
        said = said.replace(secret, "***")
    return said if len(said) <= LONGEST else said[: LONGEST - 1] + "…"


def _secrets() -> Iterable[str]:
    return (os.environ[name] for name in SECRETS if os.environ.get(name))


def main() -> None:
    """Go on until the end is told. A tracker may take seconds for it; it shall not take them from the training."""
    os.nice(19)
    unneeded.leave_out({"torch"})  # tensorboardX would import it: 4 s and 400 MB
    given = Assignment.model_validate_json(Path(sys.argv[1]).read_bytes())
    following = Following(given)
    while not following.now.done:
        told = following.round()
        assignment.write(given.told, told)
        if not told.done:
            time.sleep(AFTER_TROUBLE if told.trouble else PAUSE)


if __name__ == "__main__":
    main()
    os._exit(0)  # a library's exit handlers wait for what has been told already
