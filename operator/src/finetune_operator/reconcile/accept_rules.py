"""Rules before and after a job's life: going, ended, not accepted yet, not readable."""

from finetune_operator.api.status import ProfileSeen
from finetune_operator.errors import FineTuneError, Refused
from finetune_operator.errors.reasons import Reason
from finetune_operator.names import run as run_name
from finetune_operator.observe.times import stamp
from finetune_operator.plan.accept import accept, spec_of
from finetune_operator.plan.config_map import config_map
from finetune_operator.reconcile import ending_rules, live_rules
from finetune_operator.reconcile.case import Case
from finetune_operator.reconcile.world import CreateRun, Decision, ExpireChildren
from finetune_operator.status.conditions import Says, failed, on_the_way


def deleting(found: Case) -> Decision | None:
    """Nothing is left to do: Kubernetes removes what the job owns."""
    return Decision("deleting") if found.world.job.deleting else None


def settled(found: Case) -> Decision | None:
    """Nothing is ever started again. Of what may still be changed only the time to keep children matters."""
    job = found.world.job
    if not job.settled:
        return None
    if job.observed_generation == job.generation:
        return Decision("settled")
    return Decision("settled", actions=(ExpireChildren(job.expires),), observe=job.generation)


def accepting(found: Case) -> Decision | None:
    """Resolve the run and write it down, or say why not."""
    world = found.world
    if found.accepted or found.run is not None:
        return None
    if world.trouble is not None:
        return live_rules.trouble(found)
    if world.job.goes_on_from and world.others is None:
        return Decision("accept", look="others")
    try:
        plan = accept(world.job, world.profiles, world.installed, world.others or {})
        manifest = config_map(world.job.owner, plan)
    except FineTuneError as error:
        if not world.run_looked:
            return Decision(
                "accept", look="run"
            )  # a run that was accepted is asked nothing again: its status was lost
        return _refused(found, error) if isinstance(error, Refused) else _waits(found, error)
    return Decision("accept", actions=(CreateRun(manifest),), again=True)


def _refused(found: Case, error: Refused) -> Decision:
    """This spec can never run: the job fails, and a corrected one needs a new name."""
    says = {**failed(error.reason, str(error)), "Accepted": Says("False", error.reason, str(error))}
    del says["Published"], says["Running"]
    return found.decided("refused", "Failed", says, completion_time=stamp(found.world.now))


def _waits(found: Case, error: FineTuneError) -> Decision:
    """The admin may still bring the profile, and another job end. A suspension by the author is no wait."""
    world = found.world
    if world.job.suspend:
        return live_rules.paused(found)
    since = max(world.job.created, ending_rules.resumed(found))
    deadline = _pending_deadline(found)
    left = since + deadline - world.now
    if left <= 0:
        message = ending_rules.gave_up(deadline, str(error))
        reason = Reason.PENDING_DEADLINE_EXCEEDED
        says = {**failed(reason, message), "Accepted": Says("False", error.reason, str(error))}
        return found.decided("accept-deadline", "Failed", says, completion_time=stamp(world.now))
    message = f"{error} (this job waits)"
    says = {**on_the_way(error.reason, message), "Accepted": Says("False", error.reason, message)}
    return found.decided("waits-to-be-accepted", "Pending", says, after=min(left, error.retry_after or left))


def _pending_deadline(found: Case) -> float:
    try:
        return ending_rules.pending_deadline(found)
    except Refused:
        return found.world.installed.pending_deadline


def with_run(found: Case) -> Case:
    """The run has just been written down: say so, together with whatever comes next."""
    world, plan = found.world, found.run
    if found.accepted or plan is None:
        return found
    label = f"with profile {plan.profile['name']!r}" if plan.profile else "without a profile"
    message = f"the run is resolved {label}, and written to ConfigMap {run_name(world.job.owner)}"
    return found.adding(
        {
            "Accepted": Says("True", Reason.ACCEPTED, message),
            "Prepared": Says("Unknown", Reason.PREPARING, "not checked yet"),
            "Running": Says("False", Reason.NOT_STARTED, "training starts after Prepare"),
            "Published": Says("False", Reason.NOT_PUBLISHED, "nothing is published yet"),
        },
        run=run_name(world.job.owner),
        profile=ProfileSeen.model_validate(plan.profile) if plan.profile else None,
        start_time=found.old.start_time or stamp(world.now),
    )


def unreadable(found: Case) -> Decision | None:
    """The spec was accepted by another version, and this one cannot read it."""
    try:
        spec_of(found.world.job)
    except Refused as error:
        return ending_rules.fail(found, "unreadable", error.reason, str(error))
    return None
