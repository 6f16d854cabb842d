"""A real API server takes all that the chart renders, and a release may be changed from any way to install it to any other."""

import json
import re

import pytest

import chart_tools
import policy_ground
import real_cluster

FIELDS_ARE_CHECKED = (
    "apply",
    "--server-side",
    "--force-conflicts",
    "--dry-run=server",
    "--field-manager=test",
)


@pytest.fixture(scope="module")
def place(kube):
    kube.apply(*policy_ground.monitoring_kinds())
    kube.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
    for name in ("team-a", "team-b"):
        kube.kubectl("create", "namespace", name)
    yield
    policy_ground.install(kube, policy_ground.VALUES)


@pytest.mark.parametrize("name", [*chart_tools.VALUES, "as it is"])
def test_an_upgrade_to_it_is_taken_and_leaves_nothing_behind(name, kube, place, tmp_path):
    """One after the other, in one release."""
    values = {**chart_tools.VALUES[name], "defaultProfile": {"create": True}}
    (file := tmp_path / "values.json").write_text(json.dumps(values))
    release = ("finetune-operator", str(chart_tools.CHART), "-n", real_cluster.RELEASE_NAMESPACE)
    kube.helm("upgrade", *release, "--reset-values", "-f", str(file))
    wanted = {
        (one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"])
        for one in chart_tools.rendered(values, "--api-versions", "finetune.dev/v1alpha1/FineTuneProfile")
    }
    found = {
        (one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"])
        for kind in KINDS
        for one in json.loads(kube.kubectl("get", kind, "-A", "-l", OURS, "-o", "json"))["items"]
    }
    assert found == {one for one in wanted if one[0] != "CustomResourceDefinition"}


OURS = "app.kubernetes.io/instance=finetune-operator,app.kubernetes.io/managed-by=Helm"
KINDS = (
    "clusterroles",
    "clusterrolebindings",
    "configmaps",
    "deployments",
    "finetuneprofiles",
    "networkpolicies",
    "poddisruptionbudgets",
    "podmonitors",
    "prometheusrules",
    "roles",
    "rolebindings",
    "serviceaccounts",
    "servicemonitors",
    "services",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
)


def test_a_field_that_does_not_exist_is_noticed(kube, place):
    """The API server checks field by field: what it takes is understood."""
    (deployment,) = [one for one in chart_tools.rendered({}) if one["kind"] == "Deployment"]
    deployment["spec"]["replicaz"] = 1
    done = kube.run("kubectl", *FIELDS_ARE_CHECKED, "-f", "-", stdin=real_cluster.listed([deployment]))
    assert "field not declared in schema" in done.stderr


def test_monitors_and_alerts_are_understood_field_by_field(kube, place):
    """By the Prometheus operator's own kinds."""
    ours = [one for one in chart_tools.rendered(chart_tools.MONITORED) if one["kind"] in MONITORS]
    assert {one["kind"] for one in ours} == MONITORS
    kube.kubectl(*FIELDS_ARE_CHECKED, "-f", "-", stdin=real_cluster.listed(ours))
    for one, (where, misspelt) in zip(sorted(ours, key=lambda one: one["kind"]), MISSPELT, strict=True):
        one["spec"][where][0] |= {misspelt: "30s"}
        done = kube.run("kubectl", *FIELDS_ARE_CHECKED, "-f", "-", stdin=real_cluster.listed([one]))
        assert re.search(rf"\.spec\.{where}\[.+\]\.{misspelt}: field not declared in schema", done.stderr)


MONITORS = {"PodMonitor", "PrometheusRule", "ServiceMonitor"}
MISSPELT = [("podMetricsEndpoints", "intervall"), ("groups", "intervall"), ("endpoints", "intervall")]
"""In each, in the order of their names."""


def test_rolled_back_it_is_as_before(kube, place, namespace):
    """With a job in between, which is not touched."""
    kube.apply(real_cluster.finetunejob(namespace))
    before = kube.get("ftj", "support-bot", namespace)
    deployment = ("deployment", "finetune-operator", real_cluster.RELEASE_NAMESPACE)
    spec = kube.get(*deployment)["spec"]
    policy_ground.install(kube, {"leaderElection": {"enabled": False}, "workers": 3})
    assert kube.get(*deployment)["spec"] != spec
    kube.helm("rollback", "finetune-operator", "-n", real_cluster.RELEASE_NAMESPACE)
    assert kube.get(*deployment)["spec"] == spec
    assert kube.get("ftj", "support-bot", namespace) == before


def test_uninstalled_nothing_is_left_but_the_kinds_and_the_jobs(kube, place, namespace):
    kube.apply(real_cluster.finetunejob(namespace))
    kube.helm("uninstall", "finetune-operator", "-n", real_cluster.RELEASE_NAMESPACE, "--wait")
    left = {
        one["metadata"]["name"]
        for kind in (*KINDS, "customresourcedefinitions")
        for one in json.loads(kube.kubectl("get", kind, "-A", "-o", "json"))["items"]
        if "finetune" in one["metadata"]["name"]
    }
    assert left == {"finetunejobs.finetune.dev", "finetuneprofiles.finetune.dev"}
    assert kube.get("ftj", "support-bot", namespace)
    policy_ground.install(kube, policy_ground.VALUES)
    assert kube.get("ftj", "support-bot", namespace)
