"""What /metrics tells about a namespace's use of GPUs, and that every metric is documented."""

import pathlib

import pytest

import kube_objects
import wild_cluster
import wild_operator
from finetune_operator.api import status as api_status
from finetune_operator.reconcile.metrics import Metrics

PAGE = pathlib.Path(__file__).parents[3] / "docs" / "metrics.md"
HOUR = 3600
PRICED = {"default": True, "prices": {"gpuHour": 2.0, "currency": "EUR"}}


class Namespace:
    """One job of two priced GPUs, whose Prepare is done, and an operator that counts."""

    def __init__(self):
        self.cluster = wild_cluster.WildCluster()
        profile = kube_objects.fine_tune_profile(**PRICED)
        del profile["metadata"]["resourceVersion"]
        self.cluster.put("finetuneprofiles", profile)
        body = kube_objects.fine_tune_job(resources={"gpusPerNode": 2})
        del body["status"], body["metadata"]["resourceVersion"]
        self.cluster.put("finetunejobs", body)
        self.starts_anew()
        self.goes_on(kube_objects.prepared())

    def starts_anew(self):
        self.operator = wild_operator.WildOperator(self.cluster)

    def goes_on(self, word, *, code=0, seconds=0, fates=()):
        """The newest attempt runs, and ends like this."""
        self.settles()
        self.cluster.control()
        pod = next(one for one in self.cluster.all("pods") if not wild_cluster.ended(one))
        self.cluster.start(pod)
        self.settles()
        self.cluster.passes(seconds)
        self.cluster.end(self.cluster.get("pods", pod["metadata"]["name"]), code, word=word)
        self.cluster.control()
        self.operator.api.fates.extend(fates)
        self.settles()

    def settles(self):
        for _ in range(20):
            for plural in self.operator.behind():
                self.operator.hears(plural)
            self.operator.works()
            self.cluster.passes(20)

    def counted(self, name, **labels):
        given = {"namespace": "team-a", **labels}
        return self.operator.reconciler.metrics.registry.get_sample_value(f"finetunejob_{name}_total", given)


def test_gpu_seconds_waste_and_cost_are_summed_by_namespace_and_outcome():
    found = Namespace()
    found.goes_on(kube_objects.word("Train", "InternalError", "oops"), code=70, seconds=HOUR)
    lost = found.counted("gpu_seconds", outcome="Failed")
    assert 2 * HOUR <= lost < 2 * HOUR + 2000
    assert found.counted("wasted_gpu_seconds", outcome="Failed") == lost
    assert found.counted("cost", outcome="Failed", currency="EUR") == pytest.approx(
        lost / HOUR * 2.0, abs=0.01
    )
    found.goes_on(kube_objects.published(), seconds=2 * HOUR)
    assert found.cluster.job()["status"]["state"] == "Succeeded"
    good = found.counted("gpu_seconds", outcome="Succeeded")
    assert good >= 4 * HOUR
    assert found.counted("wasted_gpu_seconds", outcome="Succeeded") == 0
    assert lost + good == pytest.approx(found.cluster.job()["status"]["usage"]["gpuSeconds"])


def test_what_a_predecessor_has_counted_is_not_counted_again():
    found = Namespace()
    found.goes_on(None, code=70, seconds=HOUR)
    found.starts_anew()
    found.goes_on(kube_objects.published(), seconds=HOUR)
    assert found.counted("gpu_seconds", outcome="Failed") == 0
    assert found.counted("gpu_seconds", outcome="Succeeded") >= 2 * HOUR


def test_the_next_leader_begins_the_cost_of_a_running_job_with_nothing():
    """Else Prometheus would see no increase when the attempt ends."""
    found = Namespace()
    found.starts_anew()
    found.settles()
    assert found.counted("cost", outcome="Interrupted", currency="EUR") == 0
    found.goes_on(kube_objects.published(), seconds=HOUR)
    assert found.counted("cost", outcome="Succeeded", currency="EUR") > 0


def test_a_write_whose_answer_was_lost_is_counted_once():
    found = Namespace()
    found.goes_on(kube_objects.published(), seconds=HOUR, fates=["well", "answer lost"])
    assert found.cluster.job()["status"]["state"] == "Succeeded"
    used = found.cluster.job()["status"]["usage"]["gpuSeconds"]
    assert found.counted("gpu_seconds", outcome="Succeeded") == pytest.approx(used)


def runs(found, stage, outcome):
    """How many attempts ended so, and how long they ran in all."""
    given = {"stage": stage, "outcome": outcome}
    registry = found.operator.reconciler.metrics.registry
    return [registry.get_sample_value(f"finetunejob_run_seconds_{part}", given) for part in ("count", "sum")]


def test_each_attempt_is_timed_once():
    found = Namespace()
    assert runs(found, "Prepare", "Succeeded")[0] == 1
    assert runs(found, "Train", "Failed") == [0, 0]
    found.goes_on(kube_objects.word("Train", "InternalError", "oops"), code=70, seconds=HOUR)
    found.goes_on(kube_objects.published(), seconds=2 * HOUR)
    for outcome, seconds in (("Failed", HOUR), ("Succeeded", 2 * HOUR)):
        count, total = runs(found, "Train", outcome)
        assert count == 1
        assert seconds <= total < seconds + 1000
    assert runs(found, "Prepare", "Succeeded")[0] == 1


def test_a_wait_in_a_queue_is_timed_when_the_job_may_start():
    def status(truth, time):
        says = {"type": "Queued", "status": truth, "reason": "x", "lastTransitionTime": time}
        return api_status.parse({"conditions": [says]})

    metrics = Metrics("test")
    waits, starts = status("True", "2026-11-22T10:00:00Z"), status("False", "2026-11-22T10:30:00Z")
    for before, after in ((waits, waits), (waits, starts), (starts, starts), (starts, waits)):
        metrics.wrote(before, after)
    counted = [
        metrics.registry.get_sample_value(f"finetunejob_queued_seconds_{part}") for part in ("count", "sum")
    ]
    assert counted == [1, 1800]


def test_no_label_holds_a_name_and_every_metric_is_on_the_page():
    page = PAGE.read_text()
    for family in Metrics("test").registry.collect():
        assert f"`{family.name}" in page, family.name
    found = Namespace()
    assert found.counted("cost", outcome="Succeeded", currency="EUR") == 0
    assert "support-bot" not in found.operator.reconciler.metrics.page().decode()
