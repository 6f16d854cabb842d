"""What both Jobs have in common: one attempt each, created and never applied."""

from finetune_operator import names
from finetune_operator.names import Owner, Stage
from finetune_operator.plan.pod import Manifest
from finetune_operator.plan.queueing import Marks


def job(
    owner: Owner,
    stage: Stage,
    attempt: int,
    *,
    template: Manifest,
    marks: Marks,
    shape: Manifest,
) -> Manifest:
    """A batch/v1 Job. Attempts are ours to count, so the Job itself never tries again, and never runs two pods of one index."""
    annotations = {"annotations": marks.annotations} if marks.annotations else {}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": names.child(owner, stage, attempt),
            "namespace": owner.namespace,
            "labels": {**names.labels(owner, stage, attempt), **marks.labels},
            **annotations,
            "ownerReferences": [names.owner_reference(owner)],
        },
        "spec": {"backoffLimit": 0, "podReplacementPolicy": "Failed", **shape, "template": template},
    }
