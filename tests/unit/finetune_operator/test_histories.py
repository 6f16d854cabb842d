"""Whatever happens to a job, in whatever order, told late, twice or never: the promises of docs/life-of-a-job.md hold.

A history is some forty things that happen to one FineTuneJob, to its Jobs and pods, to the API server and to the operator.
`make check` tries a few; `make histories` ten thousand.
"""

import json
import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import kube_objects
import wild_cluster
import wild_operator
from finetune_operator.api.status import MAX_STATUS_BYTES, FineTuneJobStatus
from finetune_operator.observe.words import ProgressSeen
from finetune_operator.reconcile import loop
from simulation import stamp

ASKED = os.environ.get("FINETUNE_TEST_HISTORIES")
HISTORIES = int(ASKED or "24")
STEPS = 40
MOST_ATTEMPTS = 2
WORDS = {
    "none": {},
    "good": {},
    "of its own": {},
    "no JSON": {"message": "\x00{"},
    "of another stage": {"word": {**kube_objects.prepared(), "stage": "Train"}},
    "without its result": {"word": {**kube_objects.published(), "result": {"adapter": {"uri": 7}}}},
    "a checkpoint": {"word": kube_objects.saved(120, stamp(wild_cluster.START + 60))},
    "odd numbers": {
        "word": {**kube_objects.published(), "result": {"checkpoint": {"step": 1e308, "time": "soon"}}}
    },
    "long": {"word": kube_objects.word("Train", "TooLong", "é" * 1500)},
}
CODES = st.sampled_from([0, 0, 0, 1, 1, 69, 69, 75, 75, 137, 64, 65, 77, 86])
FATES = st.lists(
    st.sampled_from(
        ["well", "well", "not reached", "answer lost", "denied", "killed before", "killed after"]
    ),
    min_size=1,
    max_size=4,
)
WATCHES = st.sampled_from(["finetunejobs", "jobs", "pods"])
PICK = st.integers(0, 7)


class Histories(RuleBasedStateMachine):
    """One FineTuneJob and all that may happen to it."""

    training = False

    def __init__(self):
        super().__init__()
        self.decisions = []
        self.real = loop.decide
        loop.decide = wild_operator.watched_decide(self.real, self.decisions)
        self.cluster = wild_cluster.WildCluster()
        self.operator = None
        self.end = None
        self.missed = False
        self.checked = 0

    # The beginning

    @initialize(deadline=st.sampled_from([None, 900, 5000]), with_profile=st.booleans())
    def begins(self, deadline, with_profile):
        self._applied(deadline, with_profile)
        self.operator = wild_operator.WildOperator(self.cluster)
        if self.training:
            self._until_training()

    def _applied(self, deadline, with_profile):
        policy = {"maxAttempts": MOST_ATTEMPTS}
        if deadline is not None:
            policy |= {"pendingDeadlineSeconds": deadline, "activeDeadlineSeconds": deadline}
        more = {"profile": "default"} if with_profile else {}
        body = kube_objects.fine_tune_job(runPolicy=policy, **more)
        for field in ("uid", "resourceVersion", "generation", "creationTimestamp"):
            del body["metadata"][field]
        body["metadata"]["uid"] = f"job-uid-{self.cluster.version}"
        del body["status"]
        self.cluster.put("finetunejobs", body)
        self.uid = body["metadata"]["uid"]

    def _until_training(self):
        if "profile" in self.cluster.job()["spec"]:
            self.profile_appears()
        self._told()
        self.the_job_controller_looks()
        for pod in self.cluster.all("pods"):
            self.cluster.start(pod)
            self.cluster.end(self.cluster.all("pods")[0], 0, word=wild_cluster.GOOD["prepare"])
        self.the_job_controller_looks()
        self._told()
        assert self.cluster.live_jobs()

    # What the operator does

    @rule()
    def the_operator_works(self):
        self._works()

    @rule(plural=WATCHES, most=st.integers(1, 4))
    def a_watch_tells(self, plural, most):
        self.operator.hears(plural, most)

    @rule()
    def all_is_told_and_done(self):
        self._told()

    @rule(plural=WATCHES, back=st.integers(1, 5))
    def a_watch_tells_again(self, plural, back):
        self.operator.hears_again(plural, back)

    @rule(plural=WATCHES)
    def a_watch_expires(self, plural):
        self.operator.relists(plural)
        self.missed = True

    @rule()
    def full_lists(self):
        self.operator.lists()
        self.missed = False

    @rule()
    def the_operator_restarts(self):
        self.operator = wild_operator.WildOperator(self.cluster)
        self.missed = False

    @rule(fates=FATES)
    def the_api_server_is_troubled(self, fates):
        self.operator.api.fates.extend(fates)
        self._works()
        self.operator.api.fates.clear()

    def _works(self):
        try:
            return self.operator.works()
        except wild_operator.Killed:
            self.the_operator_restarts()
            return True

    def _told(self):
        """Until there is nothing more to hear, and nothing more to do now."""
        for _ in range(60):
            for plural in self.operator.behind():
                self.operator.hears(plural)
            if not self._works() and not self.operator.behind():
                return
            if self._again_soon():
                self.cluster.now += 0.05
        raise AssertionError(f"it does not come to rest: {[one.rule for _, one in self.decisions[-12:]]}")

    def _again_soon(self):
        """Whether a conflict is to be decided anew in a moment."""
        return any(0 < at - self.cluster.now <= 0.05 for at in self.operator.queue.due.values())

    # What happens to Jobs and pods

    @rule()
    def the_job_controller_looks(self):
        self.cluster.control()

    def _pod(self, pick, holds):
        found = [one for one in self.cluster.all("pods") if holds(one)]
        return found[pick % len(found)] if found else None

    @rule(pick=PICK)
    def a_pod_starts(self, pick):
        pod = self._pod(pick, lambda one: one["status"].get("phase") == "Pending")
        if pod is not None:
            self.cluster.start(pod)

    @rule(pick=PICK, code=CODES, word=st.sampled_from(sorted(WORDS)))
    def a_pod_ends(self, pick, code, word):
        pod = self._pod(pick, wild_cluster.running)
        if pod is not None:
            stage = wild_cluster.stage_of(pod)
            said = {
                "good": {"word": wild_cluster.GOOD[stage]},
                "of its own": {"word": kube_objects.word(stage.title(), "Own", "told")},
            }
            self.cluster.end(pod, code, **said.get(word, WORDS[word]))

    @rule(pick=PICK, how=st.sampled_from([{"disrupted": "EvictionByEvictionAPI"}, {"reason": "OOMKilled"}]))
    def a_pod_is_killed(self, pick, how):
        pod = self._pod(pick, wild_cluster.running)
        if pod is not None:
            self.cluster.end(pod, 137, **how)

    @rule(pick=PICK)
    def a_pod_cannot_start(self, pick):
        pod = self._pod(pick, lambda one: one["status"].get("phase") == "Pending")
        if pod is not None:
            self.cluster._set(pod, unschedulable="0/3 nodes are available: 3 Insufficient nvidia.com/gpu.")

    @rule(pick=PICK)
    def a_pod_is_deleted(self, pick):
        pod = self._pod(pick, lambda _: True)
        if pod is not None:
            self.cluster.take_away(pod)

    @rule(pick=PICK)
    def a_pod_vanishes(self, pick):
        pod = self._pod(pick, lambda _: True)
        if pod is not None:
            self.cluster.vanish(pod)

    @rule(pick=PICK)
    def a_node_dies(self, pick):
        pod = self._pod(pick, wild_cluster.running)
        if pod is not None:
            self.cluster.die(pod)

    @rule(pick=PICK, orphan=st.booleans())
    def a_job_is_deleted(self, pick, orphan):
        jobs = self.cluster.all("jobs")
        if jobs:
            self.cluster.remove("jobs", jobs[pick % len(jobs)]["metadata"]["name"], orphan=orphan)

    @rule(pick=PICK, suspend=st.booleans())
    def a_queue_decides(self, pick, suspend):
        jobs = [one for one in self.cluster.all("jobs") if not wild_cluster.over(one)]
        if jobs:
            self.cluster.hold_back(jobs[pick % len(jobs)], suspend=suspend)

    @rule(
        step=st.integers(0, 500),
        when=st.sampled_from(["2026-11-22T10:00:30Z", "yesterday", 7]),
        fails=st.integers(0, 4),
    )
    def a_pod_tells_how_far_it_is(self, step, when, fails):
        pods = [
            one
            for one in self.operator.caches.pods.get(self.uid, {}).values()
            if one.running and one.stage == "Train"
        ]
        if pods:
            document = {"version": 1, "stage": "Train", "step": step, "totalSteps": 500, "updatedAt": when}
            self.operator.caches.progress[self.uid] = ProgressSeen(pods[0].uid, document, fails)
            self.operator.queue.add(self.operator.caches.key_of(self.uid))

    # What people do

    @rule(on=st.booleans())
    def the_author_suspends(self, on):
        self._edit(lambda one: one["spec"]["runPolicy"].update(suspend=on))

    @rule(seconds=st.sampled_from([0, 60]))
    def the_author_edits(self, seconds):
        self._edit(lambda one: one["spec"]["runPolicy"].update(ttlSecondsAfterFinished=seconds))

    def _edit(self, mutate):
        self.cluster.change("finetunejobs", "support-bot", mutate)

    @rule()
    def the_job_is_deleted_and_made_anew(self):
        policy = self.cluster.job()["spec"]["runPolicy"]
        profile = "profile" in self.cluster.job()["spec"]
        self.cluster.remove("finetunejobs", "support-bot")
        self.cluster.good_ends, self.end = 0, None
        self.cluster.real_failures.clear()
        self._applied(policy.get("pendingDeadlineSeconds"), profile)

    @precondition(lambda self: self.end is None)
    @rule()
    def the_status_is_wiped(self):
        if not over(self.cluster.job()["status"]):
            self._edit(lambda one: one.update(status={"observedGeneration": -1}))

    @rule()
    def profile_appears(self):
        if not self.cluster.all("finetuneprofiles"):
            body = kube_objects.fine_tune_profile()
            del body["metadata"]["resourceVersion"]
            self.cluster.put("finetuneprofiles", body)
        self.operator.hears("finetuneprofiles")

    @rule(seconds=st.sampled_from([1, 1, 15, 15, 100, 400, 3000, 90000]))
    def time_passes(self, seconds):
        self.cluster.passes(seconds)

    # What must hold

    @invariant()
    def the_promises_hold(self):
        if self.cluster.version == self.checked:
            return  # nothing has changed since
        self.at_most_one_training_job_lives()
        self.the_status_is_honest()
        self.an_end_is_an_end()
        self.checked = self.cluster.version

    def at_most_one_training_job_lives(self):
        for name, found in (("Jobs", self.cluster.live_jobs()), ("pods", self.cluster.live_pods())):
            mine = [one for one in found if one["metadata"]["labels"]["finetune.dev/job-uid"] == self.uid]
            attempts = {one["metadata"]["labels"]["finetune.dev/attempt"] for one in mine}
            assert len(attempts) <= 1, (name, attempts)

    def the_status_is_honest(self):
        status = self.cluster.job()["status"]
        assert len(json.dumps(status)) <= MAX_STATUS_BYTES
        FineTuneJobStatus.model_validate(status)
        truth = {one["type"]: one["status"] for one in status.get("conditions", [])}
        assert status.get("failures", 0) <= len(self.cluster.real_failures)
        if not truth:
            return
        done = over(status)
        assert truth["Reconciling"] == ("False" if done else "True")
        assert (truth.get("Stalled") == "True") == (truth["Succeeded"] == "False")
        assert (truth["Ready"] == "True") == (truth["Succeeded"] == "True")
        assert done == (status["state"] in {"Succeeded", "Failed"})
        if truth["Ready"] == "True":
            assert status["adapter"]["digest"]
            assert self.cluster.good_ends

    def _mine(self, plural):
        label = "finetune.dev/job-uid"
        return [one for one in self.cluster.all(plural) if one["metadata"]["labels"].get(label) == self.uid]

    def an_end_is_an_end(self):
        status = self.cluster.job()["status"]
        if self.end is not None:
            assert {**status, "observedGeneration": 0} == self.end
        elif over(status):
            self.end = json.loads(json.dumps({**status, "observedGeneration": 0}))

    # The end of every history

    def teardown(self):
        try:
            if self.operator is not None:
                self._left_alone()
                self._a_kinder_world()
        finally:
            loop.decide = self.real

    def _left_alone(self):
        """A second look at the same world writes nothing, once what went wrong has been tried again."""
        if self.missed:
            self.full_lists()  # what an expired watch has not told, the next list does
        for _ in range(3):
            self._told()
            self._until_due()
        self._told()
        before = self.operator.api.writes
        for key in list(self.operator.caches.jobs):
            self.operator.queue.add(key)
        self._told()
        assert self.operator.api.writes == before
        self._the_promises_at_rest()

    def _a_kinder_world(self):
        """Nothing fails any more: the job must end, woken by nothing but events and its own timers."""
        self.profile_appears()
        self._edit(lambda one: one["spec"]["runPolicy"].update(suspend=False))
        for _ in range(200):
            self._told()
            self._the_promises_at_rest()
            if over(self.cluster.job()["status"]):
                return
            if not self._moves():
                assert self.operator.queue.due, "nothing will ever wake the operator"
                self._until_due()
        raise AssertionError(f"the job does not end: {self.cluster.job()['status']}")

    def _until_due(self):
        """Time passes until the operator's next timer."""
        if self.operator.queue.due:
            self.cluster.passes(max(0.0, min(self.operator.queue.due.values()) - self.cluster.now))

    def _moves(self):
        """Kubelets, controllers and queues do their work. Whether there was some."""
        before = self.cluster.version
        for job in self.cluster.live_jobs("train") + self.cluster.live_jobs("prepare"):
            if job["spec"].get("suspend"):
                self.cluster.hold_back(job, suspend=False)
        self.cluster.control()
        for pod in self.cluster.all("pods"):
            if "deletionTimestamp" in pod["metadata"]:
                if pod["metadata"]["uid"] not in self.cluster.dead:
                    self.cluster.passes(wild_cluster.GRACE)
            elif pod["status"].get("phase") == "Pending":
                self.cluster.start(pod)
            elif wild_cluster.running(pod):
                self.cluster.end(pod, 0, word=wild_cluster.GOOD[wild_cluster.stage_of(pod)])
        return self.cluster.version != before

    def _the_promises_at_rest(self):
        """What the operator has said of a world that it has seen whole."""
        self.the_promises_hold()
        job = self.cluster.job()
        if over(job["status"]):
            return
        if self.decisions[-1][1].rule == "ending":
            return  # the pod has ended, its Job not yet: nothing is said until it has
        assert job["status"]["observedGeneration"] == job["metadata"]["generation"]
        states = {one["type"]: one["status"] for one in job["status"]["conditions"]}
        runs = any(map(wild_cluster.running, self.cluster.live_pods()))
        assert runs or states.get("Running", "False") == "False"
        if job["spec"]["runPolicy"].get("suspend"):
            assert job["status"]["state"] == "Suspended"
            assert not [one for one in self._mine("jobs") if not wild_cluster.over(one)]
        held = any(one["spec"].get("suspend") for one in self.cluster.all("jobs"))
        assert held or states.get("Queued", "False") == "False"


class TrainingHistories(Histories):
    """The same from the first training attempt on."""

    training = True


def over(status):
    return any(
        one["type"] == "Succeeded" and one["status"] != "Unknown" for one in status.get("conditions", [])
    )


@pytest.mark.parametrize("machine", [Histories, TrainingHistories])
def test_whatever_happens_the_promises_hold(machine):
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=HISTORIES // 2,
            stateful_step_count=STEPS,
            derandomize=ASKED is None,  # `make check` tries the same ones each time
            database=None,
            phases=[
                Phase.generate
            ],  # a history that fails is told whole: to shorten it would take longer than to read it
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
