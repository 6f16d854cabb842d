"""What to do next: an ordered table, the first row that holds speaks."""

from collections.abc import Callable
from datetime import datetime

from finetune_operator.errors.reasons import Reason
from kubectl_finetune.views.job import Job

UNSEEN_SECONDS = 60
"""A job that nobody has looked at for so long has no operator."""
NOT_TAKEN = {Reason.INADMISSIBLE, Reason.QUEUE_NOT_NAMED, Reason.WORKLOAD_MISSING, Reason.DEACTIVATED}
"""A queue has the job, and will not let it run before somebody does something."""
CANNOT_START = {
    Reason.API_DENIED,
    Reason.CLAIM_MISSING,
    Reason.CONFIG_MAP_MISSING,
    Reason.CREATE_CONTAINER_FAILED,
    Reason.IMAGE_PULL_FAILED,
    Reason.POD_REJECTED,
    Reason.PRIORITY_CLASS_MISSING,
    Reason.QUOTA_EXCEEDED,
    Reason.SECRET_MISSING,
    Reason.SERVICE_ACCOUNT_MISSING,
    Reason.UNSCHEDULABLE,
    Reason.VOLUME_FAILED,
}
"""A pod does not start before somebody does something."""
Row = tuple[Callable[[Job, datetime], bool], Callable[[Job], str]]


def step(job: Job, now: datetime) -> str:
    """One sentence with the command to type; empty where the command that shows it says it itself."""
    return next(says(job) for holds, says in ROWS if holds(job, now))


def _unseen(job: Job, now: datetime) -> bool:
    created = datetime.fromisoformat(job.raw["metadata"]["creationTimestamp"])
    return not job.conditions and (now - created).total_seconds() > UNSEEN_SECONDS


def _got_worse(job: Job) -> bool:
    seen = job.status.evaluation
    base, tuned = (seen.base, seen.tuned) if seen else (None, None)
    return bool(
        base and tuned and base.loss is not None and tuned.loss is not None and tuned.loss >= base.loss
    )


def _has_checkpoint(job: Job) -> bool:
    return job.status.checkpoint is not None


def _type(words: str) -> Callable[[Job], str]:
    """The sentence with the job's name in it."""
    return lambda job: words.format(name=job.name)


def whole(job: Job) -> str:
    """Where all of a screen is that had no room for it."""
    if job.is_local:
        return "data-report.md beside the result has all"
    return f"`kubectl finetune status {job.name} --full` shows all"


ROWS: tuple[Row, ...] = (
    (lambda job, _: job.is_local and job.succeeded, lambda _: ""),
    (
        lambda job, _: job.is_local and job.state == "Suspended",
        _type("run the same command again; it goes on from the last checkpoint"),
    ),
    (
        lambda job, _: job.is_local and job.settled,
        _type("correct what the sentence above names, and run the same command again"),
    ),
    (
        lambda job, _: job.is_local and job.state == "Preparing",
        _type("nothing to do; Ctrl-C stops it, and the same command begins again"),
    ),
    (
        lambda job, _: job.is_local,
        _type("nothing to do; Ctrl-C saves a checkpoint, and the same command goes on from it"),
    ),
    (
        lambda job, _: job.succeeded and _got_worse(job),
        _type(
            "the tuned model is no better than the base on held-out rows: look at `kubectl finetune report {name}`, then try "
            "fewer epochs, a lower spec.training.learningRate, or more data"
        ),
    ),
    (
        lambda job, _: job.succeeded,
        _type(
            "`kubectl finetune report {name}` shows what it learned; `kubectl finetune chat {name}` lets you try it"
        ),
    ),
    (
        lambda job, _: job.settled and _has_checkpoint(job),
        _type(
            "correct what the sentence above names; `kubectl finetune retry {name} --from-checkpoint --set FIELD=VALUE` goes on "
            "from the last checkpoint if data, model, spec.tuning and spec.training stay the same; without --from-checkpoint it "
            "starts over"
        ),
    ),
    (
        lambda job, _: job.settled,
        _type(
            "correct what the sentence above names; `kubectl finetune retry {name} --set FIELD=VALUE` runs it under a new name"
        ),
    ),
    (lambda job, _: job.suspended, _type("`kubectl finetune resume {name}` lets it go on")),
    (
        _unseen,
        _type(
            "no operator has looked at this job yet; ask the cluster's admin whether finetune-operator runs and serves this "
            "namespace"
        ),
    ),
    (
        lambda job, _: job.says[0] in NOT_TAKEN,
        _type(
            "the queue cannot take it as things stand; do what the sentence above says (queues can be changed between "
            "`kubectl finetune suspend {name}` and `kubectl finetune resume {name}`)"
        ),
    ),
    (
        lambda job, _: job.truth("Queued") == "True",
        _type(
            "it waits for its turn in the queue, and there is nothing to do; `kubectl finetune watch {name}` shows when it starts"
        ),
    ),
    (
        lambda job, _: job.truth("Accepted") == "False",
        _type("it waits for what the sentence above names, and goes on by itself when that is there"),
    ),
    (
        lambda job, _: job.says[0] in CANNOT_START,
        _type("do what the sentence above says; then it goes on by itself"),
    ),
    (
        lambda *_: True,
        _type("`kubectl finetune watch {name}` follows the job, `kubectl finetune logs {name} -f` its log"),
    ),
)
