"""What whoever queues and places the pods reads on them: Kueue, or the scheduler that `schedulerName` names.

Passed through and never interpreted; what each of them makes of it: docs/several-nodes.md.
"""

from dataclasses import dataclass, field

from finetune_operator import names
from finetune_operator.api.running import Scheduling
from finetune_operator.plan.run_plan import PodPlan


@dataclass(frozen=True)
class Marks:
    """Labels and annotations of a Job and of its pods."""

    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    pod_labels: dict[str, str] = field(default_factory=dict)
    pod_annotations: dict[str, str] = field(default_factory=dict)


def of_prepare(plan: PodPlan, scheduling: Scheduling) -> Marks:
    """Those of Prepare."""
    queue = scheduling.prepare_queue_name or plan.prepare_queue_name
    return _queued(scheduling.scheduler_name or plan.scheduler_name, queue, pods=1)


def of_training(plan: PodPlan, scheduling: Scheduling) -> Marks:
    """Those of training, with priority and topology in Kueue's words."""
    queue = scheduling.queue_name or plan.queue_name
    marks = _queued(scheduling.scheduler_name or plan.scheduler_name, queue, pods=plan.nodes)
    near = scheduling.topology
    return Marks(
        labels={
            **marks.labels,
            **_given({names.WORKLOAD_PRIORITY: scheduling.workload_priority_class_name}),
        },
        annotations=marks.annotations,
        pod_labels=marks.pod_labels,
        pod_annotations={
            **marks.pod_annotations,
            **_given(
                {names.TOPOLOGY_REQUIRED: near.required, names.TOPOLOGY_PREFERRED: near.preferred}
                if near
                else {}
            ),
        },
    )


def _queued(scheduler: str | None, queue: str | None, *, pods: int) -> Marks:
    """The queue in the words of the scheduler; Kueue's where that has none of its own. `pods` start together."""
    if scheduler == names.VOLCANO:
        named = _given({names.VOLCANO_QUEUE: queue})
        return Marks(annotations={**named, names.VOLCANO_GANG: str(pods)}, pod_annotations=named)
    if scheduler == names.KAI:
        named = _given({names.KAI_QUEUE: queue})
        return Marks(labels={**named}, pod_labels=named)
    return Marks(labels=_given({names.QUEUE: queue}))


def _given(found: dict[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in found.items() if value}
