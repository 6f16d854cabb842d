"""Rules that end a job, or cannot tell yet."""

from typing import Any

from finetune_operator.api.status import Attempt, Usage
from finetune_operator.errors import Refused
from finetune_operator.errors.reasons import Reason
from finetune_operator.observe import times
from finetune_operator.plan.accept import spec_of
from finetune_operator.reconcile.case import Case
from finetune_operator.reconcile.world import Action, Decision, DeleteJob, ExpireChildren
from finetune_operator.status import attempts, conditions, endings, results, usage
from finetune_operator.status.conditions import Says
from finetune_operator.status.judge import Judged


def unclear(found: Case) -> Decision | None:
    """What the caches say cannot be: look at the API server before deciding."""
    if any(one.unclear for one in found.judged):
        return Decision("unclear", look="children")
    return None


def run_lost(found: Case) -> Decision | None:
    """The resolved run is gone. What runs may end; nothing else can be started."""
    if not found.world.run_missing or (
        found.live is not None and found.live.pod is not None and found.live.pod.running
    ):
        return None
    message = f"the ConfigMap {found.old.run!r} with the resolved run was deleted; apply the job under a new name to run it again"
    return fail(found, "run-lost", Reason.RUN_LOST, message)


def succeeded(found: Case) -> Decision | None:
    """Training has published, or Prepare found it published."""
    for one in found.judged:
        published = (
            results.published(one.word, name=found.world.job.name) if one.outcome == "Succeeded" else None
        )
        if published is None:
            continue
        reason = Reason.PUBLISHED if one.stage == "Train" else Reason.ALREADY_PUBLISHED
        says = {**conditions.succeeded(reason, published.sentence)}
        if one.stage == "Prepare":
            says["Prepared"] = Says("True", reason, "the result of this very job already lies at the output")
        return found.decided(
            "succeeded",
            "Succeeded",
            says,
            actions=_expiry(found),
            completion_time=times.stamp(found.world.now),
            adapter=published.adapter,
            hub=published.hub,
            evaluation=published.evaluation or found.old.evaluation,
            progress=published.progress or found.old.progress,
            usage=_taken(found, published.usage),
        )
    return None


def _taken(found: Case, said: Usage | None) -> Usage | None:
    """What training took by our own clock; the trainer's word where Prepare found a result that we did not see made."""
    ours = found.usage
    if ours is not None or said is None:
        return ours
    return usage.priced(said, found.rate)


def uncounted(found: Case) -> Decision | None:
    """What an attempt took can be told only with the run at hand. It is not after a restart."""
    world = found.world
    if found.run is not None or world.run_missing or world.trouble is not None:
        return None
    if any(usage.ran(one, world.now) > 0 or results.published(one.word, name="") for one in found.ended):
        return Decision("uncounted", look="run")
    return None


def out_of_time(found: Case) -> Decision | None:
    """Training has run as long as it may. The clock is that of all attempts: it does not start again."""
    most = active_deadline(found)
    if most is None or found.active_seconds < most:
        return None
    saved = found.saved
    further = (
        f", and with spec.checkpoint.resumeFrom to go on from the checkpoint of step {saved.step} at {saved.uri}"
        if saved is not None
        else ""
    )
    message = (
        f"training ran for {results.duration(int(found.active_seconds))} in all attempts together, and may run for at most "
        f"{results.duration(most)} (spec.runPolicy.activeDeadlineSeconds, or the profile's maximum); apply the job under a new "
        f"name with a later deadline, fewer steps or more GPUs{further}"
    )
    return fail(found, "active-deadline", Reason.ACTIVE_DEADLINE_EXCEEDED, message)


def active_deadline(found: Case) -> int | None:
    """Longest time in training (s): the spec's, but no more than the profile allowed when the job was accepted."""
    said = spec_of(found.world.job).run_policy.active_deadline_seconds
    most = found.run.pods.max_active_seconds if found.run is not None else None
    return min((one for one in (said, most) if one is not None), default=None)


def failed_for_good(found: Case) -> Decision | None:
    """An end that no other attempt could better."""
    for one in found.judged:
        if one.final:
            message = one.message + (_estimated(found) if one.exit_code == endings.MEMORY else "")
            return fail(found, "failed-for-good", one.reason, message, judged=one)
    return None


def _estimated(found: Case) -> str:
    """What Prepare had thought that it would take."""
    estimate = found.old.estimate
    if estimate is None or estimate.gpu_memory_bytes is None:
        return ""
    return (
        f" (the estimate was {estimate.gpu_memory_bytes / 2**30:.1f} GiB for each GPU; see status.estimate)"
    )


def fail(found: Case, rule: str, reason: str, message: str, *, judged: Judged | None = None) -> Decision:
    """The job has failed. What is still there of it is stopped."""
    says: dict[Any, Says | None] = conditions.failed(reason, message)
    if _prepared_not(found, judged):
        says["Prepared"] = Says("False", reason, message)
    stop = tuple(
        DeleteJob(one.name, one.uid)
        for one in found.world.children
        if not one.finished and not one.deleting and (judged is None or one is not judged.child)
    )
    compared = results.evaluation(judged.word) if judged is not None else None  # the gate's figures
    return found.decided(
        rule,
        "Failed",
        says,
        actions=(*stop, *_expiry(found)),
        completion_time=times.stamp(found.world.now),
        evaluation=compared or found.old.evaluation,
    )


def _expiry(found: Case) -> tuple[Action, ...]:
    """What is left of a job that ends now goes after `ttlSecondsAfterFinished`."""
    try:
        seconds = spec_of(found.world.job).run_policy.ttl_seconds_after_finished
    except Refused:
        return ()
    return () if seconds is None else (ExpireChildren(found.world.now + seconds),)


def _prepared_not(found: Case, judged: Judged | None) -> bool:
    """Whether it was Prepare that failed."""
    if judged is not None:
        return judged.stage == "Prepare"
    return found.last("Train") is None


def pending_deadline(found: Case) -> float:
    """Longest time without a running pod (s)."""
    said = spec_of(found.world.job).run_policy.pending_deadline_seconds
    return float(said if said is not None else found.world.installed.pending_deadline)


def waiting_since(found: Case, last: Attempt) -> float:
    """Since when nothing has run. A suspension by the author is no wait: after it the clock starts again."""
    return max(_wait_began(found, last), resumed(found))


def _wait_began(found: Case, last: Attempt) -> float:
    """When a live attempt that ran stopped; else the end of the first of a row that waited; else the last one's start."""
    now, started = found.world.now, times.instant(last.start_time)
    stopped = _stopped(found)
    if last.outcome == "Running" and last.stage == "Train" and stopped > (started or now):
        return stopped
    row = attempts.row(last.stage, [one for one in found.attempts if one.outcome != "Running"])
    if row and row[0].outcome == "Waiting" and last.outcome in {"Waiting", "Running"}:
        return times.instant(row[0].end_time) or now
    return started or now


def _stopped(found: Case) -> float:
    """When a training pod last stopped running. An attempt that has not run is younger than that."""
    said = found.says_now("Running")
    if said is not None and said.truth == "True":
        return found.world.now
    return times.instant(found.since("Running")) or 0.0


def resumed(found: Case) -> float:
    """When the author last let the job go on; 0 if it was never suspended."""
    said = found.says_now("Suspended")
    if said is None:
        return 0.0
    return found.world.now if said.truth == "True" else times.instant(found.since("Suspended")) or 0.0


def patience(found: Case, last: Attempt) -> float:
    """How much longer it may wait (s)."""
    return pending_deadline(found) - (found.world.now - waiting_since(found, last))


def overdue(found: Case, last: Attempt, what: str) -> Decision | None:
    """The wait has lasted too long."""
    if patience(found, last) > 0:
        return None
    return fail(
        found, "pending-deadline", Reason.PENDING_DEADLINE_EXCEEDED, gave_up(pending_deadline(found), what)
    )


def gave_up(deadline: float, what: str) -> str:
    """That a wait has lasted longer than `deadline` (s)."""
    return f"gave up after waiting {results.duration(int(deadline))} (spec.runPolicy.pendingDeadlineSeconds): {what}"
