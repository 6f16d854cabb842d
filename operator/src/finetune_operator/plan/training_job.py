"""The training Job of one attempt: Indexed, a pod per node."""

from finetune_operator import names
from finetune_operator.api.running import Scheduling
from finetune_operator.names import Owner
from finetune_operator.plan import queueing
from finetune_operator.plan.jobs import job
from finetune_operator.plan.pod import Manifest, pod_template
from finetune_operator.plan.run_plan import RunPlan


def training_job(
    owner: Owner, plan: RunPlan, scheduling: Scheduling, attempt: int, *, prepared: str
) -> Manifest:
    """`prepared` is the digest of the rows that Prepare left.

    One pod that fails ends the Job, and with it its peers: ranks go on together or not at all.
    """
    pods = plan.pods
    args = ["train", "--run", "/etc/finetune/run.json", "--attempt", str(attempt), "--prepared", prepared]
    if pods.nodes > 1:
        args += ["--main", f"{names.main_address(owner, attempt)}:{names.PROGRESS_PORT}"]
    marks = queueing.of_training(pods, scheduling)
    return job(
        owner,
        "Train",
        attempt,
        template=pod_template(owner, "Train", attempt, pods, scheduling, args=args, marks=marks),
        marks=marks,
        shape={"completions": pods.nodes, "parallelism": pods.nodes, "completionMode": "Indexed"},
    )
