"""A namespace that enforces the Pod Security Standard *restricted* takes every pod of ours."""

import json

import pytest
import yaml

import chart_tools

MANIFESTS = chart_tools.ROOT / "tests" / "data" / "manifests"
JOBS = sorted(MANIFESTS.glob("*-job.yaml"))


@pytest.fixture(scope="module")
def restricted(kube):
    with kube.fresh_namespace(**{"pod-security.kubernetes.io/enforce": "restricted"}) as name:
        for account in ("default", "trainer", "finetune-operator"):
            kube.apply(
                {
                    "apiVersion": "v1",
                    "kind": "ServiceAccount",
                    "metadata": {"name": account, "namespace": name},
                }
            )
        yield name


def creating(kube, namespace, spec):
    """What the API server says to a pod."""
    spec = {key: value for key, value in spec.items() if key not in {"runtimeClassName", "priorityClassName"}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": namespace}, "spec": spec}
    done = kube.run("kubectl", "create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))
    return done.stdout + done.stderr


@pytest.mark.parametrize("file", JOBS, ids=lambda file: file.stem)
def test_the_jobs_pods(file, kube, restricted):
    spec = yaml.safe_load(file.read_text())["spec"]["template"]["spec"]
    assert "pod/x created" in creating(kube, restricted, spec)


def test_the_operators_pod(kube, restricted):
    (deployment,) = [one for one in chart_tools.rendered({}) if one["kind"] == "Deployment"]
    assert "pod/x created" in creating(kube, restricted, deployment["spec"]["template"]["spec"])


def test_it_is_enforced(kube, restricted):
    spec = yaml.safe_load(JOBS[0].read_text())["spec"]["template"]["spec"]
    spec["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    assert 'violates PodSecurity "restricted' in creating(kube, restricted, spec)
