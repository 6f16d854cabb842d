"""What the caches believe, and whom."""

import pytest

import kube_objects
from finetune_operator.cluster.api import Page
from finetune_operator.observe.child import child
from finetune_operator.observe.job import job, profile
from finetune_operator.observe.pod import pod
from finetune_operator.reconcile.caches import Caches
from finetune_operator.reconcile.intake import Intake
from finetune_operator.reconcile.kueue import Kueue
from finetune_operator.reconcile.metrics import Metrics
from finetune_operator.reconcile.poller import Poller
from finetune_operator.reconcile.queue import WorkQueue
from finetune_operator.reconcile.sync import Sync
from finetune_operator.status.judge import judge
from simulation import Simulation

NEWER = "999999"


class Lists:
    """An API server that has these profiles and nothing else."""

    def __init__(self, *profiles):
        self.profiles = profiles

    async def list(self, resource, **_):
        yield Page(list(self.profiles) if resource.plural == "finetuneprofiles" else [], 50)


def training():
    """A FineTuneJob, its training Job and the pod, which runs."""
    sim = Simulation()
    sim.step()
    sim.ends("prepare", 1, 0, kube_objects.prepared())
    sim.step()
    sim.runs("train", 1, running=True)
    made = sim.job("train", 1)
    return sim.raw, made, sim.pods[made["metadata"]["name"]]


def elsewhere(raw, **metadata):
    """The same in a namespace of somebody else's, newer."""
    moved = {"namespace": "team-b", "uid": "forged", "resourceVersion": NEWER, **metadata}
    return {**raw, "metadata": {**raw["metadata"], **moved}}


@pytest.mark.parametrize("first", ["the job", "the stranger"])
def test_what_lies_in_another_namespace_than_the_job_does_not_count(first):
    raw, made, own = training()
    forged = [pod(elsewhere(own)), pod(elsewhere(own, name="other"))]
    caches, uid = Caches(), raw["metadata"]["uid"]
    if first == "the stranger":
        for one in forged:
            caches.put_pod(one)
        caches.put_child(child(elsewhere(made)))
    caches.put_job(job(raw))
    caches.put_child(child(made))
    caches.put_pod(pod(own))
    if first == "the job":
        assert not any(caches.put_pod(one) for one in forged)
        assert not caches.put_child(child(elsewhere(made)))
    assert not any(caches.drop_pod(one) for one in forged)
    assert [one.uid for one in caches.pods[uid].values()] == [own["metadata"]["uid"]]
    assert [one.uid for one in caches.children[uid].values()] == [made["metadata"]["uid"]]


def test_a_stranger_wakes_nobody():
    raw, _, own = training()
    caches, queue = Caches(), WorkQueue()
    caches.put_job(job(raw))
    Intake(caches, queue, Metrics("test")).pod("ADDED", elsewhere(own))
    assert len(queue) == 0


def test_pods_of_a_job_that_is_not_known_are_not_asked():
    raw, made, own = training()
    caches, queue = Caches(), WorkQueue()
    poller = Poller(None, caches, queue, 30.0)
    caches.put_child(child(elsewhere(made)))
    caches.put_pod(pod({**elsewhere(own), "status": own["status"]}))
    forged_child = elsewhere(made, uid=made["metadata"]["uid"])
    caches.put_child(child({**forged_child, "metadata": {**forged_child["metadata"], "name": "more"}}))
    assert list(poller._running()) == []
    caches.put_job(job(raw))
    caches.put_child(child(made))
    caches.put_pod(pod(own))
    assert [one.uid for one in poller._running()] == [own["metadata"]["uid"]]


def test_without_its_job_a_pod_must_at_least_name_one():
    _, _, own = training()
    own["status"] = kube_objects.pod_status(exit_code=0, word=kube_objects.published())
    bare = {**own, "metadata": {**own["metadata"], "ownerReferences": []}}

    def outcome(raw):
        found = judge("Train", 1, None, [pod(raw)], name="support-bot", confirmed=True, now=0.0)
        return found.outcome

    assert outcome(own) == "Succeeded"
    assert outcome(bare) == "Interrupted"


def of_version(version, uid="profile-strict", **spec):
    raw = kube_objects.fine_tune_profile("strict", **spec)
    raw["metadata"] |= {"resourceVersion": version, "uid": uid}
    return raw


def test_an_older_profile_is_ignored():
    caches = Caches()
    assert caches.put_profile(profile(of_version("10", image="new")))
    assert not caches.put_profile(profile(of_version("9", image="old")))
    assert caches.profiles["strict"].spec == {"image": "new"}


def test_a_late_deletion_spares_the_profile_that_was_made_anew():
    caches = Caches()
    intake = Intake(caches, WorkQueue(), Metrics("test"))
    intake.profile("ADDED", of_version("20", uid="second"))
    intake.profile("DELETED", of_version("15", uid="first"))
    assert caches.profiles
    intake.profile("DELETED", of_version("21", uid="second"))
    assert not caches.profiles


async def test_a_profile_that_is_gone_is_pruned_by_a_full_list():
    caches, queue = Caches(), WorkQueue()
    intake = Intake(caches, queue, Metrics("test"))
    intake.profile("ADDED", of_version("40"))
    intake.profile("ADDED", kube_objects.fine_tune_profile("stays"))
    newer = of_version("60", uid="newer than the list")
    newer["metadata"]["name"] = "newer"
    intake.profile("ADDED", newer)
    lists = Lists(kube_objects.fine_tune_profile("stays"))
    await Sync(lists, caches, intake, queue, kueue=Kueue(lists, ()), namespaces=()).prime()
    assert set(caches.profiles) == {"stays", "newer"}


@pytest.mark.parametrize(("state", "woken"), [("Pending", 1), ("Suspended", 1), ("Running", 0)])
def test_a_new_profile_wakes_the_jobs_that_may_wait_for_it(state, woken):
    caches, queue = Caches(), WorkQueue()
    caches.put_job(job(kube_objects.fine_tune_job(status={"state": state})))
    Intake(caches, queue, Metrics("test")).profile("ADDED", of_version("40"))
    assert len(queue) == woken


def test_a_pod_that_ended_and_is_gone_still_says_how_when_its_job_tells_that_it_is_over():
    raw, made, own = training()
    caches, uid = Caches(), raw["metadata"]["uid"]
    caches.put_job(job(raw))
    caches.put_child(child(made))
    caches.put_pod(pod(own))
    word = kube_objects.saved(40, "2026-11-22T10:00:50Z")
    over = kube_objects.pod(made, version=NEWER, exit_code=75, word=word, deleting=True)
    over["metadata"]["name"], over["metadata"]["uid"] = own["metadata"]["name"], own["metadata"]["uid"]

    caches.drop_pod(pod(over))  # DELETED, with the pod as it last was
    finished = {**made, "status": kube_objects.ended("Failed", "BackoffLimitExceeded")}
    finished["metadata"] = {**made["metadata"], "resourceVersion": NEWER}
    caches.put_child(child(finished))
    caches.replace_of(uid, [child(finished)], [], version=int(NEWER) + 1)  # a live look shows no pod any more

    pods = list(caches.pods[uid].values())
    one = judge("Train", 1, child(finished), pods, name="x", confirmed=True, now=0.0)
    assert (one.outcome, one.reason, one.exit_code) == ("Interrupted", "Interrupted", 75)


def test_a_pod_that_vanishes_while_it_runs_is_forgotten():
    raw, made, own = training()
    caches = Caches()
    caches.put_job(job(raw))
    caches.put_child(child(made))
    caches.put_pod(pod(own))
    assert caches.drop_pod(pod(own))
    assert raw["metadata"]["uid"] not in caches.pods


def test_an_ended_pod_goes_with_its_job():
    raw, made, _ = training()
    caches, uid = Caches(), raw["metadata"]["uid"]
    caches.put_job(job(raw))
    over = pod(kube_objects.pod(made, version=NEWER, exit_code=75))
    caches.put_pod(over)
    caches.drop_pod(over)
    assert uid not in caches.pods


def test_a_late_page_of_a_list_brings_nothing_back_that_was_deleted():
    raw, made, own = training()
    caches = Caches()
    caches.put_job(job(raw))
    caches.put_child(child(made))
    caches.put_pod(pod(own))
    assert caches.drop_pod(pod(own))
    assert caches.drop_child(child(made))
    assert not caches.put_child(child(made))
    assert not caches.put_pod(pod(own))
    assert (caches.children, caches.pods) == ({}, {})
