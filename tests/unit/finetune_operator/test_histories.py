"""Whatever happens, in whatever order, seen late or twice: at most one live training Job, and an end is an end."""

import json
import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import kube_objects
from finetune_operator.api.status import MAX_STATUS_BYTES, FineTuneJobStatus
from simulation import Simulation, over, prepared_job, stage_of

USUAL = st.sampled_from([0, 1, 69, 75, 137])
FINAL = st.sampled_from([0, 64, 65, 77, 86])
HAPPENINGS = st.one_of(
    st.tuples(st.just("ends"), USUAL, st.booleans()),
    st.tuples(st.just("ends"), FINAL, st.booleans()),
    st.tuples(st.just("runs")),
    st.tuples(st.just("runs")),
    st.tuples(st.just("job deleted"), st.booleans()),
    st.tuples(st.just("job deleted"), st.booleans()),
    st.tuples(st.just("pod deleted")),
    st.tuples(st.just("evicted")),
    st.tuples(st.just("queued"), st.booleans()),
    st.tuples(st.just("time passes"), st.sampled_from([1, 15, 400, 90000])),
    st.tuples(st.just("suspend"), st.booleans()),
    st.tuples(st.just("status wiped")),
    st.tuples(st.just("restart")),
    st.tuples(st.just("cut off")),
    st.tuples(st.just("seen late"), st.integers(1, 3)),
    st.tuples(st.just("seen blind")),
    st.tuples(st.just("twice")),
)
EXAMPLES = int(os.environ.get("FINETUNE_TEST_HISTORIES", "100"))
GOOD = {"prepare": kube_objects.prepared(), "train": kube_objects.published()}


class History:
    """A Simulation with things that happen to its newest unfinished child, and to the operator."""

    def __init__(self, *, training):
        start = prepared_job if training else Simulation
        self.sim = start(runPolicy={"maxAttempts": 2})
        self.snapshots = [self.sim.snapshot()]
        self.end = None

    def happens(self, what, *given):  # noqa: C901, PLR0912  a table of what may happen, one line or two each
        sim = self.sim
        stale, crash = None, False
        job = next(
            (one for one in reversed(list(sim.jobs.values())) if not one["status"].get("conditions")), None
        )
        target = (stage_of(job), int(job["metadata"]["labels"]["finetune.dev/attempt"])) if job else None
        match what:
            case "ends" if target:
                code, with_word = given
                sim.ends(*target, code, GOOD[target[0]] if code == 0 and with_word else None)
            case "runs" if target:
                sim.runs(*target, running=True)
            case "job deleted" if target:
                sim.deletes(*target, with_pod=given[0])
            case "pod deleted" if sim.pods:
                self._pod_deleted()
            case "evicted" if target:
                sim.ends(*target, 137, disrupted="EvictionByEvictionAPI")
            case "queued" if job:
                job["spec"]["suspend"] = given[0]
            case "time passes":
                sim.passes(given[0])
                sim.pods = {
                    name: one
                    for name, one in sim.pods.items()
                    if name in sim.jobs or over(one) or given[0] < 400
                }
            case "suspend":
                self._suspend(on=given[0])
            case "status wiped" if self.end is None:
                sim.raw["status"] = {}
            case "restart":
                sim.cached_run = None
            case "cut off":
                crash = True
            case "seen late":
                stale = self._late(given[0])
            case "seen blind":
                stale = ([], [])
            case "twice":
                sim.step()
        sim.step(stale, crash=crash)
        self.snapshots.append(sim.snapshot())
        self.check()

    def _pod_deleted(self):
        """With its Job, whose controller sees a failure."""
        name = next(reversed(self.sim.pods))
        del self.sim.pods[name]
        job = self.sim.jobs.get(name)
        if job is not None and not job["status"].get("conditions"):
            job["status"] = kube_objects.ended("Failed")

    def _suspend(self, *, on):
        spec = self.sim.raw["spec"]
        if spec["runPolicy"].get("suspend", False) is not on:
            spec["runPolicy"] = {**spec["runPolicy"], "suspend": on}
            self.sim.raw["metadata"]["generation"] += 1

    def _late(self, back):
        """An old view, with what we ourselves have made since."""
        jobs, pods = self.snapshots[-min(back, len(self.snapshots))]
        there = {one["metadata"]["name"] for one in jobs}
        return [*jobs, *(one for name, one in self.sim.jobs.items() if name not in there)], pods

    def check(self):
        sim = self.sim
        assert sim.most_live <= 1, sim.created
        status = sim.status
        assert len(json.dumps(status)) <= MAX_STATUS_BYTES
        FineTuneJobStatus.model_validate(status)
        truth = {one["type"]: one["status"] for one in status.get("conditions", [])}
        if not truth:
            return
        over = truth["Succeeded"] != "Unknown"
        assert truth["Reconciling"] == ("False" if over else "True")
        assert (truth.get("Stalled") == "True") == (truth["Succeeded"] == "False")
        assert (truth["Ready"] == "True") == (truth["Succeeded"] == "True")
        assert over == (status["state"] in {"Succeeded", "Failed"})
        if truth["Succeeded"] == "True":
            assert status["adapter"]["digest"]
        self.check_the_end(over=over)

    def check_the_end(self, *, over):
        """What has ended stays as it is, but for the generation that was seen."""
        found = {**self.sim.status, "observedGeneration": 0}
        if self.end is not None:
            assert (found, len(self.sim.created)) == self.end
        if over and self.end is None:
            self.end = (json.loads(json.dumps(found)), len(self.sim.created))


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.booleans(), st.lists(HAPPENINGS, max_size=25))
def test_at_most_one_live_training_job_and_an_end_is_an_end(training, happenings):
    history = History(training=training)
    history.sim.step()
    for one in happenings:
        history.happens(*one)


@settings(max_examples=EXAMPLES // 4, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.booleans(), st.lists(HAPPENINGS, max_size=12))
def test_a_job_left_alone_comes_to_rest(training, happenings):
    history = History(training=training)
    history.sim.step()
    for one in happenings:
        history.happens(*one)
    history.sim.rest()
