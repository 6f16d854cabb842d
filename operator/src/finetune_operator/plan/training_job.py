"""The training Job of one attempt: Indexed, a pod per node."""

from finetune_operator import names
from finetune_operator.api.running import Scheduling
from finetune_operator.names import Owner
from finetune_operator.plan.jobs import job
from finetune_operator.plan.pod import Manifest, pod_template
from finetune_operator.plan.run_plan import RunPlan


def training_job(
    owner: Owner, plan: RunPlan, scheduling: Scheduling, attempt: int, *, prepared: str
) -> Manifest:
    """`prepared` is the digest of the rows that Prepare left."""
    args = ["train", "--run", "/etc/finetune/run.json", "--attempt", str(attempt), "--prepared", prepared]
    nodes = plan.pods.nodes
    return job(
        owner,
        "Train",
        attempt,
        template=pod_template(owner, "Train", attempt, plan.pods, scheduling, args=args),
        queue={
            names.QUEUE: scheduling.queue_name or plan.pods.queue_name,
            names.WORKLOAD_PRIORITY: scheduling.workload_priority_class_name,
        },
        shape={"completions": nodes, "parallelism": nodes, "completionMode": "Indexed"},
    )
