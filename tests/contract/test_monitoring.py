"""Alerts, dashboards and pages name metrics that exist, and every alert has its runbook."""

import html
import json
import pathlib
import re

import pytest
import yaml

import dashboards
from finetune_operator.reconcile.metrics import Metrics
from finetune_trainer.supervisor import serve

ROOT = pathlib.Path(__file__).resolve().parents[2]
RULES = ROOT / "charts" / "finetune-operator" / "files" / "alerts.yaml"
ALERTS = [one for group in yaml.safe_load(RULES.read_text())["groups"] for one in group["rules"]]
RUNBOOKS = (ROOT / "docs" / "alerts.md").read_text()
NAME = re.compile(r"\bfinetune(?:job)?_[a-z_]+")
LABELS = {"finetune_dev_job_name"}


def exposed():
    """Names of all series, of operator and trainer."""
    registry = Metrics("test").registry
    suffixes = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
    found = {family.name + suffix for family in registry.collect() for suffix in suffixes[family.type]}
    gauges = (*serve.GAUGES, "attempt", "updated_timestamp_seconds", "stage")
    return found | {f"finetune_trainer_{name}" for name in gauges}


def queries(uid):
    return [target["expr"] for panel in dashboards.dashboard(uid)["panels"] for target in panel["targets"]]


@pytest.mark.parametrize("uid", dashboards.DASHBOARDS)
def test_a_dashboard_is_made_from_its_panels_and_names_metrics_that_exist(uid):
    file = dashboards.FOLDER / f"{uid}.json"
    assert file.read_text() == dashboards.text(uid), "run `python tests/support/dashboards.py`"
    variables = [one["query"] for one in json.loads(file.read_text())["templating"]["list"]]
    named = set(NAME.findall(" ".join([*queries(uid), *variables]))) - LABELS
    assert named
    assert named <= exposed()


def test_there_is_no_other_dashboard():
    assert {path.stem for path in dashboards.FOLDER.iterdir()} == set(dashboards.DASHBOARDS)


def test_panels_lie_beside_each_other_and_leave_no_gap():
    for uid in dashboards.DASHBOARDS:
        taken = set()
        for panel in dashboards.dashboard(uid)["panels"]:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not cells & taken, panel["title"]
            taken |= cells
        low = max(y for _, y in taken) + 1
        assert len(taken) == low * dashboards.WIDTH, uid


def test_what_a_label_says_is_shown_by_its_name_and_as_it_is_now():
    """Version and stage are labels of a number that is always 1; a span of time holds those of before too."""
    said = {
        panel["title"]: panel
        for uid in dashboards.DASHBOARDS
        for panel in dashboards.dashboard(uid)["panels"]
        if re.search("_build_info|_trainer_stage", panel["targets"][0]["expr"])
    }
    assert set(said) == {"Version", "Stage"}
    for panel in said.values():
        assert panel["options"]["textMode"] == "name"
        assert all(target["instant"] and not target["range"] for target in panel["targets"])


@pytest.mark.parametrize("uid", dashboards.DASHBOARDS)
def test_a_picture_shows_every_panel_of_its_dashboard(uid):
    drawn = (ROOT / "docs" / "dashboards" / f"{uid}.svg").read_text()
    titles = [html.unescape(one) for one in re.findall('class="title">(.*?)</text>', drawn)]
    assert titles == [panel["title"] for panel in dashboards.dashboard(uid)["panels"]], (
        "run `make dashboard-pictures`"
    )
    assert f"](dashboards/{uid}.svg)" in (ROOT / "docs" / "metrics.md").read_text()


def test_every_metric_of_the_operator_is_on_a_dashboard_or_in_an_alert():
    used = set(NAME.findall(RULES.read_text())) | {
        name for uid in dashboards.DASHBOARDS for query in queries(uid) for name in NAME.findall(query)
    }
    families = {family.name for family in Metrics("test").registry.collect()}
    assert [name for name in families if not any(one.startswith(name) for one in used)] == []


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_has_a_runbook_a_severity_and_metrics_that_exist(alert):
    assert set(NAME.findall(alert["expr"])) <= exposed()
    assert alert["labels"]["severity"] in {"critical", "warning", "info"}
    assert alert["annotations"].keys() == {"summary", "description", "runbook_url"}
    page, _, section = alert["annotations"]["runbook_url"].partition("#")
    assert page == "docs/alerts.md"
    assert section == alert["alert"].lower()
    (text,) = [part for part in RUNBOOKS.split("\n## ") if part.startswith(f"{alert['alert']}\n")]
    assert "```sh\nkubectl " in text, "what to look at first"


def test_there_is_no_runbook_without_an_alert():
    assert re.findall(r"^## (\w+)$", RUNBOOKS, re.MULTILINE) == [one["alert"] for one in ALERTS]
