"""Which attempts are open, and how each stands: Jobs and pods against what the status remembers."""

from collections.abc import Iterator
from dataclasses import replace

from finetune_operator.api.status import Attempt, FineTuneJobStatus
from finetune_operator.errors.reasons import Reason
from finetune_operator.names import Stage
from finetune_operator.observe import times
from finetune_operator.observe.times import instant
from finetune_operator.reconcile.world import World
from finetune_operator.status import attempts
from finetune_operator.status.judge import Judged, judge
from finetune_operator.status.stopped import split, stopped

STAGES: tuple[Stage, ...] = ("Prepare", "Train")


def judged(world: World, old: FineTuneJobStatus) -> list[Judged]:
    """Open attempts, and Jobs that the status does not know yet, oldest first."""
    found: list[Judged] = []
    for stage in STAGES:
        known = {one.number: one for one in attempts.of(stage, old.attempts or ())}
        highest = max(known, default=0)
        made = {one.attempt for one in world.children if one.stage == stage and one.attempt > highest}
        open_ones = {number for number, one in known.items() if one.outcome == "Running"}
        for number in sorted(open_ones | made):
            found += _runs(world, stage, number, known.get(number), newest=number >= highest)
    return [_told_suspended(one) if world.job.suspend else one for one in found]


def _runs(
    world: World, stage: Stage, number: int, before: Attempt | None, *, newest: bool
) -> Iterator[Judged]:
    """The attempt, and those after it that its Job carries too, because a queue stopped it."""
    carried = before.resumes or number if before is not None else number
    child = next((one for one in world.children if (one.stage, one.attempt) == (stage, carried)), None)
    pods = [one for one in world.pods if (one.stage, one.attempt) == (stage, carried)]
    if child is not None:
        pods = [one for one in pods if one.child_uid == child.uid]
    mine, later = split(pods, before)
    one = judge(stage, number, child, mine, name=world.job.name, confirmed=world.confirmed, now=world.now)
    one = _resumed(one, before)
    end = stopped(one, mine, later, before=before, workload=world.workload_of(child), now=world.now)
    if end is None or not newest:
        yield _remembered(one, before)
    elif end.pod is None and not world.confirmed:
        yield replace(one, unclear=True)  # that its pod is gone must be seen, not only not be heard of
    else:
        yield _remembered(end, before)
        next_run = Attempt(
            stage=stage,
            number=number + 1,
            resumes=carried,
            start_time=times.stamp(world.now if end.end is None else end.end),
        )
        yield from _runs(world, stage, number + 1, next_run, newest=True)


def _resumed(one: Judged, before: Attempt | None) -> Judged:
    """A further run of a Job begins where the one before it ended, and not with the Job."""
    if before is None or before.resumes is None:
        return one
    ran = one.pod is not None and one.pod.started is not None
    return replace(one, resumes=before.resumes, start=one.start if ran else instant(before.start_time))


def _remembered(one: Judged, before: Attempt | None) -> Judged:
    """An attempt whose pod is gone ran since the status says so: it names a node only of a pod that runs."""
    if one.ran_from is not None or before is None or before.node is None or one.outcome == "Running":
        return one
    return replace(one, ran_from=instant(before.start_time), node=one.node or before.node)


def _told_suspended(one: Judged) -> Judged:
    """An interruption that we asked for."""
    if one.outcome != "Interrupted":
        return one
    return replace(one, reason=Reason.SUSPENDED, message="suspended by spec.runPolicy.suspend")
