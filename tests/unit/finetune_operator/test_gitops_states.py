"""What GitOps tools are asked about (tests/gitops) is what the operator writes today."""

from typing import get_args

import pytest
import yaml

import gitops_states
from finetune_operator.api.status import State

NEVER_WRITTEN = {"Accepted"}
"""Prepare starts in the pass that accepts."""


def test_every_recording_is_of_today():
    found = {path.stem: path.read_text() for path in gitops_states.FOLDER.glob("*.yaml")}
    wanted = {name: gitops_states.played(name) for name in gitops_states.STATES}
    assert found == wanted, "run `python tests/support/gitops_states.py`"


def test_the_patch_for_argo_cd_holds_the_script():
    assert gitops_states.PATCH.read_text() == gitops_states.patch(), (
        "run `python tests/support/gitops_states.py`"
    )
    ((key, script),) = yaml.safe_load(gitops_states.PATCH.read_text())["data"].items()
    assert key == "resource.customizations.health.finetune.dev_FineTuneJob"
    assert script == (gitops_states.ARGO / "health.lua").read_text()


def test_every_state_is_recorded():
    states = {one["status"].get("state") for one in gitops_states.recorded().values()} - {None}
    assert states == set(get_args(State)) - NEVER_WRITTEN


@pytest.mark.parametrize("name", gitops_states.STATES)
def test_from_the_first_write_on_nothing_is_taken_for_done_too_early(name):
    statuses = gitops_states.STATES[name]().statuses
    for status in statuses:
        said = {one["type"]: one["status"] for one in status["conditions"]}
        assert said["Ready"] in {"True", "False"}
        assert [said["Reconciling"], said.get("Stalled", "False"), said["Ready"]].count("True") == 1
