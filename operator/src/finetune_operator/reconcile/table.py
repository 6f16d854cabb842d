"""The state machine: one ordered table of rules. The first rule that returns a Decision has decided.

What each may decide stands beside it, for people: docs/life-of-a-job.md is made from this table, and thousands of random
histories hold every decision to what its row says (tests/unit/finetune_operator/test_histories.py).
"""

from collections.abc import Callable
from dataclasses import dataclass

from finetune_operator.api.status import State
from finetune_operator.errors.reasons import Reason
from finetune_operator.reconcile import (
    accept_rules,
    attempt_rules,
    ending_rules,
    live_rules,
    queue_rules,
)
from finetune_operator.reconcile.case import Case
from finetune_operator.reconcile.world import (
    Action,
    CreateJob,
    CreateRun,
    CreateService,
    Decision,
    DeleteJob,
    ExpireChildren,
)


@dataclass(frozen=True)
class Outcome:
    """One decision that a rule may take."""

    name: str
    """`Decision.rule`: what the log shows."""
    when: str
    state: State | None = None
    """`status.state` afterwards; None: as it was, or told by `says`."""
    says: Reason | str = ""
    """Reason of `Ready`: the word, or where it comes from. Nothing: the status is not written."""
    does: tuple[type[Action], ...] = ()
    """Every kind of action that it may ask for."""


@dataclass(frozen=True)
class Row:
    """A rule, and all that may come of it."""

    rule: Callable[[Case], Decision | None]
    outcomes: tuple[Outcome, ...]


STOP = (DeleteJob, ExpireChildren)
OWN = "the attempt's own"
SERVERS = "`ApiDenied`, or what the API server's words mean"

OVERDUE = Outcome(
    "pending-deadline",
    "and nothing has run for `pendingDeadlineSeconds`",
    "Failed",
    Reason.PENDING_DEADLINE_EXCEEDED,
    STOP,
)

INVALID = Outcome(
    "invalid",
    "the spec asks for an object that the API server can never accept (422)",
    "Failed",
    Reason.SPEC_INVALID,
    STOP,
)

TABLE: tuple[Row, ...] = (
    Row(accept_rules.deleting, (Outcome("deleting", "the FineTuneJob is being deleted"),)),
    Row(
        accept_rules.settled,
        (
            Outcome(
                "settled",
                "the job has succeeded or failed; after an edit only `observedGeneration` and the children's expiry change",
                does=(ExpireChildren,),
            ),
        ),
    ),
    Row(
        accept_rules.accepting,
        (
            Outcome(
                "accept",
                "the run is not written down yet, and spec, profile and the jobs it goes on from fit; reads those first",
                does=(CreateRun,),
            ),
            Outcome("refused", "spec or profile forbid it", "Failed", "the refusal's own, as in `Accepted`"),
            Outcome(
                "waits-to-be-accepted",
                "its profile is not there or cannot be read, or a job that it goes on from is not there or has not ended",
                "Pending",
                "`ProfileNotFound`, `ProfileInvalid`, `JobNotFound` or `WaitingForJob`",
            ),
            Outcome(
                "accept-deadline",
                "and that for `pendingDeadlineSeconds` already",
                "Failed",
                Reason.PENDING_DEADLINE_EXCEEDED,
            ),
            Outcome("suspended", "and `spec.runPolicy.suspend` is true", "Suspended", Reason.SUSPENDED),
            Outcome("trouble", "the API server refuses the ConfigMap", says=SERVERS),
            INVALID,
        ),
    ),
    Row(
        accept_rules.unreadable,
        (
            Outcome(
                "unreadable",
                "another version accepted the spec, and this one cannot read it",
                "Failed",
                Reason.SPEC_INVALID,
                STOP,
            ),
        ),
    ),
    Row(
        ending_rules.uncounted,
        (
            Outcome(
                "uncounted", "an attempt has ended, and its GPUs and price are not at hand: reads the run"
            ),
        ),
    ),
    Row(
        ending_rules.succeeded,
        (
            Outcome(
                "succeeded",
                "training has published, or Prepare found this job's result published",
                "Succeeded",
                "`Published` or `AlreadyPublished`",
                (ExpireChildren,),
            ),
        ),
    ),
    Row(
        ending_rules.failed_for_good,
        (
            Outcome(
                "failed-for-good",
                (
                    "an attempt ended in a way that no other attempt would change: exit 64, 65, 77 or 86, killed for memory, or "
                    "evicted for a full scratch disk"
                ),
                "Failed",
                OWN,
                STOP,
            ),
        ),
    ),
    Row(
        ending_rules.out_of_time,
        (
            Outcome(
                "active-deadline",
                "training has run for `activeDeadlineSeconds`, all attempts together",
                "Failed",
                Reason.ACTIVE_DEADLINE_EXCEEDED,
                STOP,
            ),
        ),
    ),
    Row(
        ending_rules.run_lost,
        (
            Outcome(
                "run-lost",
                "the run's ConfigMap is gone, and nothing runs any more",
                "Failed",
                Reason.RUN_LOST,
                STOP,
            ),
        ),
    ),
    Row(
        live_rules.trouble_if_any,
        (
            Outcome("trouble", "the API server refused the last request: tries again later", says=SERVERS),
            INVALID,
        ),
    ),
    Row(
        ending_rules.unclear,
        (Outcome("unclear", "what the watches reported contradicts itself: lists Jobs and pods again"),),
    ),
    Row(
        live_rules.suspended,
        (
            Outcome(
                "suspended",
                "`spec.runPolicy.suspend` is true: stops what runs, starts nothing",
                "Suspended",
                Reason.SUSPENDED,
                (DeleteJob,),
            ),
        ),
    ),
    Row(
        queue_rules.stopped_in_vain,
        (
            Outcome(
                "no-progress",
                "a queue stopped three runs in a row, and none left a newer checkpoint",
                "Failed",
                Reason.NO_PROGRESS,
                STOP,
            ),
        ),
    ),
    Row(
        queue_rules.queued,
        (
            Outcome(
                "stopping",
                "a queue suspended the Job, and its pod is still ending (training saves a checkpoint)",
                "Queued",
                "`Preempted` or `Evicted`",
            ),
            Outcome(
                "queued",
                "a queue holds the Job back",
                "Queued",
                "`Queued`, `Inadmissible`, `QueueNotNamed`, `WorkloadMissing` or `Deactivated`",
            ),
            Outcome("deactivated", "and has given up on it for good", "Failed", Reason.DEACTIVATED, STOP),
            OVERDUE,
        ),
    ),
    Row(
        live_rules.starting,
        (
            Outcome(
                "starting",
                "the pod does not run yet; after a short wait, reads Events to know why",
                says="`Preparing`, `Starting`, or what Prepare waited for before; the state with it",
            ),
            Outcome(
                "cannot-start",
                "and something keeps it from starting",
                says="what keeps it: image, quota, scheduler, Secret, volume",
            ),
            OVERDUE,
        ),
    ),
    Row(
        live_rules.running,
        (
            Outcome(
                "preparing",
                "the Prepare pod runs",
                "Preparing",
                "`Preparing`, or what the attempt before waited for",
            ),
            Outcome("running", "the training pod runs", "Running", Reason.RUNNING),
        ),
    ),
    Row(
        live_rules.ending,
        (
            Outcome(
                "ending", "the pod has ended, or its Job was deleted: waits for the rest", says=Reason.ENDING
            ),
        ),
    ),
    Row(
        attempt_rules.leftovers,
        (
            Outcome(
                "leftovers",
                "Jobs or pods of an earlier attempt are still there: there must never be two live ones",
                says=Reason.ENDING,
                does=(DeleteJob,),
            ),
        ),
    ),
    Row(
        attempt_rules.given_up,
        (
            Outcome("given-up", "real failures have used up `maxAttempts`", "Failed", OWN, STOP),
            Outcome(
                "no-progress",
                "three interruptions in a row left no newer checkpoint",
                "Failed",
                Reason.NO_PROGRESS,
                STOP,
            ),
            OVERDUE,
        ),
    ),
    Row(
        attempt_rules.pausing,
        (Outcome("pausing", "the last attempt ended early: pauses, each time twice as long", says=OWN),),
    ),
    Row(
        attempt_rules.next_attempt,
        (
            Outcome("next-attempt", "else: reads the run, and lists Jobs and pods, if they are not at hand"),
            Outcome(
                "start-prepare",
                "and the rows are not prepared",
                "Preparing",
                "`Preparing`, or what the attempt before waited for",
                (CreateJob, DeleteJob),
            ),
            Outcome(
                "start-train",
                "and they are",
                "Starting",
                Reason.STARTING,
                (CreateService, CreateJob, DeleteJob),
            ),
        ),
    ),
)
"""First match wins."""
