"""What /metrics tells. No label holds a job's name: ten thousand jobs would be ten thousand series."""

import prometheus_client as prometheus

from finetune_operator.names import Key

SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30)
LATENCY = (0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300)


class Metrics:
    """One registry an operator: tests run several in one process."""

    def __init__(self, version: str) -> None:
        self.registry = prometheus.CollectorRegistry()
        self.reconciles = prometheus.Counter(
            "finetunejob_reconcile", "Passes of the loop, by result.", ["result"], registry=self.registry
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
        info = prometheus.Gauge("finetunejob_build_info", "Always 1.", ["version"], registry=self.registry)
        info.labels(version).set(1)
        self._states: dict[Key, str] = {}

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
        else:
            self._states[key] = state
            self.jobs.labels(key.namespace, state).inc()

    def page(self) -> bytes:
        """The Prometheus text."""
        return prometheus.generate_latest(self.registry)
