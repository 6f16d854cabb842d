"""helm and promtool for the chart's tests: built or installed once, as the local cluster's programs are."""

import functools
import os
import pathlib
import shutil
import subprocess
from typing import Any

import yaml

from localcluster import places, toolchain
from localcluster.steps import Steps

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "finetune-operator"
NAMESPACE = "finetune-system"
Manifest = dict[str, Any]

NAMESPACES = {"scope": "namespaces", "namespaces": ["team-a", "team-b"]}
MONITORED = {
    "metrics": {
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "podMonitor": {"enabled": True},
        "alerts": {"enabled": True, "runbooks": "https://docs.example/alerts"},
        "dashboards": {"enabled": True},
    }
}
WALLED = {
    "networkPolicy": {
        "operator": {"enabled": True},
        "jobs": {"enabled": True, "namespaces": ["team-a"]},
    }
}
VALUES: dict[str, Manifest] = {
    "as it is": {},
    "one replica": {"replicas": 1},
    "without a Lease": {"replicas": 1, "leaderElection": {"enabled": False}},
    "in namespaces": NAMESPACES,
    "monitored": MONITORED,
    "walled": WALLED,
    "in namespaces, walled": {
        **NAMESPACES,
        "networkPolicy": {"operator": {"enabled": True}, "jobs": {"enabled": True}},
    },
    "all policies": {"policies": {"requester": True, "keepRunning": True}},
    "in namespaces, all policies": {**NAMESPACES, "policies": {"requester": True, "keepRunning": True}},
    "nothing optional": {
        "policies": {"requester": False, "profiles": False},
        "rbac": {"create": False},
        "serviceAccount": {"create": False, "name": "given"},
        "crds": {"install": False},
        "metrics": {"service": {"enabled": False}},
        "podDisruptionBudget": {"enabled": False},
    },
    "everything": {
        **MONITORED,
        **WALLED,
        "policies": {"requester": True, "keepRunning": True},
        "podLabels": {"team": "platform"},
        "podAnnotations": {"note": "x"},
        "imagePullSecrets": ["pull"],
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"operator": "Exists"}],
        "settings": {"FINETUNE_RESYNC_INTERVAL": "600"},
        "serviceAccount": {"annotations": {"note": "x"}},
    },
}
"""Ways to install, by what is special about them."""


@functools.cache
def built(name: str) -> pathlib.Path:
    """A program of the local cluster's, built if it is missing."""
    (build,) = [one for one in toolchain.BUILDS if one.binary == name]
    return toolchain.ensure_built(places.places(os.environ), build, Steps())


def run(program: str | pathlib.Path, *words: str | pathlib.Path, stdin: str | None = None) -> Any:
    """Run it, whatever comes of it."""
    command = [str(program), *map(str, words)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=120)


def helm(*words: str | pathlib.Path, stdin: str | None = None) -> Any:
    """Run helm."""
    return run(built("helm"), *words, stdin=stdin)


def render(values: Manifest, *words: str) -> str:
    """What `helm template` prints for these values."""
    done = helm(
        "template",
        "finetune-operator",
        CHART,
        "-n",
        NAMESPACE,
        "-f",
        "-",
        *words,
        stdin=yaml.safe_dump(values),
    )
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def rendered(values: Manifest, *words: str) -> list[Manifest]:
    """The objects of it."""
    return [document for document in yaml.safe_load_all(render(values, *words)) if document]


def promtool() -> str:
    """Debian's promtool, installed if it is missing."""
    toolchain.ensure_packages(places.places(os.environ), Steps(), toolchain.MONITORING)
    found = shutil.which("promtool")
    assert found is not None
    return found
