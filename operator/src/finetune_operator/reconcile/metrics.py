"""What /metrics tells. No label holds a job's name: ten thousand jobs would be ten thousand series."""

import itertools
from collections.abc import Collection

import prometheus_client as prometheus

from finetune_operator.api.status import FineTuneJobStatus
from finetune_operator.names import Key
from finetune_operator.observe.job import JobSeen, Spent
from finetune_operator.status import durations

SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30)
OUTCOMES = ("Succeeded", "Failed", "Interrupted", "Waiting")
RESULTS = ("ok", "conflict", "api_error", "error")
STAGES = ("Prepare", "Train")
MINUTES = (10, 30, 60, 300, 900, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 24 * 3600, 72 * 3600)
"""Bounds for what a job waits and takes (s)."""
LATENCY = (0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300)


class Metrics:
    """One registry an operator: tests run several in one process."""

    def __init__(self, version: str) -> None:
        self.registry = prometheus.CollectorRegistry()
        self.reconciles = prometheus.Counter(
            "finetunejob_reconcile", "Passes of the loop, by result.", ["result"], registry=self.registry
        )
        for result in RESULTS:
            self.reconciles.labels(result)
        self.leading = prometheus.Gauge(
            "finetunejob_leading", "1: this pod reconciles; 0: it stands by.", registry=self.registry
        )
        self.durations = prometheus.Histogram(
            "finetunejob_reconcile_duration_seconds",
            "Time of one pass.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self.requests = prometheus.Counter(
            "finetunejob_api_requests",
            "Requests to the API server, by verb and code (0: no answer).",
            ["verb", "code"],
            registry=self.registry,
        )
        self.depth = prometheus.Gauge(
            "finetunejob_queue_depth", "Jobs that wait for a worker.", registry=self.registry
        )
        self.jobs = prometheus.Gauge(
            "finetunejob_jobs",
            "FineTuneJobs, by namespace and state.",
            ["namespace", "state"],
            registry=self.registry,
        )
        self.finished = prometheus.Counter(
            "finetunejob_jobs_finished",
            "Jobs that ended, by result and reason.",
            ["result", "reason"],
            registry=self.registry,
        )
        self.first_child = prometheus.Histogram(
            "finetunejob_create_to_child_seconds",
            "From a FineTuneJob's creation to its first Job (creation stamps are whole seconds).",
            buckets=LATENCY,
            registry=self.registry,
        )
        self.queued = prometheus.Histogram(
            "finetunejob_queued_seconds",
            "How long a queue held a Job back, each time.",
            buckets=MINUTES,
            registry=self.registry,
        )
        self.runs = prometheus.Histogram(
            "finetunejob_run_seconds",
            "How long an attempt's pods ran, by stage and outcome.",
            ["stage", "outcome"],
            buckets=MINUTES,
            registry=self.registry,
        )
        for stage, outcome in itertools.product(STAGES, OUTCOMES):
            self.runs.labels(stage, outcome)
        self.gpu_seconds = prometheus.Counter(
            "finetunejob_gpu_seconds",
            "GPUs times seconds of training attempts that ended, by namespace and outcome.",
            ["namespace", "outcome"],
            registry=self.registry,
        )
        self.wasted_gpu_seconds = prometheus.Counter(
            "finetunejob_wasted_gpu_seconds",
            "GPU seconds of training attempts whose work was lost, by namespace and outcome.",
            ["namespace", "outcome"],
            registry=self.registry,
        )
        self.cost = prometheus.Counter(
            "finetunejob_cost",
            "Price of training attempts that ended, by namespace, outcome and currency, where the profile names one.",
            ["namespace", "outcome", "currency"],
            registry=self.registry,
        )
        info = prometheus.Gauge("finetunejob_build_info", "Always 1.", ["version"], registry=self.registry)
        info.labels(version).set(1)
        self._states: dict[Key, str] = {}
        self._spent: dict[Key, tuple[str, Spent]] = {}
        """What each job had spent when it was last looked at, with its uid."""
        self._begun: set[tuple[str, frozenset[str]]] = set()

    def request(self, verb: str, code: int) -> None:
        """One request was answered, or not (0)."""
        self.requests.labels(verb, str(code)).inc()

    def state(self, key: Key, state: str | None) -> None:
        """A job is in `state` now; None: it is gone."""
        old = self._states.get(key)
        if old == state:
            return
        if old is not None:
            self.jobs.labels(key.namespace, old).dec()
        if state is None:
            self._states.pop(key, None)
            self._spent.pop(key, None)
        else:
            self._states[key] = state
            self.jobs.labels(key.namespace, state).inc()

    def wrote(self, before: FineTuneJobStatus, after: FineTuneJobStatus) -> None:
        """A status was written: count what has ended by it."""
        for run in durations.runs(before, after):
            self.runs.labels(run.stage, run.outcome).observe(run.seconds)
        waited = durations.queued(before, after)
        if waited is not None:
            self.queued.observe(waited)
        ended = durations.end(before, after)
        if ended is not None:
            self.finished.labels(after.state, ended.reason).inc()

    def spent(self, job: JobSeen, currencies: Collection[str]) -> None:
        """Count what a job has spent since it was last looked at. What it had spent before that, our predecessor has counted.

        `currencies`: those in which its price may be told.
        """
        self._begin(job.namespace, currencies)
        uid, before = self._spent.get(job.key, ("", job.spent))
        now = job.spent
        self._spent[job.key] = job.uid, now
        if uid != job.uid:
            return
        where = job.namespace, now.outcome
        for counter, labels, more in (
            (self.gpu_seconds, where, now.gpu_seconds - before.gpu_seconds),
            (self.wasted_gpu_seconds, where, now.wasted_gpu_seconds - before.wasted_gpu_seconds),
            (self.cost, (*where, now.currency), now.cost - before.cost),
        ):
            if more > 0:
                counter.labels(*labels).inc(more)

    def _begin(self, namespace: str, currencies: Collection[str]) -> None:
        """Every series of a namespace begins with 0: of one that begins with its first value Prometheus sees no increase."""
        known = namespace, frozenset(currencies)
        if known in self._begun:
            return
        self._begun.add(known)
        for outcome in OUTCOMES:
            self.gpu_seconds.labels(namespace, outcome)
            self.wasted_gpu_seconds.labels(namespace, outcome)
            for currency in currencies:
                self.cost.labels(namespace, outcome, currency)

    def page(self) -> bytes:
        """The Prometheus text."""
        return prometheus.generate_latest(self.registry)
