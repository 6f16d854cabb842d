"""The Prepare Job: checks everything and tokenises, on CPU."""

from finetune_operator.api.running import Scheduling
from finetune_operator.names import Owner
from finetune_operator.plan import queueing
from finetune_operator.plan.jobs import job
from finetune_operator.plan.pod import Manifest, pod_template
from finetune_operator.plan.run_plan import RunPlan


def prepare_job(owner: Owner, plan: RunPlan, scheduling: Scheduling, attempt: int) -> Manifest:
    """The Job of one Prepare attempt."""
    args = ["prepare", "--run", "/etc/finetune/run.json", "--attempt", str(attempt)]
    marks = queueing.of_prepare(plan.pods, scheduling)
    return job(
        owner,
        "Prepare",
        attempt,
        template=pod_template(owner, "Prepare", attempt, plan.pods, scheduling, args=args, marks=marks),
        marks=marks,
        shape={"completions": 1, "parallelism": 1},
    )
