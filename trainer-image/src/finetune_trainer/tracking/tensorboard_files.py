"""TensorBoard: one file of events. Its figures have 32 bits."""

import shutil
import time
from collections.abc import Sequence

from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.summary_pb2 import Summary

from finetune_trainer import config
from finetune_trainer.tracking import parameters
from finetune_trainer.tracking.assignment import Assignment, Finish
from finetune_trainer.tracking.figures import Entry, Taken


class TensorboardFiles:
    """See `Tracker`."""

    def __init__(self, given: Assignment, run: config.Run) -> None:
        self._given = given
        self._run = run
        self._writer: EventsWriter | None = None

    def begin(self) -> Taken:
        """See `Tracker`."""
        shutil.rmtree(self._given.files, ignore_errors=True)  # half a file, of a round that failed
        self._given.files.mkdir()
        self._writer = EventsWriter(str(self._given.files / "events"))
        told = parameters.labels(self._run) | parameters.settings(self._run, self._given.resolved)
        table = "".join(f"| {name} | {value} |\n" for name, value in told.items())
        self._write(summary.text("settings", f"| setting | value |\n|---|---|\n{table}"), 0)
        return Taken()

    def tell(self, entries: Sequence[Entry]) -> None:
        """See `Tracker`."""
        for entry in entries:
            for name, value in entry.figures.items():
                self._write(summary.scalar(name, value), entry.step)

    def end(self, finish: Finish) -> None:
        """See `Tracker`."""
        if finish.evaluation:
            self.tell([Entry(finish.step or 0, finish.evaluation)])
        if self._writer:
            self._writer.close()

    def _write(self, said: Summary, step: int) -> None:
        if self._writer:
            self._writer.write_event(Event(wall_time=time.time(), step=step, summary=said))
