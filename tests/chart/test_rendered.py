"""What the chart makes of many ways to install it. What a real API server says to it is in tests/policies."""

import re

import pytest
import yaml

import chart_tools
from chart_tools import VALUES, rendered

CLUSTER_SCOPED = {
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "FineTuneProfile",
}
WITH_PROFILE = ("--api-versions", "finetune.dev/v1alpha1/FineTuneProfile")


@pytest.fixture(params=VALUES, ids=lambda name: name.replace(" ", "-"))
def documents(request):
    return rendered(VALUES[request.param])


def of_kind(documents, kind):
    return [one for one in documents if one["kind"] == kind]


def kinds(documents):
    return {one["kind"] for one in documents}


@pytest.mark.parametrize("name", VALUES)
def test_helm_lints_it(name, tmp_path):
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump(VALUES[name]))
    done = chart_tools.helm("lint", "--strict", chart_tools.CHART, "-f", values)
    assert "0 chart(s) failed" in done.stdout, done.stdout


@pytest.mark.parametrize("name", VALUES)
def test_rendered_twice_it_is_the_same(name):
    assert chart_tools.render(VALUES[name]) == chart_tools.render(VALUES[name])


def test_everything_says_whose_it_is_and_where(documents):
    for one in documents:
        where = f"{one['kind']} {one['metadata']['name']}"
        assert ("namespace" in one["metadata"]) == (one["kind"] not in CLUSTER_SCOPED), where
        if one["kind"] != "CustomResourceDefinition":
            assert one["metadata"]["labels"]["app.kubernetes.io/instance"] == "finetune-operator", where
        assert "helm.sh/hook" not in one["metadata"].get("annotations", {}), where


def test_no_two_objects_have_one_name(documents):
    names = [(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in documents]
    assert len(names) == len(set(names))


def test_the_pod_is_restricted_and_bounded(documents):
    (deployment,) = of_kind(documents, "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container)
    assert container["resources"]["limits"].keys() == {"memory"}
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}


def test_as_it_is_two_pods_one_leads_and_a_drain_takes_one_at_a_time():
    documents = rendered({})
    (deployment,) = of_kind(documents, "Deployment")
    (budget,) = of_kind(documents, "PodDisruptionBudget")
    assert deployment["spec"]["replicas"] == 2
    assert budget["spec"]["maxUnavailable"] == 1
    assert budget["spec"]["selector"] == deployment["spec"]["selector"]
    (term,) = deployment["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"][
        "preferredDuringSchedulingIgnoredDuringExecution"
    ]
    assert term["podAffinityTerm"]["labelSelector"] == deployment["spec"]["selector"]


def test_of_one_pod_there_is_nothing_to_keep():
    documents = rendered(VALUES["one replica"])
    assert of_kind(documents, "PodDisruptionBudget") == []
    assert "affinity" not in of_kind(documents, "Deployment")[0]["spec"]["template"]["spec"]


def test_without_a_lease_there_is_never_a_second_pod():
    (deployment,) = of_kind(rendered(VALUES["without a Lease"]), "Deployment")
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}


def test_what_is_made_unless_asked_for():
    assert kinds(rendered({})) == {
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "Deployment",
        "PodDisruptionBudget",
        "Role",
        "RoleBinding",
        "Service",
        "ServiceAccount",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    }


def test_nothing_optional_leaves_the_deployment_alone():
    assert kinds(rendered(VALUES["nothing optional"])) == {"Deployment", "ClusterRole"}
    names = [one["metadata"]["name"] for one in of_kind(rendered(VALUES["nothing optional"]), "ClusterRole")]
    assert all(name.endswith(("-view", "-edit")) for name in names), "the roles of people; rbac.aggregate"


def test_everything_is_what_can_be_asked_for():
    values = {**VALUES["everything"], "defaultProfile": {"create": True}}
    assert kinds(rendered(values, *WITH_PROFILE)) == kinds(rendered({})) | {
        "ConfigMap",
        "FineTuneProfile",
        "NetworkPolicy",
        "PodMonitor",
        "PrometheusRule",
        "ServiceMonitor",
    }


def test_served_namespaces_are_all_that_is_reached():
    """Beside what belongs to the cluster: profiles are read, CRDs and the roles of people made, policies bound there alone."""
    documents = rendered(VALUES["in namespaces, all policies"])
    for binding in of_kind(documents, "ValidatingAdmissionPolicyBinding"):
        (expression,) = binding["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"]
        assert expression["values"] == ["team-a", "team-b"]
    (role,) = [
        one
        for one in of_kind(documents, "ClusterRole")
        if not one["metadata"]["name"].endswith(("-view", "-edit"))
    ]
    assert {resource for rule in role["rules"] for resource in rule["resources"]} == {"finetuneprofiles"}


def test_in_the_whole_cluster_policies_hold_everywhere():
    for binding in of_kind(rendered(VALUES["all policies"]), "ValidatingAdmissionPolicyBinding"):
        assert binding["spec"].keys() == {"policyName", "validationActions"}
        assert binding["spec"]["validationActions"] == ["Deny"]


def test_monitors_find_what_they_are_for():
    documents = rendered(VALUES["monitored"])
    (service,) = of_kind(documents, "Service")
    (monitor,) = of_kind(documents, "ServiceMonitor")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert {one["port"] for one in monitor["spec"]["endpoints"]} <= {
        one["name"] for one in service["spec"]["ports"]
    }
    assert monitor["metadata"]["labels"]["release"] == "prometheus"


def test_pod_monitor_and_walls_find_the_pods_that_the_operator_makes():
    job = yaml.safe_load(
        (chart_tools.ROOT / "tests/data/manifests/minimal-on-cpu.training-job.yaml").read_text()
    )
    template = job["spec"]["template"]
    documents = rendered({**VALUES["monitored"], **chart_tools.WALLED})
    (monitor,) = of_kind(documents, "PodMonitor")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert set(monitor["spec"]["podTargetLabels"]) <= set(template["metadata"]["labels"])
    ports = {one["name"] for one in template["spec"]["containers"][0]["ports"]}
    assert {one["port"] for one in monitor["spec"]["podMetricsEndpoints"]} <= ports
    (wall,) = [one for one in of_kind(documents, "NetworkPolicy") if one["metadata"]["namespace"] == "team-a"]
    assert wall["spec"]["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()


def test_walls_stand_in_the_namespaces_that_are_named_or_served():
    def where(name):
        return {
            one["metadata"]["namespace"]
            for one in of_kind(rendered(VALUES[name]), "NetworkPolicy")
            if one["metadata"]["name"].endswith("-jobs")
        }

    assert where("walled") == {"team-a"}
    assert where("in namespaces, walled") == {"team-a", "team-b"}
    assert where("as it is") == set()


def test_alerts_lead_to_the_runbooks_that_were_named():
    (rule,) = of_kind(rendered(VALUES["monitored"]), "PrometheusRule")
    plain = yaml.safe_load((chart_tools.CHART / "files/alerts.yaml").read_text())
    links = [one["annotations"]["runbook_url"] for group in rule["spec"]["groups"] for one in group["rules"]]
    assert len(links) == sum(len(group["rules"]) for group in plain["groups"])
    assert all(re.fullmatch(r"https://docs\.example/alerts#finetune\w+", link) for link in links)


def test_dashboards_are_in_the_config_map_as_they_lie_there():
    (found,) = of_kind(rendered(VALUES["monitored"]), "ConfigMap")
    files = {path.name: path for path in (chart_tools.CHART / "files/dashboards").glob("*.json")}
    assert found["data"].keys() == files.keys()
    for name, path in files.items():
        assert yaml.safe_load(found["data"][name]) == yaml.safe_load(path.read_text())


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"metrics": {"serviceMonitor": {"enabled": True, "every": "30s"}}}, "/metrics/serviceMonitor"),
        (
            {"metrics": {"serviceMonitor": {"enabled": True}, "service": {"enabled": False}}},
            "/metrics/service",
        ),
        ({"networkPolicy": {"jobs": {"enabled": True}}}, "/networkPolicy/jobs/namespaces"),
        ({"leaderElection": {"enabled": False}}, "/replicas"),
        ({"policies": {"requestor": True}}, "/policies"),
    ],
    ids=str,
)
def test_what_does_not_fit_together_is_refused_with_its_place(values, where):
    done = chart_tools.helm("template", "x", chart_tools.CHART, "-f", "-", stdin=yaml.safe_dump(values))
    assert done.returncode != 0
    assert where in done.stderr
