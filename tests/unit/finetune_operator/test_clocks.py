"""The clocks of training: what was used and lost, the active deadline, interruptions that lead nowhere, nodes that are lost."""

import pytest

from kube_objects import fine_tune_profile, prepared, published, saved, word
from simulation import Simulation, prepared_job, stamp

HOUR = 3600
PRICED = {
    "default": fine_tune_profile(default=True, prices={"gpuHour": 2.0, "currency": "EUR"}),
}


def running(number=1, sim=None, **spec):
    """A job of two GPUs whose training attempt has just started to run."""
    found = sim or prepared_job(profiles=PRICED, resources={"gpusPerNode": 2}, **spec)
    found.runs("train", number, running=True)
    found.step()
    return found


def interrupted(sim, number, word=None, code=75):
    """The attempt is over now, and the next one runs after its pause."""
    began = sim.pods[sim.job("train", number)["metadata"]["name"]]["status"]
    started = next(one["state"]["running"]["startedAt"] for one in began["containerStatuses"])
    sim.ends("train", number, code, word, started=started)
    decision = sim.step()
    if decision.rule == "pausing":
        sim.passes(decision.requeue_after)
        decision = sim.step()
    return decision


def test_what_training_took_is_added_up_over_all_attempts_and_priced():
    sim = running()
    sim.passes(HOUR)
    interrupted(sim, 1, saved(100, stamp(sim.now - 600)))
    running(2, sim)
    sim.passes(HOUR / 2)
    sim.ends("train", 2, 0, published(), started=stamp(sim.now - HOUR / 2))
    sim.step()
    usage = sim.status["usage"]
    assert usage["seconds"] == 1.5 * HOUR
    assert usage["gpuSeconds"] == 3 * HOUR
    assert usage["wastedGpuSeconds"] == 2 * 600
    assert (usage["cost"], usage["currency"]) == (6.0, "EUR")


def test_an_attempt_that_left_no_checkpoint_is_lost_whole():
    sim = running()
    sim.passes(HOUR)
    interrupted(sim, 1, code=137)
    assert sim.status["usage"]["wastedGpuSeconds"] == 2 * HOUR


def test_a_checkpoint_of_the_attempt_before_saves_nothing_of_this_one():
    sim = running()
    sim.passes(HOUR)
    interrupted(sim, 1, saved(100, stamp(sim.now)))
    running(2, sim)
    sim.passes(HOUR)
    interrupted(sim, 2)
    assert sim.status["usage"]["wastedGpuSeconds"] == pytest.approx(2 * HOUR)


def test_a_restarted_operator_fetches_the_run_before_it_counts():
    sim = running()
    sim.passes(HOUR)
    sim.cached_run = None
    interrupted(sim, 1, saved(100, stamp(sim.now)))
    assert sim.status["usage"]["gpuSeconds"] == 2 * HOUR
    assert sim.status["usage"]["cost"] == 4.0


def test_the_checkpoint_of_a_last_word_is_told():
    sim = running()
    sim.passes(60)
    interrupted(sim, 1, saved(40, stamp(sim.now)))
    assert sim.status["checkpoint"]["step"] == 40
    assert [one.get("checkpointStep") for one in sim.status["attempts"] if one["stage"] == "Train"] == [
        40,
        None,
    ]


def test_the_active_deadline_ends_training_and_says_what_stands():
    sim = running(runPolicy={"activeDeadlineSeconds": HOUR})
    sim.polled({"version": 1, "checkpoint": {"step": 30, "uri": "s3://b/c/step-30", "time": stamp(sim.now)}})
    decision = sim.step()
    assert decision.requeue_after == pytest.approx(HOUR)
    sim.passes(HOUR - 1)
    assert sim.step().rule == "running"
    sim.passes(1)
    assert sim.step().rule == "active-deadline"
    assert sim.said("Stalled") == ("True", "ActiveDeadlineExceeded")
    told = sim.condition("Ready")["message"]
    assert "training ran for 1h in all attempts together" in told
    assert told.endswith("to go on from the checkpoint of step 30 at s3://b/c/step-30")
    assert sim.job("train", 1) is None, "its pod holds a GPU no longer"


def test_the_active_clock_does_not_begin_anew_after_an_interruption():
    sim = running(runPolicy={"activeDeadlineSeconds": HOUR})
    sim.passes(HOUR / 2)
    interrupted(sim, 1, saved(10, stamp(sim.now)))
    sim.passes(10 * HOUR)  # waiting is no training
    running(2, sim)
    sim.passes(HOUR / 2 - 1)
    assert sim.step().rule == "running"
    sim.passes(1)
    assert sim.step().rule == "active-deadline"


def test_a_deadline_that_is_changed_while_training_runs_holds_at_once():
    sim = running(runPolicy={"activeDeadlineSeconds": HOUR})
    sim.raw["spec"]["runPolicy"] = {"activeDeadlineSeconds": 2 * HOUR}
    sim.raw["metadata"]["generation"] += 1
    sim.passes(HOUR)
    assert sim.step().rule == "running"
    sim.raw["spec"]["runPolicy"] = {"activeDeadlineSeconds": 60}
    assert sim.step().rule == "active-deadline"


def test_no_later_change_outruns_the_profile_that_the_job_was_accepted_with():
    strict = {"default": fine_tune_profile(default=True, maximum={"activeDeadlineSeconds": HOUR})}
    sim = Simulation(profiles=strict, resources={"gpusPerNode": 1}, runPolicy={"activeDeadlineSeconds": 60})
    sim.step()
    sim.ends("prepare", 1, 0, prepared())
    sim.step()
    running(1, sim)
    sim.raw["spec"]["runPolicy"] = {"activeDeadlineSeconds": 100 * HOUR}
    sim.passes(HOUR)
    assert sim.step().rule == "active-deadline"


def test_a_result_that_comes_just_behind_the_deadline_counts():
    sim = running(runPolicy={"activeDeadlineSeconds": HOUR})
    sim.ends("train", 1, 0, published(), started=stamp(sim.now))
    sim.passes(2 * HOUR)
    assert sim.step().rule == "succeeded"


def test_three_interruptions_without_a_newer_checkpoint_are_no_progress():
    sim = running()
    sim.passes(60)
    interrupted(sim, 1, saved(40, stamp(sim.now)))
    for number in (2, 3, 4):
        running(number, sim)
        sim.passes(60)
        decision = interrupted(sim, number, saved(40, stamp(sim.now - 60)))
        assert decision.rule == ("no-progress" if number == 4 else "start-train")
    assert sim.said("Stalled") == ("True", "NoProgress")
    assert "the newest one is from step 40" in sim.condition("Ready")["message"]


def test_a_newer_checkpoint_begins_the_count_anew():
    sim = running()
    for number in range(1, 9):
        sim.passes(60)
        step = 10 * (number // 2)  # every other run saves one
        decision = interrupted(sim, number, saved(step, stamp(sim.now)) if step else None)
        assert decision.rule == "start-train"
        running(number + 1, sim)


def test_suspensions_are_no_interruptions_of_that_kind():
    sim = running()
    for number in range(1, 5):
        sim.passes(60)
        sim.raw["spec"]["runPolicy"] = {"suspend": True}
        began = stamp(sim.now)
        sim.step()
        sim.passes(60)
        sim.step()
        sim.raw["spec"]["runPolicy"] = {"suspend": False}
        decision = sim.step()
        if decision.rule == "pausing":
            sim.passes(decision.requeue_after)
            decision = sim.step()
        assert decision.rule == "start-train", (began, sim.status["attempts"])
        running(number + 1, sim)


def test_failures_are_counted_by_max_attempts_and_not_here():
    sim = running(runPolicy={"maxAttempts": 5})
    for number in (1, 2, 3, 4):
        sim.passes(60)
        decision = interrupted(sim, number, word("Train", "RankDied", "rank 0 died"), code=70)
        assert decision.rule == "start-train"
        running(number + 1, sim)


def test_children_go_some_time_after_the_job_has_ended():
    sim = running(runPolicy={"ttlSecondsAfterFinished": 600})
    sim.passes(HOUR)
    sim.ends("train", 1, 0, published(), started=stamp(sim.now))
    sim.step()
    assert sim.expiry == sim.now + 600


def test_the_children_of_a_failed_job_go_too():
    sim = running(runPolicy={"ttlSecondsAfterFinished": 0})
    sim.ends("train", 1, 64, word("Train", "NonFiniteLoss", "step 3"))
    sim.step()
    assert sim.expiry == sim.now


def test_without_a_ttl_nothing_is_said_about_children():
    sim = running()
    sim.ends("train", 1, 0, published(), started=stamp(sim.now))
    sim.step()
    assert sim.expiry == "never said"


@pytest.mark.parametrize(("ttl", "later"), [(60, 60), (None, None)])
def test_the_time_may_be_changed_when_the_job_has_ended(ttl, later):
    sim = running(runPolicy={"ttlSecondsAfterFinished": 600})
    sim.ends("train", 1, 0, published(), started=stamp(sim.now))
    sim.step()
    ended = sim.now
    sim.passes(HOUR)
    sim.raw["spec"]["runPolicy"] = {} if ttl is None else {"ttlSecondsAfterFinished": ttl}
    sim.raw["metadata"]["generation"] += 1
    decision = sim.step()
    assert decision.rule == "settled"
    assert sim.expiry == (None if later is None else ended + later)
    assert sim.step().actions == ()


def dying(sim, number, seconds=120):
    """The node no longer answers: the pod is being deleted, and runs on as far as anybody knows."""
    pod = sim.pods[sim.job("train", number)["metadata"]["name"]]
    pod["metadata"]["deletionTimestamp"] = stamp(sim.now + seconds)
    pod["metadata"]["resourceVersion"] = sim._next()


def test_a_node_that_no_longer_answers_is_waited_for_and_then_given_up():
    sim = running()
    sim.polled({"version": 1, "checkpoint": {"step": 30, "uri": "s3://b/c/step-30", "time": stamp(sim.now)}})
    sim.step()
    sim.passes(HOUR)
    dying(sim, 1)
    decision = sim.step()
    assert decision.rule == "running"
    assert decision.requeue_after == 120 + 60, "the grace period, and a minute in which a kubelet would speak"
    sim.passes(179)
    assert sim.step().rule == "running"
    sim.passes(1)
    stuck = dict(sim.pods)
    assert sim.step().rule == "leftovers"
    sim.pods.update(stuck)  # deleting the Job does not remove a pod that no kubelet confirms
    assert sim.step().rule == "start-train"
    assert sim.attempts()[-2:] == [("Train", 1, "Interrupted"), ("Train", 2, "Running")]
    lost = sim.status["attempts"][-2]
    assert (lost["reason"], lost["checkpointStep"]) == ("NodeLost", 30)
    assert "node-1 no longer answers" in lost["message"]
    assert "failures" not in sim.status
    running(2, sim)
    assert sim.status["state"] == "Running", "the pod on the dead node is nobody's business any more"


def test_a_pod_that_ends_within_its_grace_period_is_not_lost():
    sim = running()
    dying(sim, 1)
    sim.step()
    sim.passes(100)
    sim.ends("train", 1, 75, saved(50, stamp(sim.now)), deleting=stamp(sim.now + 20))
    sim.step()
    assert sim.status["attempts"][-2]["reason"] == "Interrupted"


def test_a_suspended_job_on_a_dead_node_comes_to_rest():
    sim = running()
    dying(sim, 1)
    sim.raw["spec"]["runPolicy"] = {"suspend": True}
    stuck = dict(sim.pods)
    sim.step()
    sim.pods.update(stuck)
    sim.step()
    sim.passes(180)
    sim.step()
    assert sim.status["state"] == "Suspended"
    assert "set it to false to go on" in sim.condition("Ready")["message"]
    sim.raw["spec"]["runPolicy"] = {"suspend": False}
    sim.step()
    assert sim.created[-1] == "train-2"


def test_a_job_that_is_suspended_once_its_node_is_given_up_leaves_no_job_behind():
    sim = running()
    dying(sim, 1)
    sim.passes(HOUR)
    sim.raw["spec"]["runPolicy"] = {"suspend": True}
    sim.step()
    assert sim.rules[-1] == "suspended"
    assert sim.attempts()[-1] == ("Train", 1, "Interrupted")
    assert sim.job("train", 1) is None, "it would start another pod as soon as the lost one is gone"


def test_training_pods_leave_a_node_that_does_not_answer_after_a_minute_and_prepare_as_usual():
    sim = running()
    tolerations = sim.job("train", 1)["spec"]["template"]["spec"]["tolerations"]
    assert {(one["key"], one["tolerationSeconds"]) for one in tolerations} == {
        ("node.kubernetes.io/not-ready", 60),
        ("node.kubernetes.io/unreachable", 60),
    }
    assert "tolerations" not in sim.job("prepare", 1)["spec"]["template"]["spec"]


def test_the_author_may_say_how_long_to_stay_on_a_silent_node():
    own = {
        "key": "node.kubernetes.io/unreachable",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": 900,
    }
    sim = running(scheduling={"tolerations": [own]})
    tolerations = sim.job("train", 1)["spec"]["template"]["spec"]["tolerations"]
    assert {one["key"]: one["tolerationSeconds"] for one in tolerations} == {
        "node.kubernetes.io/not-ready": 60,
        "node.kubernetes.io/unreachable": 900,
    }


def test_an_attempt_of_which_nothing_is_left_ran_since_the_status_says_so():
    sim = running()
    sim.passes(HOUR)
    name = sim.job("train", 1)["metadata"]["name"]
    del sim.pods[name]
    sim.jobs[name]["status"] = {
        "conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]
    }
    sim.step()
    assert sim.status["attempts"][-2]["reason"] == "PodLost"
    assert sim.status["usage"]["seconds"] == HOUR
