"""A real API server takes everything that the chart renders, whatever is asked for."""

import pytest

import chart_tools
import policy_ground
import real_cluster


@pytest.fixture(scope="module")
def place(kube):
    kube.apply(*policy_ground.monitoring_kinds())
    kube.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
    for name in ("team-a", "team-b"):
        kube.kubectl("create", "namespace", name)


@pytest.mark.parametrize("name", chart_tools.VALUES)
def test_all_of_it(name, kube, place):
    versions = (
        "--api-versions",
        "finetune.dev/v1alpha1/FineTuneProfile",
        "--set",
        "defaultProfile.create=true",
    )
    documents = chart_tools.rendered(chart_tools.VALUES[name], *versions)
    said = kube.kubectl(
        "apply", "--server-side", "--force-conflicts", "--dry-run=server", "--field-manager=test", "-f", "-",
        stdin=real_cluster.listed(documents),
    )  # fmt: skip
    assert len(said.splitlines()) == len(documents)


def test_a_field_that_does_not_exist_is_noticed(kube, place):
    """The API server checks field by field: what it takes is understood."""
    (deployment,) = [one for one in chart_tools.rendered({}) if one["kind"] == "Deployment"]
    deployment["spec"]["replicaz"] = 1
    words = (
        "apply",
        "--server-side",
        "--force-conflicts",
        "--dry-run=server",
        "--field-manager=test",
        "-f",
        "-",
    )
    done = kube.run("kubectl", *words, stdin=real_cluster.listed([deployment]))
    assert "field not declared in schema" in done.stderr
