"""W&B's own client and program, in the process of a tracker, against a stand-in for its server: interrupted, and gone on with."""

import base64
import json

import pytest

import tracker_attempts
import trainer_runs
import wandb_standin
from finetune_trainer.layout import Layout
from finetune_trainer.tracking.assignment import Finish

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


def tracked(layout, server):
    """Write a run that tells `server`."""
    said = {
        "project": "p",
        "entity": "team",
        "baseUrl": server.address,
        "credentialsSecretRef": {"name": "wandb"},
    }
    layout.run.parent.mkdir(exist_ok=True)
    layout.run.write_text(json.dumps(trainer_runs.document(tracking={"wandb": said})))


def test_an_attempt_goes_on_in_the_run_of_the_one_before_it(layout):
    figures = {("loss", step): 3.0 - step / 10 for step in range(1, 7)}
    half = {key: value for key, value in figures.items() if key[1] <= 4}
    with wandb_standin.running() as server:
        tracked(layout, server)

        assert tracker_attempts.attempt(layout, "wandb", 1, half, Finish(outcome="Interrupted")).done
        assert (server.figures, server.ends, server.preempting) == (half, [False], True)

        # Steps 3 and 4 were lost with the pod and are trained again; W&B keeps what it was told first.
        again = figures | {("loss", 3): 9.0, ("loss", 4): 9.0}
        last = Finish(outcome="Finished", step=6, evaluation={"tuned/loss": 2.0})
        assert tracker_attempts.attempt(layout, "wandb", 2, again, last).done
        assert (server.figures, server.ends) == (figures, [False, True])

    assert server.summary["tuned/loss"] == 2.0
    first, second = server.runs
    assert first["name"] == second["name"] == trainer_runs.JOB["uid"]
    assert (first["displayName"], first["project"], first["entity"]) == ("tiny", "p", "team")
    settings = json.loads(first["config"])
    assert settings["training.learningRate"]["value"] == 0.01
    assert settings["resolved.totalSteps"]["value"] == 6
    assert server.keys == {"Basic " + base64.b64encode(f"api:{KEY}".encode()).decode()}


def test_a_key_that_is_refused_and_then_taken_costs_nothing(layout):
    """What failed to begin must not stand in the way of the next try in the same process."""
    figures = {("loss", step): 3.0 - step / 10 for step in range(1, 4)}
    with wandb_standin.running() as server:
        server.refuses = 3
        tracked(layout, server)

        last = Finish(outcome="Finished", step=3, evaluation={"tuned/loss": 2.0})
        assert tracker_attempts.attempt(layout, "wandb", 1, figures, last).done

    assert server.refused == 3
    assert (server.figures, server.ends) == (figures, [True])
