"""MLflow: a run that is found again by the job's uid."""

import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException

from finetune_trainer import config
from finetune_trainer.tracking import parameters
from finetune_trainer.tracking.assignment import Assignment, Finish, Outcome
from finetune_trainer.tracking.figures import Entry, Taken

AT_ONCE = 100
"""Figures, and settings, in one request; MLflow's own bound for settings."""

LONGEST = 500
"""Characters of a setting that every version of the server takes."""

EXPERIMENT = "Default"
"""MLflow's own."""

STATES: dict[Outcome, str] = {"Finished": "FINISHED", "Failed": "FAILED"}
"""An interrupted run goes on RUNNING: the next attempt does."""

Thing = TypeVar("Thing")


class MlflowRun:
    """See `Tracker`."""

    def __init__(self, given: Assignment, run: config.Run, said: config.Mlflow) -> None:
        self._given = given
        self._run = run
        self._experiment = said.experiment or EXPERIMENT
        self._client = MlflowClient(tracking_uri=said.tracking_uri)
        self._id = ""
        self._last = 0

    def begin(self) -> Taken:
        """See `Tracker`."""
        experiment, uid = self._experiment_id(), self._run.job.uid
        found = self._client.search_runs([experiment], f"tags.`finetune.uid` = '{uid}'", max_results=1)
        if not found:
            labels = parameters.labels(self._run)
            made = self._client.create_run(experiment, tags=labels, run_name=self._run.job.name)
            self._id = made.info.run_id
            self._tell_settings()
            return Taken()
        self._id = found[0].info.run_id
        self._tell_settings()  # an attempt may have ended between the two; the same value again is no error
        self._client.update_run(self._id, status="RUNNING")
        history = {name: self._client.get_metric_history(self._id, name) for name in found[0].data.metrics}
        return Taken(by_name={name: max(one.step for one in them) for name, them in history.items()})

    def tell(self, entries: Sequence[Entry]) -> None:
        """See `Tracker`."""
        moment = int(time.time() * 1000)
        figures = [
            Metric(name, value, moment, entry.step)
            for entry in entries
            for name, value in entry.figures.items()
        ]
        for some in _parts(figures):
            self._client.log_batch(self._id, metrics=some)

    def end(self, finish: Finish) -> None:
        """See `Tracker`."""
        if finish.evaluation:
            self.tell([Entry(finish.step or 0, finish.evaluation)])
        if finish.outcome in STATES:
            self._client.set_terminated(self._id, STATES[finish.outcome])

    def _experiment_id(self) -> str:
        """The experiment, made where there is none. Another job may make it at the same moment."""
        found = self._client.get_experiment_by_name(self._experiment)
        if found is None:
            try:
                return self._client.create_experiment(self._experiment)
            except MlflowException:
                found = self._client.get_experiment_by_name(self._experiment)
                if found is None:
                    raise
        return found.experiment_id

    def _tell_settings(self) -> None:
        settings = parameters.settings(self._run, self._given.resolved)
        for some in _parts([Param(name, str(value)[:LONGEST]) for name, value in settings.items()]):
            self._client.log_batch(self._id, params=some)


def _parts(them: Sequence[Thing]) -> Iterator[Sequence[Thing]]:
    for at in range(0, len(them), AT_ONCE):
        yield them[at : at + AT_ONCE]
