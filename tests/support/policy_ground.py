"""A real API server without nodes, for what it says to people and to manifests: the chart is installed on it, with no replica."""

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import yaml

import chart_tools
import real_cluster
from localcluster import places, programs, toolchain
from localcluster.steps import Steps

TOOLS = ("kubectl", "helm")
OPERATOR = f"system:serviceaccount:{real_cluster.RELEASE_NAMESPACE}:finetune-operator"
PROMETHEUS_OPERATOR = "github.com/prometheus-operator/prometheus-operator"
MONITORING = ("servicemonitors", "podmonitors", "prometheusrules")
Manifest = dict[str, Any]
VALUES: Manifest = {"policies": {"requester": True, "keepRunning": True}}
"""What it is installed with."""


@contextlib.contextmanager
def control_plane() -> Iterator[real_cluster.ApiServer]:
    """One without any object, gone afterwards."""
    tools = {
        build.binary: str(toolchain.ensure_built(places.places(os.environ), build, Steps()))
        for build in toolchain.BUILDS
        if build.binary in TOOLS
    }
    real_cluster.localcluster("kwok-control-plane", "down")
    try:
        found = json.loads(real_cluster.localcluster("kwok-control-plane", "up", "--nodes", "1"))
        yield real_cluster.ApiServer(found["kubeconfig"], tools)
    finally:
        real_cluster.localcluster("kwok-control-plane", "down")


def install(kube: real_cluster.ApiServer, values: Manifest, release: str = "finetune-operator") -> None:
    """The chart, as a user installs it; no replica, since no image is at hand."""
    file = ["--set-json", f"{','.join(f'{name}={json.dumps(value)}' for name, value in values.items())}"]
    namespace = real_cluster.RELEASE_NAMESPACE if release == "finetune-operator" else release
    words = ["-n", namespace, "--create-namespace", "--set", "replicas=0", *(file if values else [])]
    kube.helm("upgrade", "--install", release, str(chart_tools.CHART), *words)
    kube.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "finetunejobs.finetune.dev")


def monitoring_kinds() -> list[Manifest]:
    """Kinds of the Prometheus operator that the chart makes objects of, as its own repository defines them."""
    module = toolchain.SOURCES / "tools" / "prometheus-operator"
    answer = programs.run("go", "mod", "download", "-json", PROMETHEUS_OPERATOR, cwd=module)
    folder = pathlib.Path(json.loads(answer)["Dir"]) / "example" / "prometheus-operator-crd"
    files = [folder / f"monitoring.coreos.com_{plural}.yaml" for plural in MONITORING]
    return [yaml.safe_load(file.read_text()) for file in files]


def rights(kube: real_cluster.ApiServer, who: str, namespace: str) -> set[tuple[str, str, str, str]]:
    """What `kubectl auth can-i --list` tells: API group, resource, verb, and the name that it is bound to or nothing."""
    asked = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    words = ("create", "--validate=false", "-f", "-", "-o", "json", f"--as={who}")
    groups = ("system:serviceaccounts", "system:authenticated")
    answer = kube.kubectl(*words, *(f"--as-group={one}" for one in groups), stdin=json.dumps(asked))
    status = json.loads(answer)["status"]
    assert not status["incomplete"]
    return {
        (group, resource, verb, name)
        for rule in status["resourceRules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames") or [""]
    }
