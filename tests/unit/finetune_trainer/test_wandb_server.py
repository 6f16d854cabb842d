"""W&B's own client and program, in the process of a tracker, against a stand-in for its server: interrupted, and gone on with."""

import base64
import json
import subprocess
import sys

import pytest

import trainer_runs
import wandb_standin
from finetune_trainer.layout import Layout
from finetune_trainer.supervisor import launch, tracker_environment
from finetune_trainer.tracking import assignment
from finetune_trainer.tracking.assignment import Assignment, Finish, Told
from tracker_figures import Figures

pytestmark = pytest.mark.slow  # the client takes seconds

KEY = "0123456789" * 4


@pytest.fixture
def layout(tmp_path) -> Layout:
    made = Layout.under(tmp_path)
    made.make_folders()
    secret = made.credentials / "wandb"
    secret.mkdir(parents=True)
    (secret / "WANDB_API_KEY").write_text(KEY + "\n")
    (secret / "WANDB_BASE_URL").write_text("https://elsewhere.test")
    return made


def attempt(layout: Layout, number: int, figures: Figures, finish: Finish) -> Told:
    """One pod's tracker, from its start to the end of the run; what it said last."""
    folder = layout.state / f"attempt-{number}"
    folder.mkdir()
    lines = [json.dumps({name: value, "step": step}) for (name, step), value in figures.items()]
    (folder / "figures.jsonl").write_text("".join(f"{line}\n" for line in lines))
    given = Assignment(
        kind="wandb",
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
        env=tracker_environment.environment(run, layout, "wandb", launch.inherited()),
        check=True,
        timeout=120,
    )
    return Told.model_validate_json(given.told.read_bytes())


def test_an_attempt_goes_on_in_the_run_of_the_one_before_it(layout):
    figures = {("loss", step): 3.0 - step / 10 for step in range(1, 7)}
    half = {key: value for key, value in figures.items() if key[1] <= 4}
    with wandb_standin.running() as server:
        said = {
            "project": "p",
            "entity": "team",
            "baseUrl": server.address,
            "credentialsSecretRef": {"name": "wandb"},
        }
        layout.run.parent.mkdir(exist_ok=True)
        layout.run.write_text(json.dumps(trainer_runs.document(tracking={"wandb": said})))

        assert attempt(layout, 1, half, Finish(outcome="Interrupted")).done
        assert (server.figures, server.ends, server.preempting) == (half, [False], True)

        # Steps 3 and 4 were lost with the pod and are trained again; W&B keeps what it was told first.
        again = figures | {("loss", 3): 9.0, ("loss", 4): 9.0}
        last = Finish(outcome="Finished", step=6, evaluation={"tuned/loss": 2.0})
        assert attempt(layout, 2, again, last).done
        assert (server.figures, server.ends) == (figures, [False, True])

    assert server.summary["tuned/loss"] == 2.0
    first, second = server.runs
    assert first["name"] == second["name"] == trainer_runs.JOB["uid"]
    assert (first["displayName"], first["project"], first["entity"]) == ("tiny", "p", "team")
    settings = json.loads(first["config"])
    assert settings["training.learningRate"]["value"] == 0.01
    assert settings["resolved.totalSteps"]["value"] == 6
    assert server.keys == {"Basic " + base64.b64encode(f"api:{KEY}".encode()).decode()}
