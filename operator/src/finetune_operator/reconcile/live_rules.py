"""Rules for an attempt that is on its way: queued, starting, running, ending, suspended."""

from typing import Any

from finetune_operator.api.status import Attempt, State
from finetune_operator.errors import Denied, Invalid
from finetune_operator.errors.reasons import Reason
from finetune_operator.names import CALLED
from finetune_operator.observe.words import ProgressSeen
from finetune_operator.reconcile import ending_rules
from finetune_operator.reconcile.case import Case
from finetune_operator.reconcile.world import Decision, DeleteJob
from finetune_operator.status import results
from finetune_operator.status import starting as starts
from finetune_operator.status.conditions import Says, on_the_way
from finetune_operator.status.judge import Judged
from finetune_operator.status.starting import Obstacle

PATIENCE = 300.0
"""Longest pause between two looks at the Events of a pod that does not start (s)."""
PROGRESS_FAILURES = 3
MOST_NAMED = 8
"""Nodes that a sentence names."""
Talk = dict[Any, Says | None]


def trouble_if_any(found: Case) -> Decision | None:
    """The API server refused what we wanted to create."""
    return trouble(found) if found.world.trouble is not None else None


def trouble(found: Case) -> Decision:
    """Tell the author in the API server's words, and try again; what can never be made ends the job."""
    error = found.world.trouble
    if isinstance(error, Invalid):
        message = f"the API server refuses what this spec asks for: {error}; correct it and apply the job under a new name"
        return ending_rules.fail(found, "invalid", error.reason, message)
    message, reason = str(error), error.reason if error is not None else Reason.API_DENIED
    if isinstance(error, Denied) and reason is Reason.API_DENIED:
        reason, message = starts.explained(message, Reason.API_DENIED)
    says = talk(reason, message)
    if any(one.running and one.stage == "Train" for one in found.world.pods):
        del says["Running"]  # a delete or a look was refused, and what runs goes on
    state: State = found.old.state or "Pending"
    return found.decided("trouble", state, says, after=error.retry_after if error is not None else None)


def suspended(found: Case) -> Decision | None:
    """Paused by the author: stop what runs, start nothing."""
    return paused(found) if found.world.job.suspend else None


def paused(found: Case) -> Decision:
    """What is done, and said, while `runPolicy.suspend` is true."""
    # Not the live one's alone: the Job of an attempt whose node was given up would start another pod once the lost one is gone.
    stop = tuple(one for one in found.world.children if not (one.finished or one.deleting))
    message = (
        "suspended by spec.runPolicy.suspend; set it to false to go on"
        if found.live is None
        else "suspended by spec.runPolicy.suspend; waiting for the pods to end"
    )
    says: Talk = {
        **on_the_way(Reason.SUSPENDED, message),
        "Running": Says("False", Reason.SUSPENDED, message),
        "Queued": None,
        "Suspended": Says("True", Reason.SUSPENDED, message),
    }
    return found.decided(
        "suspended", "Suspended", says, actions=tuple(DeleteJob(one.name, one.uid) for one in stop)
    )


def with_resumed(found: Case) -> Case:
    """The author lets the job go on: its time is the beginning of a new wait."""
    said = found.says_now("Suspended")
    if said is None or said.truth != "True" or found.world.job.suspend:
        return found
    return found.adding({"Suspended": Says("False", Reason.RESUMED, "spec.runPolicy.suspend is false again")})


def starting(found: Case) -> Decision | None:
    """The pod is not running yet; after a while, say why."""
    live = found.live
    if live is None or live.child is None or live.child.finished or live.child.deleting or _begun(live):
        return None
    installed, age = found.world.installed, found.world.now - _born(live)
    obstacle = _obstacle(found, live, age)
    if isinstance(obstacle, Decision):
        return obstacle
    state: State = "Preparing" if live.stage == "Prepare" else "Starting"
    if obstacle is None:
        says = _usual(found, live)
        wait = installed.start_grace - age if age < installed.start_grace else min(PATIENCE, max(age, 1.0))
        return overdue(found, live, _silent(live)) or found.decided(
            "starting", state, says, after=soon(found, live, wait)
        )
    message = f"{_who(live)} cannot start: {obstacle.message}"
    late = overdue(found, live, message)
    if late is not None:
        return late
    says = {**talk(obstacle.reason, message), "Queued": _admitted(found)}
    wait = min(PATIENCE, max(age, installed.start_grace))
    return found.decided("cannot-start", state, says, after=soon(found, live, wait))


def _obstacle(found: Case, live: Judged, age: float) -> Obstacle | Decision | None:
    """What keeps the pod from starting, or what to look at to know."""
    world = found.world
    if age < world.installed.start_grace:
        return None
    if world.events is None and starts.needs_events(live.pod):
        return Decision("starting", look="events")
    obstacle = starts.obstacle(live.pod, world.events)
    if obstacle is None or world.run_missing or not _is_our_run(found, obstacle.message):
        return obstacle
    if not world.run_looked:
        return Decision("starting", look="run")
    others = [one for one in world.events or () if not _is_our_run(found, one.message)]
    return starts.obstacle(live.pod, others)  # it is there: the Event is of a time before


def _is_our_run(found: Case, message: str) -> bool:
    """Whether it is the resolved run that cannot be mounted."""
    return f'configmap "{found.old.run}" not found' in message


def running(found: Case) -> Decision | None:
    """The pod runs."""
    live = found.live
    if live is None or live.pod is None or not live.pod.running or live.child is None:
        return None
    if live.stage == "Prepare":
        return found.decided("preparing", "Preparing", _usual(found, live))
    says: Talk = {
        **on_the_way(Reason.RUNNING, f"training attempt {live.number} runs"),
        "Running": _running(found, live),
        "Queued": _admitted(found),
    }
    most = ending_rules.active_deadline(found)
    left = None if most is None else max(0.0, most - found.active_seconds)
    return found.decided("running", "Running", says, after=left, **_progress(found, live))


def _running(found: Case, live: Judged) -> Says:
    """Whether `/progress` answers is told, and changes nothing else."""
    seen = _heard(found, live)
    where = f"training attempt {live.number} runs on {_nodes(live)}"
    if seen is not None and seen.failures >= PROGRESS_FAILURES:
        return Says(
            "True",
            Reason.PROGRESS_UNAVAILABLE,
            f"{where}; its progress cannot be read (no answer on port 8080), and training goes on all the same",
        )
    return Says("True", Reason.RUNNING, where)


def _heard(found: Case, live: Judged) -> ProgressSeen | None:
    """What the pods of this very run last said."""
    seen = found.world.progress
    return seen if seen is not None and any(pod.uid == seen.pod for pod in live.pods) else None


def _nodes(live: Judged) -> str:
    """Where it runs, in a few words."""
    if len(live.pods) <= 1:
        return f"node {live.node}"
    named = ", ".join(one.node for one in live.pods[:MOST_NAMED])
    more = len(live.pods) - MOST_NAMED
    return f"nodes {named}" + (f" and {more} more" if more > 0 else "")


def _progress(found: Case, live: Judged) -> dict[str, Any]:
    """Progress worth writing now."""
    seen = _heard(found, live)
    if seen is None or seen.document is None or not found.world.progress_due:
        return {}
    return {
        "progress": results.progress(seen.document),
        "checkpoint": results.checkpoint(seen.document) or found.old.checkpoint,
        "resolved": results.in_force(found.old.resolved, seen.document),
    }


def ending(found: Case) -> Decision | None:
    """The pod has ended, or its Job is gone, and the rest is still to come."""
    live = found.live
    if live is None:
        return None
    if live.child is None or live.child.deleting:
        return _waiting_for_the_end(found, live)
    return Decision("ending", requeue_after=found.world.installed.start_grace)


def _waiting_for_the_end(found: Case, live: Judged) -> Decision:
    """The Job was deleted, and its pod still saves a checkpoint."""
    message = f"the Job of {CALLED[live.stage]} attempt {live.number} was deleted; the next attempt starts when its pod has ended"
    says = {**talk(Reason.ENDING, message), "Queued": None}
    return found.decided("ending", found.old.state or "Pending", says, after=PATIENCE)


def _begun(live: Judged) -> bool:
    return live.pod is not None and (live.pod.running or live.pod.ended)


def _who(live: Judged) -> str:
    """The pod that does not start, and that others wait for it: they hold their GPUs meanwhile."""
    size = live.child.size if live.child is not None else 1
    if size == 1:
        return f"the {CALLED[live.stage]} pod"
    which = f"the pod {live.pod.name}" if live.pod is not None else "a pod that does not exist yet"
    return f"{_at_work(live)} of {size} {CALLED[live.stage]} pods run and wait for the others; {which}"


def _silent(live: Judged) -> str:
    """That it did not start, where nothing is known to be wrong."""
    return f"{_who(live)} did not start, and Kubernetes did not say why; ask the cluster's admin to look at the nodes"


def _at_work(live: Judged) -> int:
    """How many of its pods run."""
    return sum(one.running for one in live.pods)


def _born(live: Judged) -> float:
    """Since when it could have started (s): a queue may have held the Job back until `startTime`."""
    if live.pod is not None:
        return live.pod.created
    child = live.child
    return 0.0 if child is None else max(child.created, child.started or 0.0)


def _usual(found: Case, live: Judged) -> Talk:
    """Nothing is known to be wrong."""
    if live.stage == "Prepare":
        return preparing(found)
    size = live.child.size if live.child is not None else 1
    part = f": {_at_work(live)} of {size} pods run" if size > 1 else ""
    message = f"training attempt {live.number} starts{part}"
    says: Talk = {**on_the_way(Reason.STARTING, message), "Running": Says("False", Reason.STARTING, message)}
    return {**says, "Queued": _admitted(found)}


def _admitted(found: Case) -> Says | None:
    """That the queue has let the Job start, where one held it back."""
    return Says("False", Reason.ADMITTED, "the queue let the Job start") if found.says_now("Queued") else None


def preparing(found: Case) -> Talk:
    """What is said while Prepare runs; after an attempt that waited, still what it waited for."""
    ended = [one for one in found.attempts if one.stage == "Prepare" and one.outcome in {"Waiting", "Failed"}]
    says: Talk = {
        "Running": Says("False", Reason.NOT_STARTED, "training starts after Prepare"),
        "Queued": None,
    }
    if ended:
        reason = ended[-1].reason or Reason.PREPARING
        message = ended[-1].message or reason
        return {**says, **on_the_way(reason, message), "Prepared": Says("False", reason, message)}
    message = "the Prepare pod checks model, data and access"
    return {
        **says,
        **on_the_way(Reason.PREPARING, message),
        "Prepared": Says("Unknown", Reason.PREPARING, message),
    }


def talk(reason: str, message: str) -> Talk:
    """The same in every condition that a person may look at."""
    return {**on_the_way(reason, message), "Running": Says("False", reason, message)}


def overdue(found: Case, live: Judged, what: str) -> Decision | None:
    """Whether it has waited longer than it may."""
    last = _line(found, live)
    return ending_rules.overdue(found, last, what) if last is not None else None


def soon(found: Case, live: Judged, wait: float) -> float:
    """`wait` (s), or the time until the wait has lasted too long, if that is sooner."""
    last = _line(found, live)
    return wait if last is None else min(wait, max(0.0, ending_rules.patience(found, last)))


def _line(found: Case, live: Judged) -> Attempt | None:
    """The attempt in the status."""
    return next((one for one in found.attempts if (one.stage, one.number) == (live.stage, live.number)), None)
