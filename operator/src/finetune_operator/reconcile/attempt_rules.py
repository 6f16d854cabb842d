"""Rules between attempts: wait for the last one's remains, give up, pause, start the next."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from finetune_operator.api.status import Attempt, Estimate, State
from finetune_operator.errors.reasons import Reason
from finetune_operator.names import CALLED, Stage
from finetune_operator.observe import times
from finetune_operator.observe.child import ChildSeen
from finetune_operator.plan.accept import spec_of
from finetune_operator.plan.gang import gang_service
from finetune_operator.plan.prepare_job import prepare_job
from finetune_operator.plan.run_plan import RunPlan
from finetune_operator.plan.training_job import training_job
from finetune_operator.reconcile import ending_rules, live_rules
from finetune_operator.reconcile.case import Case
from finetune_operator.reconcile.world import Action, CreateJob, CreateService, Decision, DeleteJob
from finetune_operator.status import attempts, results
from finetune_operator.status.conditions import Says, on_the_way
from finetune_operator.status.judge import is_lost
from finetune_operator.status.results import Prepared

Talk = dict[Any, Says | None]
FRUITLESS = 3
"""Interruptions in a row without a newer checkpoint, after which the job fails."""


def stage_of(found: Case) -> Stage:
    """What comes next: training once Prepare has left its rows."""
    return "Train" if _digest(found) else "Prepare"


def _prepared(found: Case) -> Prepared | None:
    """What the Prepare attempt that has just ended left."""
    for one in found.judged:
        if one.stage == "Prepare" and one.outcome == "Succeeded":
            return results.prepared(one.word)
    return None


def _digest(found: Case) -> str | None:
    """Digest of the prepared rows, of now or of before."""
    just = _prepared(found)
    if just is not None:
        return just.digest
    said, dataset = found.says_now("Prepared"), found.old.dataset
    if said is None or said.truth != "True" or dataset is None:
        return None
    return dataset.digest


def leftovers(found: Case) -> Decision | None:
    """Two live Jobs of one stage must never be: wait until no pod of an earlier attempt is left."""
    stage = stage_of(found)
    children = [one for one in found.world.children if one.stage == stage and not one.finished]
    pods = [
        one.name
        for one in found.world.pods
        if one.stage == stage and not one.ended and not is_lost(one, found.world.now)
    ]
    if not children and not pods:
        return None
    if not found.world.confirmed:
        return Decision("leftovers", look="children")
    message = f"waiting until what is left of an earlier attempt has ended: {', '.join([*(one.name for one in children), *pods])}"
    stop = tuple(DeleteJob(one.name, one.uid) for one in children if not one.deleting)
    says: Talk = {
        **on_the_way(Reason.ENDING, message),
        "Running": Says("False", Reason.ENDING, message),
        "Queued": None,
    }
    return found.decided("leftovers", _state(stage), says, actions=stop, after=live_rules.PATIENCE)


def given_up(found: Case) -> Decision | None:
    """All attempts are spent, or the wait has lasted too long."""
    stage = stage_of(found)
    last = found.last(stage)
    if last is None or last.outcome == "Running":
        return None
    if fruitless := attempts.fruitless(found.attempts, FRUITLESS):
        return no_progress(found, fruitless)
    if last.outcome == "Waiting":
        return ending_rules.overdue(found, last, last.message or last.reason or "")
    spent, most = _spent(found, stage)
    if last.outcome == "Failed" and spent >= most:
        message = f"{last.message or last.reason} ({spent} of {most} attempts have failed, spec.runPolicy.maxAttempts)"
        return ending_rules.fail(found, "given-up", last.reason or Reason.TRAINER_FAILED, message)
    return None


def no_progress(found: Case, fruitless: Sequence[Attempt]) -> Decision:
    """Interruptions cost the author no attempt, but not for ever."""
    why = ", ".join(dict.fromkeys(one.reason or Reason.INTERRUPTED for one in fruitless))
    step = fruitless[-1].checkpoint_step
    stands = f"the newest one is from step {step}" if step else "there is none yet"
    message = (
        f"training was interrupted {len(fruitless)} times in a row ({why}) without a newer checkpoint ({stands}); "
        "save more often (spec.checkpoint.everyMinutes), or run it where it is interrupted less often, and apply the job under a "
        "new name"
    )
    return ending_rules.fail(found, "no-progress", Reason.NO_PROGRESS, message)


def _spent(found: Case, stage: Stage) -> tuple[int, int]:
    """Attempts that failed, and how many may. Those of Prepare are counted in the list, which keeps only so many."""
    most = spec_of(found.world.job).run_policy.max_attempts
    if stage == "Train":
        return found.failures, most
    return attempts.failures(stage, found.attempts), min(most, attempts.KEPT)


def pausing(found: Case) -> Decision | None:
    """Waiting can help: not before a pause that doubles."""
    stage, world = stage_of(found), found.world
    last = found.last(stage)
    if last is None or last.outcome in {"Running", "Succeeded"}:
        return None
    pause = attempts.pause(
        stage, found.attempts, base=world.installed.retry_base, cap=world.installed.retry_cap
    )
    left = (times.instant(last.end_time) or world.now) + pause - world.now
    if left <= 0:
        return None
    return found.decided("pausing", _state(stage), _retrying(last), after=left)


def next_attempt(found: Case) -> Decision:
    """Start it. A second attempt is decided on live facts only."""
    stage, world = stage_of(found), found.world
    last = found.last(stage)
    if (last is not None or found.adopted) and not world.confirmed:
        return Decision("next-attempt", look="children")
    if found.run is None:
        return Decision("next-attempt", look="run")
    number = last.number + 1 if last is not None else 1
    new = Attempt(stage=stage, number=number, start_time=times.stamp(world.now))
    started = replace(found, attempts=attempts.merged(found.attempts, [new]))
    actions: tuple[Action, ...] = (
        *_create(found, found.run, stage, number),
        *_old_jobs(found, stage, number),
    )
    says = live_rules.preparing(started) if stage == "Prepare" else _training_starts(number)
    return started.decided(
        f"start-{stage.lower()}", _state(stage), says, actions=actions, after=world.installed.start_grace
    )


def _create(found: Case, plan: RunPlan, stage: Stage, number: int) -> tuple[Action, ...]:
    """The Job of the attempt; before it, where it has several pods, what they find each other by.

    Queue and priority are the spec's of now: they may change while a job is suspended.
    """
    owner, scheduling = found.world.job.owner, spec_of(found.world.job).scheduling
    if stage == "Prepare":
        return (CreateJob(prepare_job(owner, plan, scheduling, number)),)
    made = CreateJob(training_job(owner, plan, scheduling, number, prepared=_digest(found) or ""))
    return (CreateService(gang_service(owner)), made) if plan.pods.nodes > 1 else (made,)


def _old_jobs(found: Case, stage: Stage, number: int) -> tuple[DeleteJob, ...]:
    """Ended Jobs that are older than those we keep for their logs."""
    keep = found.world.installed.keep_attempts
    return tuple(
        DeleteJob(one.name, one.uid)
        for one in found.world.children
        if one.stage == stage and one.attempt <= number - keep and _droppable(one)
    )


def _droppable(one: ChildSeen) -> bool:
    return bool(one.finished) and not one.deleting


def _training_starts(number: int) -> Talk:
    """What is said of a new training attempt."""
    message = f"training attempt {number} starts"
    return {
        **on_the_way(Reason.STARTING, message),
        "Running": Says("False", Reason.STARTING, message),
        "Queued": None,
    }


def with_prepared(found: Case) -> Case:
    """What a Prepare attempt that has just ended left goes into the status, whatever comes next."""
    just = _prepared(found)
    if just is None:
        return found
    word = next(one.word for one in found.judged if one.stage == "Prepare" and one.outcome == "Succeeded")
    says: Talk = {
        "Prepared": Says("True", Reason.PREPARED, (word.message if word else "") or "the rows are prepared")
    }
    return found.adding(
        says, dataset=just.dataset, resolved=just.resolved, estimate=_priced(just.estimate, found.run)
    )


def _priced(estimate: Estimate | None, plan: RunPlan | None) -> Estimate | None:
    """The estimate with its price, where the profile tells one."""
    if estimate is None or plan is None or plan.pods.gpu_hour is None or estimate.duration_seconds is None:
        return estimate
    gpus = plan.pods.gpus * plan.pods.nodes
    cost = round(estimate.duration_seconds / 3600 * gpus * plan.pods.gpu_hour, 2)
    return estimate.model_copy(update={"cost": cost, "currency": plan.pods.currency})


def _retrying(last: Attempt) -> Talk:
    """Why the last attempt ended, and that another comes."""
    reason = last.reason or Reason.RETRYING
    said = last.message or reason
    message = f"{said} ({CALLED[last.stage]} attempt {last.number} ended; it is tried again)"
    says: Talk = {**on_the_way(reason, message), "Queued": None}
    if last.stage == "Prepare":
        says["Prepared"] = Says("False", reason, said)
        says["Running"] = Says("False", Reason.NOT_STARTED, "training starts after Prepare")
    else:
        says["Running"] = Says("False", Reason.RETRYING, message)
    return says


def _state(stage: Stage) -> State:
    return "Preparing" if stage == "Prepare" else "Starting"
