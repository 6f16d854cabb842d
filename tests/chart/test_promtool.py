"""Alerts and dashboards as Prometheus itself reads them."""

import json

import pytest
import yaml

import chart_tools
import dashboards

RULES = chart_tools.CHART / "files" / "alerts.yaml"
TESTS = chart_tools.ROOT / "tests" / "chart" / "alerts_test.yaml"


@pytest.fixture(scope="module")
def promtool():
    return chart_tools.promtool()


def test_prometheus_takes_the_alerts(promtool):
    done = chart_tools.run(promtool, "check", "rules", RULES)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_fires_when_it_should_and_not_before(promtool, tmp_path):
    copy = tmp_path / "alerts_test.yaml"
    copy.write_text(TESTS.read_text().replace("RULES", str(RULES)))
    done = chart_tools.run(promtool, "test", "rules", copy)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_test_in_which_it_fires():
    alerts = [one["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for one in group["rules"]]
    fired = {
        check["alertname"]
        for test in yaml.safe_load(TESTS.read_text())["tests"]
        for check in test["alert_rule_test"]
        if check["exp_alerts"]
    }
    assert sorted(alerts) == sorted(fired)


@pytest.mark.parametrize("uid", dashboards.DASHBOARDS)
def test_prometheus_takes_every_query_of_a_dashboard(uid, promtool, tmp_path):
    """As recording rules, with Grafana's variables filled in."""
    queries = [target["expr"] for panel in dashboards.dashboard(uid)["panels"] for target in panel["targets"]]
    for variable, value in (
        ("$__rate_interval", "5m"),
        ("$__range", "1d"),
        ("$namespace", ".*"),
        ("$job", "x"),
    ):
        queries = [query.replace(variable, value) for query in queries]
    assert not [query for query in queries if "$" in query]
    rules = [{"record": f"panel:{at}", "expr": query} for at, query in enumerate(queries)]
    file = tmp_path / "rules.yaml"
    file.write_text(json.dumps({"groups": [{"name": uid, "rules": rules}]}))
    done = chart_tools.run(promtool, "check", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr
