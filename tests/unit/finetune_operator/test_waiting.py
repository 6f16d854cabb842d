"""How long a job has waited, how often it failed, and what the API server refuses: decisions over time."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

import kube_objects
from finetune_operator import errors
from finetune_operator.observe import job as job_of
from finetune_operator.reconcile.actions import Actions
from finetune_operator.reconcile.caches import Caches
from finetune_operator.reconcile.decide import decide
from finetune_operator.reconcile.loop import Reconciler
from finetune_operator.reconcile.metrics import Metrics
from finetune_operator.reconcile.queue import WorkQueue
from kube_objects import published, word
from simulation import INSTALLED, Simulation, prepared_job, stamp

DEADLINE = 3600
LONG = 30 * 3600


def training_job(**spec):
    """A job whose first training attempt runs."""
    sim = prepared_job(runPolicy={"pendingDeadlineSeconds": DEADLINE}, **spec)
    sim.runs("train", 1, running=True)
    sim.step()
    return sim


def suspend(sim, *, on):
    sim.raw["spec"]["runPolicy"] = {**sim.raw["spec"]["runPolicy"], "suspend": on}
    sim.raw["metadata"]["generation"] += 1


def pods_gone(sim):
    sim.pods = {name: one for name, one in sim.pods.items() if "-train-" not in name}


def test_an_attempt_that_ran_for_long_and_is_suspended_by_its_queue_begins_to_wait_then():
    sim = training_job(scheduling={"queueName": "team-a"})
    sim.passes(LONG)
    pods_gone(sim)
    sim.job("train", 1)["spec"]["suspend"] = True
    sim.step()
    assert sim.rules[-1] == "queued"
    sim.passes(DEADLINE - 1)
    sim.step()
    assert sim.status["state"] == "Queued"
    sim.passes(1)
    sim.step()
    assert sim.said("Stalled") == ("True", "PendingDeadlineExceeded")


def test_prepare_that_ran_and_is_suspended_by_its_queue_begins_to_wait_then():
    sim = Simulation(
        runPolicy={"pendingDeadlineSeconds": DEADLINE}, scheduling={"prepareQueueName": "team-a"}
    )
    sim.step()
    sim.runs("prepare", 1, running=True)
    sim.step()
    sim.passes(LONG)
    sim.pods.clear()
    sim.job("prepare", 1)["spec"]["suspend"] = True
    sim.step()
    sim.passes(DEADLINE - 1)
    sim.step()
    assert sim.status["state"] == "Queued"
    sim.passes(1)
    sim.step()
    assert sim.said("Stalled") == ("True", "PendingDeadlineExceeded")


def test_an_attempt_that_ran_for_long_and_then_waits_begins_to_wait_at_its_end():
    sim = training_job()
    began = stamp(sim.now)
    sim.passes(LONG)
    ended = sim.now
    number = 1
    while sim.status["state"] != "Failed":
        last = word("Train", "EndpointUnreachable", "s3.example does not answer")
        sim.ends("train", number, 69, last, started=began if number == 1 else stamp(sim.now))
        decision = sim.step()
        if decision.rule == "pausing":
            sim.passes(decision.requeue_after)
            sim.step()
            number += 1
    assert number > 2
    assert sim.said("Stalled") == ("True", "PendingDeadlineExceeded")
    assert DEADLINE <= sim.now - ended < DEADLINE + 400


def test_time_under_suspend_is_no_wait():
    sim = prepared_job(runPolicy={"pendingDeadlineSeconds": DEADLINE})
    sim.ends("train", 1, 69, word("Train", "EndpointUnreachable", "s3.example does not answer"))
    sim.step()
    suspend(sim, on=True)
    sim.step()
    assert sim.said("Suspended") == ("True", "Suspended")
    sim.passes(LONG)
    suspend(sim, on=False)
    sim.step()
    assert sim.created[-1] == "train-2"
    assert sim.said("Suspended") == ("False", "Resumed")
    sim.ends("train", 2, 69, word("Train", "EndpointUnreachable", "s3.example does not answer"))
    assert sim.step().rule == "pausing"
    sim.passes(DEADLINE)
    sim.step()
    assert sim.said("Stalled") == ("True", "PendingDeadlineExceeded")


def test_failures_add_up_beyond_the_attempts_that_are_kept():
    sim = prepared_job(runPolicy={"maxAttempts": 14})
    for number in range(1, 40):
        sim.ends("train", number, 1 if number % 2 else 75)
        decision = sim.step()
        if decision.rule == "pausing":
            sim.passes(decision.requeue_after)
            sim.step()
        if sim.status["state"] == "Failed":
            break
    assert sim.status["failures"] == 14
    assert sim.created[-1] == "train-27"
    assert "14 of 14" in sim.condition("Stalled")["message"]


def test_prepare_gives_up_though_more_attempts_are_allowed_than_are_kept():
    sim = Simulation(runPolicy={"maxAttempts": 50})
    sim.step()
    for number in range(1, 12):
        sim.ends("prepare", number, 1)
        decision = sim.step()
        if sim.status["state"] == "Failed":
            break
        sim.passes(decision.requeue_after)
        sim.step()
    assert sim.created[-1] == "prepare-10"
    assert sim.said("Stalled") == ("True", "TrainerFailed")


def cannot_mount(sim, *messages):
    """The pod of train-1 hangs, and Events say why; the newest first."""
    sim.runs("train", 1, waiting=("ContainerCreating", ""))
    sim.events = [
        {
            "metadata": {"creationTimestamp": stamp(sim.now - at)},
            "reason": "FailedMount",
            "message": text,
            "involvedObject": {"uid": "u"},
        }
        for at, text in enumerate(messages)
    ]
    sim.step()
    sim.passes(11)


def test_an_old_event_about_a_run_that_is_there_is_no_obstacle():
    sim = prepared_job()
    missing = f'MountVolume.SetUp failed for volume "run" : configmap "{sim.status["run"]}" not found'
    cannot_mount(sim, missing)
    sim.step()
    assert sim.said("Running") == ("False", "Starting")


def test_an_old_event_about_the_run_does_not_hide_another():
    sim = prepared_job()
    missing = f'MountVolume.SetUp failed for volume "run" : configmap "{sim.status["run"]}" not found'
    cannot_mount(sim, missing, 'MountVolume.SetUp failed : secret "bucket" not found')
    sim.step()
    assert sim.said("Running") == ("False", "SecretMissing")


def test_a_run_that_is_gone_while_its_pod_starts_is_told():
    sim = prepared_job()
    missing = f'MountVolume.SetUp failed for volume "run" : configmap "{sim.status["run"]}" not found'
    cannot_mount(sim, missing)
    sim.cached_run = sim.config_map = None
    sim.step()
    assert sim.said("Stalled") == ("True", "RunLost")


@pytest.mark.parametrize("accepted", [False, True])
def test_a_spec_that_makes_an_invalid_object_ends_the_job(accepted):
    sim = prepared_job() if accepted else Simulation()
    error = errors.Invalid('Job "x" is invalid: spec.template.spec.nodeSelector: Invalid value', code=422)
    decision = decide(replace(sim.world(), trouble=error))
    said = {one.type: one for one in decision.status.conditions}
    assert decision.status.state == "Failed"
    assert (said["Stalled"].status, said["Stalled"].reason) == ("True", "SpecInvalid")
    assert (
        "nodeSelector: Invalid value; correct it and apply the job under a new name"
        in said["Stalled"].message
    )


def test_a_refused_delete_does_not_say_that_what_runs_does_not():
    sim = training_job()
    suspend(sim, on=True)
    decision = decide(replace(sim.world(), trouble=errors.Denied("you may not delete jobs")))
    said = {one.type: one for one in decision.status.conditions}
    assert said["Running"].status == "True"
    assert said["Ready"].reason == "ApiDenied"
    assert "you may not delete jobs" in said["Ready"].message


class Cluster:
    """An API server that has one ConfigMap, or refuses to show it."""

    def __init__(self, raw, answer):
        self.raw, self.answer, self.patched = raw, answer, []

    async def get(self, _resource, _namespace, _name):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def list(self, _resource, **_):
        return
        yield

    async def patch_status(self, _resource, _namespace, _name, body):
        self.patched.append(body["status"])
        return self.raw


async def reconciled(sim, answer):
    """The status patch of one pass over what `sim` holds, after a restart."""
    cluster, caches = Cluster(sim.raw, answer), Caches()
    job = job_of.job(sim.raw)
    caches.put_job(job)
    world = sim.world()
    for one in world.children:
        caches.put_child(one)
    for one in world.pods:
        caches.put_pod(one)
    recorder = SimpleNamespace(tell=lambda *_: None)
    loop = Reconciler(
        cluster,
        caches,
        WorkQueue(),
        Metrics("test"),
        recorder,
        Actions(cluster, caches),
        INSTALLED,
        lambda: sim.now,
    )
    await loop.reconcile(job.key)
    return {one["type"]: one for one in cluster.patched[-1]["conditions"]}


UNREADABLE = {"metadata": {"name": "x"}}


@pytest.mark.parametrize("answer", [errors.Denied("forbidden"), UNREADABLE, errors.NotFound("gone")])
async def test_a_published_job_succeeds_without_its_run(answer):
    sim = training_job()
    sim.ends("train", 1, 0, published())
    said = await reconciled(sim, answer)
    assert said["Succeeded"]["status"] == "True"


@pytest.mark.parametrize(
    ("answer", "reason"), [(errors.Denied("you may not read"), "ApiDenied"), (UNREADABLE, "NameTaken")]
)
async def test_a_refused_look_is_told(answer, reason):
    sim = Simulation()
    sim.step()
    sim.ends("prepare", 1, 0, kube_objects.prepared())
    said = await reconciled(sim, answer)
    assert said["Ready"]["reason"] == reason
    assert said["Prepared"]["status"] == "True"
