"""Rules for an attempt whose Job a queue holds back. Only the queue writes `spec.suspend` of such a Job, never we."""

from finetune_operator.errors.reasons import Reason
from finetune_operator.names import CALLED, Stage
from finetune_operator.reconcile import attempt_rules, ending_rules, live_rules
from finetune_operator.reconcile.case import Case
from finetune_operator.reconcile.world import Decision
from finetune_operator.status import attempts, held
from finetune_operator.status.conditions import Says
from finetune_operator.status.judge import Judged

WHAT_COMES: dict[Stage, str] = {
    "Prepare": "starts over when there is room again",
    "Train": "saves a checkpoint now",
}
"""Of an attempt that a queue stops."""


def stopped_in_vain(found: Case) -> Decision | None:
    """The queue has stopped it again and again, and no run has left a newer checkpoint."""
    live = found.live
    if live is None or live.resumes is None or live.ran_from is not None:
        return None
    fruitless = attempts.fruitless(
        [one for one in found.attempts if one.outcome != "Running"], attempt_rules.FRUITLESS
    )
    return attempt_rules.no_progress(found, fruitless) if fruitless else None


def queued(found: Case) -> Decision | None:
    """A queue holds the Job back."""
    live = found.live
    if live is None or live.child is None or not live.child.suspended:
        return None
    if live.pod is not None and not live.pod.ended:
        return _stopping(found, live)
    world, child = found.world, live.child
    age = world.now - child.created
    told = held.held(
        live.stage,
        child,
        world.workload_of(child),
        kueue=world.kueue,
        late=age >= world.installed.start_grace,
    )
    if told.for_good:
        return ending_rules.fail(found, "deactivated", told.ours, told.message)
    message = told.message + _from_where(found, live)
    over = live_rules.overdue(found, live, message)
    if over is not None:
        return over
    says = live_rules.talk(told.ours, message)
    says["Queued"] = Says("True", told.reason, message)
    wait = world.installed.start_grace - age if age < world.installed.start_grace else live_rules.PATIENCE
    return found.decided("queued", "Queued", says, after=live_rules.soon(found, live, wait))


def _stopping(found: Case, live: Judged) -> Decision:
    """The queue took the place back, and the pod uses its grace period: training saves a checkpoint."""
    workload = found.world.workload_of(live.child)
    reason = (
        Reason.PREEMPTED if workload is not None and workload.evicted == Reason.PREEMPTED else Reason.EVICTED
    )
    why = workload.evicted_message if workload is not None else ""
    message = f"the queue stops {CALLED[live.stage]} attempt {live.number}, which {WHAT_COMES[live.stage]}"
    if why:
        message += f": {why}"
    says = live_rules.talk(reason, message)
    says["Queued"] = Says("True", reason, message)
    return found.decided("stopping", "Queued", says, after=live_rules.PATIENCE)


def _from_where(found: Case, live: Judged) -> str:
    """What a job that was stopped goes on from."""
    if live.resumes is None or live.stage != "Train":
        return ""
    step = found.saved.step if found.saved is not None else None
    return (
        f" (stopped by the queue; goes on from step {step})"
        if step
        else " (stopped by the queue before its first checkpoint)"
    )
