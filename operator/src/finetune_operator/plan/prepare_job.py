"""The Prepare Job: checks everything and tokenises, on CPU."""

from finetune_operator import names
from finetune_operator.api.running import Scheduling
from finetune_operator.names import Owner
from finetune_operator.plan.jobs import job
from finetune_operator.plan.pod import Manifest, pod_template
from finetune_operator.plan.run_plan import RunPlan


def prepare_job(owner: Owner, plan: RunPlan, scheduling: Scheduling, attempt: int) -> Manifest:
    """The Job of one Prepare attempt."""
    args = ["prepare", "--run", "/etc/finetune/run.json", "--attempt", str(attempt)]
    return job(
        owner,
        "Prepare",
        attempt,
        template=pod_template(owner, "Prepare", attempt, plan.pods, scheduling, args=args),
        queue={names.QUEUE: scheduling.prepare_queue_name or plan.pods.prepare_queue_name},
        shape={"completions": 1, "parallelism": 1},
    )
