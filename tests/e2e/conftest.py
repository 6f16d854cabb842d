"""The ground every story stands on: the local cluster with our operator installed by our chart, and a bucket with a tiny model."""

import json
import pathlib
import subprocess
import sys
import uuid
from typing import Any

import pytest

import stories
import trainer_tiny_model

ROOT = pathlib.Path(__file__).resolve().parents[2]
RELEASE_NAMESPACE = "finetune-system"
Manifest = dict[str, Any]


class Kube:
    """`kubectl` and `helm`, as a user has them."""

    def __init__(self, cluster: dict[str, Any]) -> None:
        self.cluster = cluster
        self.kubeconfig: str = cluster["kubeconfig"]
        self.tools: dict[str, str] = cluster["tools"]

    def run(self, tool: str, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run it, whatever comes of it."""
        return subprocess.run(
            [self.tools[tool], "--kubeconfig", self.kubeconfig, *words],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        """Run kubectl; its output."""
        done = self.run("kubectl", *words, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(words)}: {done.stderr}"
        return done.stdout

    def helm(self, *words: str) -> str:
        """Run helm; its output."""
        done = self.run("helm", *words)
        assert done.returncode == 0, f"helm {' '.join(words)}: {done.stderr}"
        return done.stdout

    def apply(self, manifest: Manifest) -> str:
        """`kubectl apply`; what it said."""
        return self.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))

    def get(self, kind: str, name: str, namespace: str) -> Manifest:
        """One object."""
        found: Manifest = json.loads(self.kubectl("get", kind, name, "-n", namespace, "-o", "json"))
        return found

    def list(self, kind: str, namespace: str, selector: str = "") -> list[Manifest]:
        """Objects of a namespace."""
        words = ["-l", selector] if selector else []
        found: list[Manifest] = json.loads(self.kubectl("get", kind, "-n", namespace, *words, "-o", "json"))[
            "items"
        ]
        return found


def localcluster(*words: str) -> Any:
    """What the cluster tool prints last, as JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "localcluster", *words],
        capture_output=True,
        text=True,
        check=False,
        env=None,
        cwd=ROOT / "tests" / "cluster",
    )
    assert done.returncode == 0, f"localcluster {' '.join(words)}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return json.loads(done.stdout if words[0] == "info" else done.stdout.strip().splitlines()[-1])


@pytest.fixture(scope="session")
def cluster() -> dict[str, Any]:
    """Facts of the cluster that `make cluster` started."""
    found: dict[str, Any] = localcluster("info")
    return found


@pytest.fixture(scope="session")
def images(cluster) -> dict[str, str]:
    """The two images that `make images` pushed."""
    found: dict[str, str] = localcluster("images")
    return found


@pytest.fixture(scope="session")
def kube(cluster, images, tmp_path_factory) -> Kube:
    """The cluster, with our operator in it."""
    kube = Kube(cluster)
    values = tmp_path_factory.mktemp("helm") / "values.json"
    values.write_text(
        json.dumps(
            {
                "image": {"reference": images["operator"]},
                "trainerImage": {"reference": images["trainer"]},
                "progress": {"intervalSeconds": 2},
            }
        )
    )
    kube.helm(
        "upgrade",
        "--install",
        "finetune-operator",
        str(ROOT / "charts" / "finetune-operator"),
        "--namespace",
        RELEASE_NAMESPACE,
        "--create-namespace",
        "--values",
        str(values),
        "--wait",
        "--timeout",
        "180s",
    )
    return kube


@pytest.fixture(scope="session")
def bucket(cluster) -> stories.Bucket:
    """The local bucket, with a tiny model and a small data set in it."""
    bucket = stories.Bucket(cluster["s3"])
    for file in sorted(trainer_tiny_model.folder().iterdir()):
        bucket.put(f"models/tiny/{file.name}", file.read_bytes())
    bucket.put("data/talk.jsonl", stories.jsonl(stories.TALK))
    return bucket


@pytest.fixture(scope="session")
def make_namespace(kube, bucket, cluster):
    """Make namespaces that enforce the restricted profile and hold the usual Secrets; they go at the end."""
    made: list[str] = []

    def make(title: str) -> str:
        name = f"{title}-{uuid.uuid4().hex[:6]}"
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        kube.apply(bucket.secret(name))
        stranger = cluster["s3"]["stranger"]
        kube.apply(
            bucket.secret(
                name,
                "stranger",
                AWS_ACCESS_KEY_ID=stranger["accessKey"],
                AWS_SECRET_ACCESS_KEY=stranger["secretKey"],
            )
        )
        made.append(name)
        return name

    yield make
    for name in made:
        kube.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def namespace(make_namespace, request) -> str:
    """A namespace for one story."""
    made: str = make_namespace("story")
    return made
