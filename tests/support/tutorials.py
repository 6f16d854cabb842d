"""The examples that retell tutorials, as a test runs them: their own YAML, made small, and the data that their scripts make."""

import pathlib
import subprocess
import sys
from typing import Any

import yaml

import real_cluster

Manifest = dict[str, Any]
FOLDER = real_cluster.ROOT / "examples"
ROWS: dict[str, dict[str, int]] = {
    "alpaca": {"python-reference.jsonl": 230},
    "multi-turn-chat": {"single.jsonl": 80, "multi.jsonl": 60},
    "qlora-then-dpo": {"answers.jsonl": 100, "pairs.jsonl": 220},
    "document-to-title": {"train.jsonl": 300, "held-out.jsonl": 60},
    "from-openai": {"training.jsonl": 98, "validation.jsonl": 26},
}
"""Each of them, the files that its script makes of Python's own texts, and how many rows they have."""

PROFILE: Manifest = {
    "apiVersion": "finetune.dev/v1alpha1",
    "kind": "FineTuneProfile",
    "metadata": {"name": "pretended-gpus"},
    "spec": {"gpu": {"simulated": True}},
}
"""Whatever the cluster's default profile says."""
TRAINING = {"maxSteps": 4, "globalBatchSize": 4, "maxLength": 512}
"""Instead of epochs. Rows of the tiny model are longer than a real one's: its vocabulary is small."""
EVALUATION = {"maxAnswers": 16, "maxNewTokens": 8}
RESOURCES = {
    "cpu": "300m",
    "memory": "2Gi",
    "scratch": "2Gi",
    "prepare": {"cpu": "200m", "memory": "1536Mi"},
}


def make_data(name: str, folder: pathlib.Path) -> list[pathlib.Path]:
    """Run its script as a reader does; the files, by name."""
    subprocess.run(
        [sys.executable, str(FOLDER / name / "make_data.py"), str(folder)], check=True, capture_output=True
    )
    return sorted(folder.iterdir())


def jobs(name: str) -> list[Manifest]:
    """The FineTuneJobs of its YAML, as they stand there."""
    return list(yaml.safe_load_all((FOLDER / name / "finetunejob.yaml").read_text()))


def small(job: Manifest, namespace: str, *, bucket: str, data: str) -> Manifest:
    """The same job for a tiny model on a CPU: places, length and resources are others, everything else is the example's.

    `data`: the prefix in the bucket that stands for `s3://team-a/`. GPUs are asked for as in the example: they are pretended
    ones, and `PROFILE` trains on the CPU.
    """
    spec = job["spec"]
    dataset = {**spec["dataset"]}
    for part in ("train", "eval"):
        if part in dataset:
            dataset[part] = [
                {**source, "uri": source["uri"].replace("s3://team-a/", f"s3://{bucket}/{data}/")}
                for source in dataset[part]
            ]
    training = {key: value for key, value in spec["training"].items() if key != "epochs"}
    return {
        **job,
        "metadata": {**job["metadata"], "namespace": namespace},
        "spec": {
            **spec,
            "profile": PROFILE["metadata"]["name"],
            "model": {**spec["model"], "uri": f"s3://{bucket}/models/tiny"},
            "dataset": dataset,
            "training": {**training, **TRAINING},
            "evaluation": {**spec.get("evaluation", {}), **EVALUATION},
            "output": {
                **spec["output"],
                "uri": spec["output"]["uri"].replace(
                    "s3://team-a/adapters", f"s3://{bucket}/adapters/{namespace}"
                ),
            },
            "resources": {**spec["resources"], **RESOURCES},
        },
    }
