"""The process of a tracker as a pod runs it, told the figures of one attempt."""

import json
import subprocess
import sys

import trainer_runs
from finetune_trainer.layout import Layout
from finetune_trainer.supervisor import launch, tracker_environment
from finetune_trainer.tracking import assignment
from finetune_trainer.tracking.assignment import Assignment, Finish, Kind, Told
from tracker_figures import Figures


def attempt(layout: Layout, kind: Kind, number: int, figures: Figures, finish: Finish) -> Told:
    """One pod's tracker, from its start to the end of the run; what it said last."""
    folder = layout.state / f"attempt-{number}"
    folder.mkdir()
    lines = [json.dumps({name: value, "step": step}) for (name, step), value in figures.items()]
    (folder / "figures.jsonl").write_text("".join(f"{line}\n" for line in lines))
    given = Assignment(
        kind=kind,
        run=layout.run,
        resolved={"totalSteps": 6},
        figures=folder / "figures.jsonl",
        folder=folder,
    )
    assignment.write(folder / "assignment.json", given)
    assignment.write(given.finish, finish)
    run = trainer_runs.run(**json.loads(layout.run.read_text()))
    subprocess.run(
        [sys.executable, "-m", "finetune_trainer.tracking.program", str(folder / "assignment.json")],
        env=tracker_environment.environment(run, layout, kind, launch.inherited()),
        check=True,
        timeout=120,
    )
    return Told.model_validate_json(given.told.read_bytes())
