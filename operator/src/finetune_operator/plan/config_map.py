"""The ConfigMap that holds a RunPlan: immutable, created and never applied."""

import json
from typing import Any

from finetune_operator import names
from finetune_operator.errors import RunTooLarge
from finetune_operator.names import Owner
from finetune_operator.plan.run_plan import RunPlan, loaded

MAX_RUN_BYTES = 512 * 1024


def config_map(owner: Owner, plan: RunPlan) -> dict[str, Any]:
    """run.json for the pods, pods.json for the operator's later attempts (pods mount run.json alone)."""
    run = json.dumps(plan.run, ensure_ascii=False, indent=1)
    if len(run.encode()) > MAX_RUN_BYTES:
        raise RunTooLarge(
            f"the resolved run takes {len(run.encode())} bytes of at most {MAX_RUN_BYTES}; "
            "shorten spec.evaluation.samples, spec.dataset.quality.blocklist, spec.model.chatTemplate or the templates of "
            "spec.dataset.train"
        )
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": names.run(owner),
            "namespace": owner.namespace,
            "labels": names.labels(owner),
            "ownerReferences": [names.owner_reference(owner)],
        },
        "immutable": True,
        "data": {
            names.RUN_KEY: run,
            names.PODS_KEY: plan.pods.model_dump_json(by_alias=True, exclude_none=True),
        },
    }


def run_plan(raw: dict[str, Any]) -> RunPlan:
    """The plan that a ConfigMap holds. ValueError or KeyError if somebody else wrote it."""
    data = raw.get("data") or {}
    return loaded(data[names.RUN_KEY], data[names.PODS_KEY])
