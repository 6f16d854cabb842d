"""Kueue, an optional part: its controller built from source, its own chart without what no test needs."""

import json
import shutil
from pathlib import Path
from typing import Any

from localcluster import addresses, locking, programs, registry, toolchain
from localcluster.building import Buildah
from localcluster.places import Places
from localcluster.steps import Steps

RELEASE, NAMESPACE = "kueue", "kueue-system"
MODULE = "sigs.k8s.io/kueue"
MANAGED = {"kueue-managed": "true"}
"""Label of the namespaces whose Jobs Kueue manages: nobody else's are touched."""


def up(places: Places, steps: Steps) -> None:
    """Have Kueue in the cluster, ready."""
    binary = toolchain.ensure_built(places, toolchain.KUEUE, steps)
    image = _image(places, binary, steps)
    folder = _chart(places)
    values = folder.with_suffix(".json")
    values.write_text(json.dumps(chart_values(image)))
    with steps.step("install Kueue", "about 10 s"):
        where = ("--namespace", NAMESPACE, "--create-namespace", "--values", str(values))
        _helm(places, "upgrade", "--install", RELEASE, str(folder), *where, "--wait", "--timeout", "600s")


def down(places: Places, steps: Steps) -> None:
    """Remove it, with all queues and Workloads: Jobs that it holds back stay suspended."""
    with steps.step("remove Kueue", "about 5 s"):
        queues = "localqueues,clusterqueues,resourceflavors"  # their finalizers need the controller
        kubectl = (str(places.binaries / "kubectl"), "--kubeconfig", str(places.kubeconfig))
        programs.run(*kubectl, "delete", queues, "--all", "--all-namespaces", "--timeout=120s")
        _helm(places, "uninstall", RELEASE, "--namespace", NAMESPACE, "--ignore-not-found", "--wait")


def chart_values(image: str) -> dict[str, Any]:
    """PURE: one small replica that manages the Jobs of labelled namespaces alone."""
    repository, _, tag = image.rpartition(":")
    configuration = {
        "apiVersion": "config.kueue.x-k8s.io/v1beta2",
        "kind": "Configuration",
        "health": {"healthProbeBindAddress": ":8081"},
        "metrics": {"bindAddress": ":8443"},
        "webhook": {"port": 9443},
        "leaderElection": {"leaderElect": False},
        "manageJobsWithoutQueueName": False,
        "managedJobsNamespaceSelector": {"matchLabels": MANAGED},
        "integrations": {"frameworks": ["batch/job"]},
    }
    return {
        "controllerManager": {
            "replicas": 1,
            "featureGates": [{"name": "VisibilityOnDemand", "enabled": False}],
            "manager": {
                "image": {"repository": repository, "tag": tag},
                "resources": {
                    "requests": {"cpu": "50m", "memory": "128Mi"},
                    "limits": {"cpu": "2", "memory": "512Mi"},
                },
            },
            "readinessProbe": {"initialDelaySeconds": 1, "periodSeconds": 1},
        },
        "managerConfig": {"controllerManagerConfigYaml": json.dumps(configuration)},
    }


def _image(places: Places, binary: Path, steps: Steps) -> str:
    """The controller's image, by its key; in the registry after this call."""
    tag = toolchain.KUEUE.key
    if not registry.has(addresses.REGISTRY, "kueue", tag):
        with (
            locking.turn(places.images_lock, steps),
            steps.step("image of Kueue's controller", "about 10 s"),
        ):
            buildah = Buildah(places)
            entry = ("--entrypoint", '["/manager"]', "--user", "65532:65532")
            buildah.from_files(f"localhost/kueue:{tag}", {binary: "/manager"}, *entry)
            buildah.push(f"localhost/kueue:{tag}", f"{addresses.REGISTRY}/kueue:{tag}", plain=True)
            buildah.settle()
    return f"{addresses.REGISTRY_NAME}/kueue:{tag}"


def _chart(places: Places) -> Path:
    """A copy of the module's chart. Its API service is left out: while one is unavailable no namespace can go."""
    answer = programs.run("go", "mod", "download", "-json", MODULE, cwd=toolchain.KUEUE.folder)
    folder = places.state / "kueue-chart"
    shutil.rmtree(folder, ignore_errors=True)
    left_out = shutil.ignore_patterns("visibility*", "tests")
    source = Path(json.loads(answer)["Dir"]) / "charts" / "kueue"
    shutil.copytree(source, folder, ignore=left_out, copy_function=shutil.copyfile)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


def _helm(places: Places, *words: str) -> None:
    programs.run(str(places.binaries / "helm"), "--kubeconfig", str(places.kubeconfig), *words)
