"""A real API server with our CustomResourceDefinitions, and `kubectl` and `helm` as a user has them.

The cluster is the one of `make cluster`, or with CLUSTER=current the one of your kubeconfig. No pod of ours needs to run: where our
chart is not installed yet it is installed with no replica.
"""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import stories

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "finetune-operator"
RELEASE = "finetune-operator"
RELEASE_NAMESPACE = "finetune-system"
Manifest = dict[str, Any]
Done = subprocess.CompletedProcess[str]


class ApiServer:
    """Commands against one API server."""

    def __init__(self, kubeconfig: str, tools: dict[str, str]) -> None:
        self.kubeconfig = kubeconfig
        self.tools = tools

    def run(self, tool: str, *words: str, stdin: str | None = None) -> Done:
        """Run it, whatever comes of it."""
        program = self.tools.get(tool) or shutil.which(tool) or tool
        command = [program, "--kubeconfig", self.kubeconfig, *words]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=300)

    def must(self, tool: str, *words: str, stdin: str | None = None) -> str:
        """Run it; its output."""
        done = self.run(tool, *words, stdin=stdin)
        assert done.returncode == 0, f"{tool} {' '.join(words)}: {done.stderr}"
        return done.stdout

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        """Run kubectl; its output."""
        return self.must("kubectl", *words, stdin=stdin)

    def helm(self, *words: str) -> str:
        """Run helm; its output."""
        return self.must("helm", *words)

    def apply(self, *manifests: Manifest) -> str:
        """`kubectl apply -f`; what it said."""
        return self.kubectl("apply", "-f", "-", stdin=listed(manifests)).strip()

    def refusal(self, manifest: Manifest) -> str:
        """What `kubectl apply -f` says to a manifest that must not pass."""
        done = self.run("kubectl", "apply", "-f", "-", stdin=listed([manifest]))
        assert done.returncode != 0, f"this was accepted: {done.stdout}"
        return done.stderr.strip()

    def get(self, kind: str, name: str, namespace: str = "default") -> Manifest:
        """One object."""
        found: Manifest = json.loads(self.kubectl("get", kind, name, "-n", namespace, "-o", "json"))
        return found

    def list(self, kind: str, namespace: str, selector: str = "") -> list[Manifest]:
        """Objects of a namespace."""
        words = ["-l", selector] if selector else []
        found: Manifest = json.loads(self.kubectl("get", kind, "-n", namespace, *words, "-o", "json"))
        return list(found["items"])

    @contextlib.contextmanager
    def fresh_namespace(self, **labels: str) -> Iterator[str]:
        """A namespace that goes afterwards."""
        name = f"api-{uuid.uuid4().hex[:8]}"
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        yield name
        self.kubectl("delete", "namespace", name, "--wait=false")


def listed(manifests: Any) -> str:
    """Manifests as one stream for `kubectl apply -f -`."""
    return "\n---\n".join(json.dumps(manifest) for manifest in manifests)


def localcluster(*words: str) -> str:
    """What the cluster tool prints."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "cluster")}
    command = [sys.executable, "-m", "localcluster", *words]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (
        f"localcluster {' '.join(words)}: {done.stderr[-2000:]}\nis the cluster up? `make cluster`"
    )
    return done.stdout.strip()


def info() -> dict[str, Any]:
    """What `localcluster info` prints."""
    found: dict[str, Any] = json.loads(localcluster("info"))
    return found


def api_server() -> ApiServer:
    """The cluster's API server, with this checkout's CustomResourceDefinitions and roles."""
    found = info()
    server = ApiServer(found["kubeconfig"], found["tools"])
    installed = json.loads(server.helm("list", "-n", RELEASE_NAMESPACE, "-o", "json"))
    kept = ["--reset-then-reuse-values"] if installed else ["--set", "replicas=0"]
    install = [
        "upgrade",
        "--install",
        RELEASE,
        str(CHART),
        "-n",
        RELEASE_NAMESPACE,
        "--create-namespace",
        *kept,
    ]
    done = stories.wait_until(
        lambda: server.run("helm", *install),
        lambda done: "another operation" not in done.stderr,
        what="whoever installs our chart just now to be done",
        seconds=200,
    )
    assert done.returncode == 0, done.stderr
    server.kubectl(
        "wait",
        "--for=condition=Established",
        "--timeout=60s",
        "crd",
        "-l",
        "app.kubernetes.io/managed-by=Helm",
    )
    return server


def finetunejob(namespace: str, name: str = "support-bot", **spec: Any) -> Manifest:
    """The shortest job there is, paused, so that an operator that looks at it makes no pod."""
    return {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "model": {"uri": "hf://Qwen/Qwen3-0.6B"},
            "dataset": {"train": [{"uri": "s3://team-a/tickets.jsonl"}]},
            "output": {"uri": f"s3://team-a/adapters/{name}", "credentialsSecretRef": {"name": "bucket"}},
            "runPolicy": {"suspend": True},
            **spec,
        },
    }
