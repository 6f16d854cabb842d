"""RunPlan: all that was decided at Accept. It is kept in an immutable ConfigMap, and every later attempt is made from it."""

import json
from typing import Any

import pydantic

from finetune_operator.api.base import Value
from finetune_operator.api.profile import EnvVar
from finetune_operator.api.running import Toleration


class ClaimMount(Value):
    """A PersistentVolumeClaim in the pods."""

    name: str
    writable: bool = False


class PodPlan(Value):
    """What the pods need beside run.json. Only the operator reads it."""

    image: str
    image_pull_secrets: list[str] = pydantic.Field(default=[])
    service_account: str | None = None
    secrets: list[str] = pydantic.Field(default=[])
    tracker_secrets: list[str] = pydantic.Field(default=[])
    """Mounted where they are there; no pod waits for them."""
    config_maps: list[str] = pydantic.Field(default=[])
    claims: list[ClaimMount] = pydantic.Field(default=[])
    extra_ca: str | None = None
    model_cache: str | None = None
    """The claim that keeps downloaded models."""
    nodes: int = 1
    gpus: int = 0
    gpu_resource: str = "nvidia.com/gpu"
    cpu: str
    memory: str
    scratch: str
    prepare_cpu: str
    prepare_memory: str
    node_selector: dict[str, str] = pydantic.Field(default={})
    tolerations: list[Toleration] = pydantic.Field(default=[])
    runtime_class: str | None = None
    scheduler_name: str | None = None
    queue_name: str | None = None
    prepare_queue_name: str | None = None
    fs_group: int | None = None
    grace_period_seconds: int = 120
    env: list[EnvVar] = pydantic.Field(default=[])
    max_active_seconds: int | None = None
    currency: str | None = None
    gpu_hour: float | None = None


class RunPlan(pydantic.BaseModel):
    """run.json, and the pods that read it."""

    model_config = pydantic.ConfigDict(frozen=True)

    run: dict[str, Any]
    pods: PodPlan

    @property
    def profile(self) -> dict[str, Any] | None:
        """Name and generation of the profile."""
        found: dict[str, Any] | None = self.run.get("profile")
        return found


def loaded(run_json: str, pods_json: str) -> RunPlan:
    """The plan that a ConfigMap holds. ValueError if it holds none."""
    return RunPlan(run=json.loads(run_json), pods=PodPlan.model_validate_json(pods_json))
