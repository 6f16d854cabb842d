"""W&B: a run whose id is the job's uid, at its server or in a file."""

import shutil
from collections.abc import Sequence
from typing import Any

import wandb

from finetune_trainer import config
from finetune_trainer.tracking import parameters
from finetune_trainer.tracking.assignment import Assignment, Finish
from finetune_trainer.tracking.figures import Entry, Taken


class WandbRun:
    """See `Tracker`."""

    def __init__(self, given: Assignment, run: config.Run, said: config.Wandb) -> None:
        self._given = given
        self._run = run
        self._said = said
        self._open: Any = None

    def begin(self) -> Taken:
        """See `Tracker`. W&B takes no step that lies before its last one."""
        own = self._given.folder / "wandb"
        own.mkdir(exist_ok=True)
        online = self._said.mode == "Online"
        try:
            self._open = wandb.init(
                project=self._said.project,
                entity=self._said.entity,
                id=self._run.job.uid,
                name=self._run.job.name,
                config={
                    **parameters.settings(self._run, self._given.resolved),
                    **parameters.labels(self._run),
                },
                dir=str(own),
                mode="online" if online else "offline",
                resume="allow" if online else None,
                settings=self._settings(),
            )
        except Exception:
            wandb.teardown()  # its service would keep the id for the run that did not begin, and refuse it to the next try
            raise
        return Taken(step=self._open.starting_step - 1)

    def _settings(self) -> wandb.Settings:
        """Figures and settings are ours to send; nothing about this pod, its files or its output is."""
        address = {"base_url": self._said.base_url} if self._said.base_url else {}
        return wandb.Settings(
            console="off",
            silent=True,
            disable_git=True,
            disable_code=True,
            disable_job_creation=True,
            save_code=False,
            x_disable_stats=True,
            x_disable_meta=True,
            x_disable_machine_info=True,
            x_save_requirements=False,
            **address,
        )

    def tell(self, entries: Sequence[Entry]) -> None:
        """See `Tracker`."""
        for entry in entries:
            self._open.log(entry.figures, step=entry.step)

    def end(self, finish: Finish) -> None:
        """See `Tracker`."""
        self._open.summary.update(finish.evaluation)
        if finish.outcome == "Interrupted":
            self._open.mark_preempting()
        self._open.finish(exit_code=0 if finish.outcome == "Finished" else 1)
        wandb.teardown()  # only now is everything in the file
        if self._said.mode == "Offline":
            (written,) = (self._given.folder / "wandb").rglob("*.wandb")
            self._given.files.mkdir(exist_ok=True)
            shutil.copy(written, self._given.files)
