"""Copies of one training job: whatever happens to one of them, it gives the adapter of another that nobody disturbed."""

from collections.abc import Mapping
from typing import Any

import stories
from timeline import Timeline

SECONDS = 900
"""A node that dies is noticed after minutes."""


class Copies:
    """They lie in the first namespace unless said; what they say is told as it changes."""

    def __init__(
        self,
        kube: Any,
        bucket: stories.Bucket,
        *namespaces: str,
        steps: int,
        saved: int,
        profile: str,
        resources: Mapping[str, Any] | None = None,
    ) -> None:
        """`steps` of training with a checkpoint every `saved`; `resources`: what each asks for beside the usual."""
        self.kube, self.bucket, self.namespaces = kube, bucket, namespaces
        self.timeline = Timeline(kube, *namespaces)
        self._steps, self._saved = steps, saved
        self._profile, self._resources = profile, dict(resources or {})

    @property
    def namespace(self) -> str:
        """Where they lie."""
        return self.namespaces[0]

    def apply(
        self, name: str, namespace: str = "", *, resources: Mapping[str, Any] | None = None, **spec: Any
    ) -> None:
        """One more."""
        manifest = stories.finetunejob(
            name,
            namespace or self.namespace,
            bucket=self.bucket.name,
            training={"maxSteps": self._steps, "globalBatchSize": 4, "maxLength": 128, "seed": 7},
            tuning={"lora": {"rank": 4, "dropout": 0.1}},
            checkpoint={"everySteps": self._saved},
            **{"profile": self._profile, **spec},
        )
        manifest["spec"]["resources"] |= {**self._resources, **(resources or {})}
        self.kube.apply(manifest)

    def job(self, name: str) -> dict[str, Any]:
        """As it is now."""
        return self.timeline.look()[name]

    def wait(self, name: str, holds: Any, what: str) -> dict[str, Any]:
        """The job, once it holds."""
        return self.timeline.wait(name, holds, what, seconds=SECONDS)

    def saved(self, name: str) -> dict[str, Any]:
        """The job, once it runs and has saved a checkpoint, early enough to prove anything."""

        def saves(job: dict[str, Any]) -> bool:
            status = job.get("status", {})
            running = status.get("state") == "Running" and status.get("checkpoint", {}).get("step", 0) > 0
            return running or stories.ended(job)

        job = self.wait(name, saves, "save a checkpoint")
        assert job["status"]["checkpoint"]["step"] < self._steps, "interrupted too late to prove anything"
        return job

    def succeeded(self, name: str) -> dict[str, Any]:
        """The job, once it has ended well."""
        job = self.wait(name, stories.ended, "end")
        assert job["status"]["state"] == "Succeeded", stories.says(job)
        return job

    def weights(self, name: str) -> str:
        """SHA-256 of the published weights."""
        return self.bucket.weights(f"adapters/{self.job(name)['metadata']['namespace']}/{name}")
