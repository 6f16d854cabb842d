"""One rank's fine-tuning in this process, as the supervisor would have it done. Imports TRL: for slow tests."""

from finetune_trainer import fine_tuning
from finetune_trainer.interruption import Interruption
from finetune_trainer.layout import Layout
from finetune_trainer.task import Task


def go(layout: Layout) -> Task:
    """Train the run of `layout`, whose dataset is prepared, to its end; what was done."""
    given = Task(
        run=layout.run, attempt=1, dataset=layout.dataset, model=layout.claims / "models/tiny",
        progress=layout.progress, work=layout.scratch / "ranks",
    )  # fmt: skip
    given.work.mkdir(parents=True)
    fine_tuning.FineTuning(given, Interruption(), rank=0, world=1).go()
    return given
