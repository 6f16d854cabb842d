"""MLflow's client in the process of a tracker, against MLflow's own server over HTTP: interrupted, and gone on with."""

import json

import pytest

import mlflow_server
import storage_servers
import tracker_attempts
import tracker_figures
import trainer_runs
from finetune_trainer.tracking.assignment import Finish

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # a server of many libraries

EXPERIMENT = "support"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    python = storage_servers.mlflow()
    if python is None:
        pytest.skip("no MLflow server: `make servers` installs it")
    with mlflow_server.running(python, tmp_path_factory.mktemp("mlflow")) as address:
        yield address


def test_a_server_holds_every_figure_once_in_one_run_of_two_attempts(server, layout):
    figures = {("loss", step): 3.0 - step / 10 for step in range(1, 151)}
    figures |= {("eval_loss", step): 3.0 - step / 20 for step in (50, 100, 150)}
    half = {key: value for key, value in figures.items() if key[1] <= 100}
    assert len(half) > 100  # more than one request holds
    layout.run.parent.mkdir(parents=True, exist_ok=True)
    said = {"trackingUri": server, "experiment": EXPERIMENT}
    layout.run.write_text(json.dumps(trainer_runs.document(tracking={"mlflow": said})))
    uid = trainer_runs.JOB["uid"]

    assert tracker_attempts.attempt(layout, "mlflow", 1, half, Finish(outcome="Interrupted")).done
    run, told = tracker_figures.of_mlflow(server, uid, EXPERIMENT)
    assert (run.info.status, told) == ("RUNNING", half)

    # Steps 99 and 100 were lost with the pod and are trained again; the server keeps what it was told first.
    again = figures | {("loss", 99): 9.0, ("loss", 100): 9.0}
    last = Finish(outcome="Finished", step=150, evaluation={"base/loss": 3.5, "tuned/loss": 2.0})
    assert tracker_attempts.attempt(layout, "mlflow", 2, again, last).done

    run, told = tracker_figures.of_mlflow(server, uid, EXPERIMENT)
    assert told == figures | {("base/loss", 150): 3.5, ("tuned/loss", 150): 2.0}
    assert (run.info.status, run.info.run_name) == ("FINISHED", "tiny")
    assert run.data.params["training.learningRate"] == "0.01"
    assert run.data.params["resolved.totalSteps"] == "6"
