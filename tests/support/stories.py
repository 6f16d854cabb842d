"""What the end-to-end stories are told with: jobs to apply, a bucket to look into, waits that say what they waited for."""

import json
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import obstore
import obstore.store

Manifest = dict[str, Any]
T = TypeVar("T")
POLL_SECONDS = 0.5

TALK = [
    {
        "messages": [
            {"role": "user", "content": f"What is {a} plus {b}?"},
            {"role": "assistant", "content": f"{a} plus {b} is {a + b}."},
        ]
    }
    for a in range(8)
    for b in range(5)
]
"""Forty one-turn conversations."""


def jsonl(rows: Iterable[Any]) -> bytes:
    """Rows as JSON lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def finetunejob(name: str, namespace: str, *, bucket: str, **spec: Any) -> Manifest:
    """A small job on CPU that ends in seconds; `spec` replaces whole top-level fields."""
    default: Manifest = {
        "model": {"uri": f"s3://{bucket}/models/tiny"},
        "dataset": {"train": [{"uri": f"s3://{bucket}/data/talk.jsonl"}], "evalFraction": 0.1},
        "training": {"maxSteps": 4, "globalBatchSize": 4, "maxLength": 128},
        "tuning": {"lora": {"rank": 4}},
        "output": {
            "uri": f"s3://{bucket}/adapters/{namespace}/{name}",
            "credentialsSecretRef": {"name": "bucket"},
        },
        "resources": {
            "gpusPerNode": 0,
            "cpu": "500m",
            "memory": "2Gi",
            "scratch": "2Gi",
            "prepare": {"cpu": "250m", "memory": "1536Mi"},
        },
    }
    return {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {**default, **spec},
    }


def condition(job: Manifest, kind: str) -> Manifest:
    """The condition of that type, or an empty one."""
    for one in job.get("status", {}).get("conditions", []):
        if one["type"] == kind:
            found: Manifest = one
            return found
    return {}


def says(job: Manifest) -> str:
    """What `kubectl get ftj NAME -o yaml` tells a person first: reason and message of Ready."""
    ready = condition(job, "Ready")
    return f"{ready.get('reason')}: {ready.get('message')}"


def training_attempts(job: Manifest) -> list[dict[str, Any]]:
    """The attempts of the training stage."""
    return [one for one in job["status"]["attempts"] if one["stage"] == "Train"]


def ended(job: Manifest) -> bool:
    """Whether the job is over, well or not."""
    return job.get("status", {}).get("state") in {"Succeeded", "Failed"}


def wait_until(look: Callable[[], T], holds: Callable[[T], bool], *, what: str, seconds: float) -> T:
    """Look again and again until it holds; the last thing seen is in the failure's message."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if holds(seen):
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s for {what}; last seen: {shortened(seen)}")
        time.sleep(POLL_SECONDS)


def shortened(seen: Any) -> str:
    """Something seen, short enough for a failure's message."""
    if isinstance(seen, dict) and "status" in seen:
        seen = seen["status"]
    return json.dumps(seen, default=str)[:3000]


class Bucket:
    """A bucket of the local S3 server."""

    def __init__(self, s3: dict[str, str], name: str | None = None) -> None:
        self.s3 = s3
        self.name = name or s3["bucket"]
        self.store = obstore.store.S3Store(
            self.name,
            endpoint=s3["endpoint"],
            access_key_id=s3["accessKey"],
            secret_access_key=s3["secretKey"],
            region=s3["region"],
            client_options={"allow_http": True},
        )

    def put(self, key: str, content: bytes) -> None:
        """Write an object."""
        obstore.put(self.store, key, content)

    def get(self, key: str) -> bytes:
        """Read an object."""
        return bytes(obstore.get(self.store, key).bytes())

    def weights(self, output: str) -> str:
        """SHA-256 of the published weights below `output`, from the manifest."""
        manifest = json.loads(self.get(f"{output}/finetune-manifest.json"))
        digest: str = manifest["files"]["adapter_model.safetensors"]["sha256"]
        return digest

    def keys(self, prefix: str) -> list[str]:
        """Names below a prefix."""
        return sorted(item["path"] for item in obstore.list(self.store, prefix).collect())

    def clear(self) -> None:
        """Remove whatever is in it."""
        if keys := self.keys(""):
            obstore.delete(self.store, keys)

    def secret(self, namespace: str, name: str = "bucket", **override: str) -> Manifest:
        """The Secret a user would make for this bucket."""
        keys = {
            "AWS_ACCESS_KEY_ID": self.s3["accessKey"],
            "AWS_SECRET_ACCESS_KEY": self.s3["secretKey"],
            "AWS_REGION": self.s3["region"],
            "AWS_ENDPOINT_URL": self.s3["endpoint"],
        }
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace},
            "stringData": {**keys, **override},
        }
