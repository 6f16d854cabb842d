"""docs/reference.md: every word and number by which a program may go. `python tests/support/reference_page.py` writes it."""

import pathlib

from prometheus_client import Metric

import reasons_page
from finetune_operator.errors import page
from finetune_operator.reconcile.metrics import Metrics
from finetune_operator.status import transitions
from finetune_trainer.errors import ExitCode
from finetune_trainer.supervisor import serve

PATH = pathlib.Path(__file__).resolve().parents[2] / "docs" / "reference.md"

STATES = {
    "Pending": "waits for its profile, or for another job that it goes on from",
    "Accepted": "spec and profile fit; never seen for long: Prepare starts in the same pass",
    "Preparing": "the Prepare pod checks model, data and access, without a GPU",
    "Queued": "a queue holds the Job back",
    "Starting": "the Job is there, its pods do not run yet; or a pause before the next attempt",
    "Running": "training, evaluating or publishing",
    "Suspended": "suspended by `spec.runPolicy.suspend`",
    "Succeeded": "published; final",
    "Failed": "failed for good; final",
}
CONDITIONS = {
    "Accepted": "spec and profile fit, and the resolved run is written down",
    "Prepared": "Prepare has passed: data, model and access are checked",
    "Suspended": "suspended; False with reason `Resumed` afterwards. Jobs that were never suspended do not have it",
    "Queued": "a queue holds the Job back, with the queue's own reason; gone once the attempt is over",
    "Running": "a training pod runs",
    "Published": "the result is at the output",
    "Succeeded": "True: published; False: failed for good; Unknown: on the way",
    "Reconciling": "kstatus: in progress. False means that the job has ended",
    "Stalled": "kstatus: failed for good. Never there otherwise",
    "Ready": "True once published; its reason and message say at any time what the job does or waits for",
}
CODES = {
    ExitCode.OK: (
        "published, or prepared",
        "goes on, or `Succeeded`; without a valid last word it counts as a failure",
    ),
    ExitCode.AUTHOR: ("the author must change the spec or the data", "fails, no retry"),
    ExitCode.GATE: ("the evaluation gate was not met", "fails, no retry; what was trained is kept"),
    ExitCode.OUTSIDE: ("something outside is not there yet", "retries with growing pauses, costs no attempt"),
    ExitCode.INTERNAL: (
        "our bug, or the machine's; so is every code that is not listed",
        "retries up to `runPolicy.maxAttempts`",
    ),
    ExitCode.INTERRUPTED: ("interrupted after a verified checkpoint", "resumes, costs no attempt"),
    ExitCode.DENIED: ("access denied", "fails, no retry"),
    ExitCode.OUT_OF_MEMORY: (
        "the accelerator is out of memory, with one row at a time",
        "fails, with the estimate",
    ),
}

TEXT = """\
# Reference: metrics, states, conditions, reasons, exit codes

Made from the code (`make generated`); a test holds this page to it. All words here are stable: programs may go by them. Sentences
beside them are for people, and may change.

## Metrics of the operator

On `/metrics`, port 8080 of each operator pod. [What to ask them](metrics.md), [alerts](alerts.md).

{operator_metrics}

## Metrics of training pods

On `/metrics`, port 8080 (`progress`) of node 0's pod, while it has something to tell.

{trainer_metrics}

## States

`status.state`, for people and the column of `kubectl get ftj`; programs go by conditions. [Which follows which](life-of-a-job.md).

{states}

## Conditions

`status.conditions`, each with reason, message, the generation it was said of, and the moment in which its truth changed.

{conditions}

## Exit codes

Of the `trainer` container ([the contract](contract.md)).

{codes}

## Reasons

Of conditions, of `status.attempts` and of Events. An Event is sent when `Accepted`, `Prepared`, `Queued`, `Running` or
`Succeeded` changes its truth or reason, and when an attempt ends otherwise than well. It is a `Warning` if the condition is
False or the attempt failed, and `Normal` where False is the usual course of things: {usual}.
No Event is made of {silent}. While a Job is queued, `Queued` carries the queue's own reason.

### From the trainer

{trainer_reasons}

### From the operator

{operator_reasons}
"""


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Markdown."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _operator_metrics() -> str:
    metrics = Metrics("reference")
    declared = {one._name: one._labelnames for one in vars(metrics).values() if hasattr(one, "_labelnames")}
    rows = [_row(family, declared.get(family.name, ())) for family in metrics.registry.collect()]
    return table(("metric", "kind", "labels", "what"), rows)


def _row(family: Metric, labels: tuple[str, ...]) -> tuple[str, ...]:
    """The name as it is asked for: a counter's ends in `_total`. Of a family without series only its declaration has labels."""
    name = f"{family.name}_total" if family.type == "counter" else family.name
    shown = labels or sorted({label for sample in family.samples for label in sample.labels} - {"le"})
    return f"`{name}`", family.type, ", ".join(f"`{label}`" for label in shown), family.documentation


def _trainer_metrics() -> str:
    rows = [(f"`finetune_trainer_{name}`", "", told) for name, told in serve.GAUGES.items()]
    rows += [
        ("`finetune_trainer_attempt`", "", "This attempt's number."),
        ("`finetune_trainer_updated_timestamp_seconds`", "", "When there was progress last."),
        ("`finetune_trainer_stage`", "`stage`", "1 for the stage the pod is in."),
    ]
    return table(("metric (gauges all)", "labels", "what"), rows)


def _named(words: dict[str, str], head: str) -> str:
    return table((head, "what"), [(f"`{word}`", told) for word, told in words.items()])


def _listed(words: frozenset[str]) -> str:
    return ", ".join(f"`{word}`" for word in sorted(words))


def text() -> str:
    """The whole page."""
    return TEXT.format(
        operator_metrics=_operator_metrics(),
        trainer_metrics=_trainer_metrics(),
        states=_named(STATES, "state"),
        conditions=_named(CONDITIONS, "condition"),
        codes=table(
            ("code", "meaning", "the operator"),
            [(f"{code.value}", *told) for code, told in sorted(CODES.items())],
        ),
        usual=_listed(transitions.USUAL),
        silent=_listed(transitions.SILENT),
        trainer_reasons=reasons_page.trainer_table(),
        operator_reasons=page.table(),
    )


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
