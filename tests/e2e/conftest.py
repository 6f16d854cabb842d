"""The ground every story stands on: the local cluster with our operator installed by our chart, and a bucket with a tiny model."""

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest

import former
import real_cluster
import stories
import trainer_tiny_model


@pytest.fixture(scope="session")
def cluster() -> dict[str, Any]:
    """Facts of the cluster that `make cluster` started."""
    return real_cluster.info()


@pytest.fixture(scope="session")
def images(cluster) -> dict[str, str]:
    """The two images that `make images` pushed."""
    found: dict[str, str] = json.loads(real_cluster.localcluster("images").splitlines()[-1])
    return found


@pytest.fixture(scope="session")
def kube(cluster, install) -> real_cluster.ApiServer:
    """The cluster, with our operator in it."""
    install()
    return real_cluster.ApiServer(cluster["kubeconfig"], cluster["tools"])


@pytest.fixture(scope="session")
def install(cluster, images, tmp_path_factory) -> Callable[[], None]:
    """Have the release that all stories share, ready."""
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
    kube = real_cluster.ApiServer(cluster["kubeconfig"], cluster["tools"])

    def upgrade() -> None:
        kube.helm(
            "upgrade", "--install", real_cluster.RELEASE, str(real_cluster.CHART),
            "--namespace", real_cluster.RELEASE_NAMESPACE, "--create-namespace",
            "--values", str(values), "--wait", "--timeout", "180s",
        )  # fmt: skip

    return upgrade


@pytest.fixture
def no_operator(cluster, kube, install):
    """For the length of a story no release of ours is there but its own; afterwards the one that all share is."""
    if not cluster["nodes"]:
        pytest.skip("takes our operator out of the cluster; only the local one is there for that")
    away = ("uninstall", real_cluster.RELEASE, "-n", real_cluster.RELEASE_NAMESPACE)
    kube.helm(*away, "--wait")
    yield
    kube.helm(*away, "--wait", "--ignore-not-found")
    install()


@pytest.fixture(scope="session")
def before(cluster, tmp_path_factory) -> former.Former:
    """A chart and an operator that are not today's."""
    return former.built(tmp_path_factory.mktemp("former"))


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
        if stranger := cluster["s3"]["stranger"]:
            keys = {
                "AWS_ACCESS_KEY_ID": stranger["accessKey"],
                "AWS_SECRET_ACCESS_KEY": stranger["secretKey"],
            }
            kube.apply(bucket.secret(name, "stranger", **keys))
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


@pytest.fixture(scope="module")
def second_node(cluster):
    """Another node than the one that everything else runs on; it may die."""
    if not cluster["nodes"]:
        pytest.skip("needs a node to spare; only the local cluster has one")
    name = real_cluster.localcluster("add-node").splitlines()[-1]
    yield name
    real_cluster.localcluster("remove-node", name)
