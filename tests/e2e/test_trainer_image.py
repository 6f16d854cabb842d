"""What the trainer image must be able to do beyond what a run on CPU asks of it."""

from typing import Any

import pytest

import real_cluster
import stories

COMPILE = """
import pathlib, subprocess, sysconfig
source, include = pathlib.Path("/tmp/helper.c"), sysconfig.get_path("include")
source.write_text("#include <Python.h>\\nint answer(void) { return PY_MAJOR_VERSION; }\\n")
subprocess.run(["gcc", "-shared", "-fPIC", "-I", include, "-o", "/tmp/helper.so", str(source)], check=True)
import ctypes
print("answer", ctypes.CDLL("/tmp/helper.so").answer())
"""
WORDS = """
import json, re, textwrap, typing
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from finetune_trainer.data.vocabulary import Vocabulary

modules = (json, re, textwrap, typing)
texts = [thing.__doc__ for module in modules for thing in (module, *vars(module).values())]
texts = [text for text in texts if isinstance(text, str)]
engine, alphabet = Tokenizer(models.BPE()), pre_tokenizers.ByteLevel.alphabet()
engine.pre_tokenizer, engine.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
trainer = trainers.BpeTrainer(vocab_size=2000, initial_alphabet=alphabet, show_progress=False)
engine.train_from_iterator(texts, trainer)
asked = Vocabulary(engine.to_str(), 0, False).tokens(texts * 2, special=False)
wrong = [text for text, found in zip(texts * 2, asked, strict=True) if found.ids != engine.encode(text).ids]
print("parted", sum(type(one).__name__ == "Joined" for one in asked) > len(texts) // 2, "wrong", len(wrong), wrong[:1])
"""


@pytest.fixture
def run_in_image(kube: real_cluster.ApiServer, images: dict[str, Any], namespace: str):
    """Run a program with the image's python, as locked in as a training pod is: what it printed."""

    def run(name: str, program: str, memory: str = "512Mi") -> str:
        locked = {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        container = {
            "name": name,
            "image": images["trainer"],
            "command": ["python", "-c", program],
            "resources": {"limits": {"memory": memory}},
            "securityContext": locked,
            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - the pod's own
        }
        spec = {
            "containers": [container],
            "restartPolicy": "Never",
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        }
        metadata = {"name": name, "namespace": namespace}
        kube.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        pod = stories.wait_until(
            lambda: kube.get("pod", name, namespace),
            lambda pod: pod["status"]["phase"] in {"Succeeded", "Failed"},
            what=f"the pod {name} to end",
            seconds=120,
        )
        said: str = kube.kubectl("logs", name, "-n", namespace)
        assert pod["status"]["phase"] == "Succeeded", said
        return said

    return run


def test_a_c_helper_compiles_as_triton_does_it_at_its_first_kernel(run_in_image):
    assert "answer 3" in run_in_image("compile", COMPILE)


def test_words_get_the_same_tokens_with_the_images_python(run_in_image):
    """Debian's python 3.11.2 matches some regular expressions wrongly that the python of the unit tests matches rightly."""
    assert "parted True wrong 0" in run_in_image("words", WORDS)
