"""What the trainer image must be able to do beyond what a run on CPU asks of it."""

import json

import stories

COMPILE = """
import pathlib, subprocess, sysconfig
source, include = pathlib.Path("/tmp/helper.c"), sysconfig.get_path("include")
source.write_text("#include <Python.h>\\nint answer(void) { return PY_MAJOR_VERSION; }\\n")
subprocess.run(["gcc", "-shared", "-fPIC", "-I", include, "-o", "/tmp/helper.so", str(source)], check=True)
import ctypes
print("answer", ctypes.CDLL("/tmp/helper.so").answer())
"""


def test_a_c_helper_compiles_as_triton_does_it_at_its_first_kernel(kube, images, namespace):
    limits = {"memory": "512Mi"}
    locked = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {
        "name": "compile",
        "image": images["trainer"],
        "command": ["python", "-c", COMPILE],
        "resources": {"limits": limits},
        "securityContext": locked,
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - the pod's own
    }
    spec = {"containers": [container], "restartPolicy": "Never", "volumes": [{"name": "tmp", "emptyDir": {}}]}
    kube.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "compile", "namespace": namespace},
            "spec": spec,
        }
    )

    pod = stories.wait_until(
        lambda: kube.get("pod", "compile", namespace),
        lambda pod: pod["status"]["phase"] in {"Succeeded", "Failed"},
        what="the compiler to end",
        seconds=120,
    )

    said = kube.kubectl("logs", "compile", "-n", namespace)
    assert pod["status"]["phase"] == "Succeeded", said
    assert "answer 3" in said, json.dumps(said)
