"""What a pipeline is told of a FineTuneJob in every state: in progress until done, then the truth, by the tools' own code."""

import pytest
import yaml

import gitops_health
import gitops_states

ENDED_WELL = {"published", "already-published", "published-then-edited"}
ENDED_BADLY = {"refused", "bad-data", "gate-not-met", "no-attempt-left"}
PAUSED = {"suspended"}
NOT_ACCEPTED_YET = {"unseen", "pending", "resume-unseen"}
"""Of those not ended: the operator has not said yes, or not seen the last change."""


@pytest.fixture(scope="module")
def said():
    return gitops_health.said(gitops_states.recorded())


@pytest.fixture
def of(said):
    return lambda tool: {name: verdicts[tool].get("status") for name, verdicts in said.items()}


def expected(*, well, badly, otherwise, paused=None):
    """One word for each recording."""
    return {
        name: well
        if name in ENDED_WELL
        else badly
        if name in ENDED_BADLY
        else (paused or otherwise)
        if name in PAUSED
        else otherwise
        for name in gitops_states.STATES
    }


def test_nobody_falls_over(said):
    assert [(name, tool) for name, one in said.items() for tool in one if "error" in one[tool]] == []


def test_kstatus(of):
    assert of("kstatus") == expected(well="Current", badly="Failed", otherwise="InProgress")


def test_argo_cd(of):
    wanted = expected(well="Healthy", badly="Degraded", otherwise="Progressing", paused="Suspended")
    assert of("argo") == wanted


def test_flux(of):
    assert of("done") == expected(well="Current", badly="Failed", otherwise="InProgress")


def test_flux_when_it_shall_not_wait_for_training(of):
    wanted = {
        name: "Failed" if name in ENDED_BADLY else "InProgress" if name in NOT_ACCEPTED_YET else "Current"
        for name in gitops_states.STATES
    }
    assert of("accepted") == wanted


def test_a_failure_is_told_in_our_words(said):
    """Flux's own evaluator has no room for a sentence: it names the object alone."""
    for name in ENDED_BADLY:
        status = gitops_states.recorded()[name]["status"]
        (stalled,) = [one for one in status["conditions"] if one["type"] == "Stalled"]
        assert said[name]["kstatus"]["message"] == stalled["message"]
        assert said[name]["argo"]["message"] == f"{stalled['reason']}: {stalled['message']}"


def test_argo_cds_own_test_file(said):
    tests = yaml.safe_load((gitops_states.ARGO / "health_test.yaml").read_text())["tests"]
    names = [one["inputPath"].removeprefix("testdata/").removesuffix(".yaml") for one in tests]
    assert sorted(names) == sorted(gitops_states.STATES)
    wanted = {name: one["healthStatus"] for name, one in zip(names, tests, strict=True)}
    assert {name: verdicts["argo"] for name, verdicts in said.items()} == wanted


@pytest.mark.parametrize(
    "status", [None, {}, {"observedGeneration": 1}, {"observedGeneration": 1, "conditions": []}]
)
def test_a_status_that_says_nothing_is_not_taken_for_done(status):
    """One that was wiped, or never written because the CRD is not ours."""
    raw = gitops_states.recorded()["unseen"]
    raw = {**raw, "status": status} if status is not None else {k: v for k, v in raw.items() if k != "status"}
    verdicts = gitops_health.said({"wiped": raw})["wiped"]
    assert verdicts["argo"]["status"] == "Progressing"
    assert verdicts["done"].get("status") != "Current"


def test_what_is_being_deleted_is_terminating():
    raw = gitops_states.recorded()["running"]
    raw["metadata"]["deletionTimestamp"] = "2026-11-22T11:00:00Z"
    assert gitops_health.said({"going": raw})["going"]["kstatus"]["status"] == "Terminating"
