"""The state machine: every rule is reached, and says what a person needs."""

import json
from dataclasses import replace

import pytest

import kube_objects
from finetune_operator import errors
from finetune_operator.reconcile.decide import decide
from kube_objects import already_published, prepared, published, saved, word
from simulation import START, Simulation, prepared_job, stamp


def test_the_first_write_is_in_progress_to_kstatus():
    sim = Simulation()
    sim.step()
    assert sim.rules == ["start-prepare"]
    assert sim.created == ["prepare-1"]
    assert sim.status["observedGeneration"] == 1
    assert sim.status["state"] == "Preparing"
    assert sim.said("Accepted") == ("True", "Accepted")
    assert sim.said("Reconciling") == ("True", "Preparing")
    assert sim.said("Ready") == ("False", "Preparing")
    assert sim.said("Succeeded") == ("Unknown", "Preparing")
    assert sim.said("Stalled") is None
    assert all(one["observedGeneration"] == 1 for one in sim.status["conditions"])


def test_the_happy_path_takes_four_writes():
    sim = Simulation()
    sim.step()
    sim.runs("prepare", 1, running=True)
    sim.step()
    sim.ends("prepare", 1, 0, prepared())
    sim.step()
    sim.runs("train", 1, running=True)
    sim.step()
    sim.ends("train", 1, 0, published())
    sim.step()
    assert sim.rules == ["start-prepare", "preparing", "start-train", "running", "succeeded"]
    assert len(sim.statuses) == 4
    assert sim.created == ["prepare-1", "train-1"]
    assert sim.said("Ready") == ("True", "Published")
    assert sim.said("Reconciling")[0] == "False"
    assert sim.said("Stalled") is None
    assert sim.status["adapter"]["rank"] == 16
    assert sim.status["evaluation"]["tuned"]["loss"] == 1.9


@pytest.mark.parametrize(
    ("copy", "told"),
    [
        ({"repo": "org/x", "revision": "c0ffee"}, "; a copy is at hf://org/x@c0ffee"),
        (
            {"repo": "org/x", "reason": "AccessDenied", "message": "the Hub refuses"},
            "; there is no copy on the Hub: the Hub refuses",
        ),
    ],
)
def test_a_copy_on_the_hub_is_told_and_decides_nothing(copy, told):
    sim = prepared_job()
    word = published()
    sim.ends("train", 1, 0, {**word, "result": {**word["result"], "hub": copy}})
    sim.step()
    assert sim.said("Succeeded") == ("True", "Published")
    assert sim.status["hub"] == copy
    (message,) = [one["message"] for one in sim.status["conditions"] if one["type"] == "Published"]
    assert message == f"the result is at {sim.status['adapter']['uri']}{told}"


def test_training_gets_the_digest_that_prepare_left():
    sim = prepared_job()
    args = sim.job("train", 1)["spec"]["template"]["spec"]["containers"][0]["args"]
    assert args == [
        "train",
        "--run",
        "/etc/finetune/run.json",
        "--attempt",
        "1",
        "--prepared",
        kube_objects.DIGEST,
    ]


@pytest.mark.parametrize(
    ("exit_code", "reason"),
    [(64, "NoAssistantTurn"), (65, "GateNotMet"), (77, "GatedModel"), (86, "OutOfMemory")],
)
@pytest.mark.parametrize("stage", ["prepare", "train"])
def test_a_final_exit_code_fails_at_once_in_the_trainers_words(stage, exit_code, reason):
    sim = prepared_job() if stage == "train" else Simulation()
    sim.step()
    sim.ends(stage, 1, exit_code, word(stage.capitalize(), reason, "line 3: nobody answers; add a turn"))
    sim.step()
    assert sim.rules[-1] == "failed-for-good"
    assert sim.status["state"] == "Failed"
    for kind in ("Stalled", "Succeeded", "Ready"):
        assert sim.condition(kind)["reason"] == reason
        assert sim.condition(kind)["message"] == "line 3: nobody answers; add a turn"
    assert sim.said("Stalled")[0] == "True"
    assert sim.said("Ready")[0] == "False"
    assert sim.said("Reconciling")[0] == "False"
    if stage == "prepare":
        assert not [name for name in sim.created if name.startswith("train")]


def test_the_figures_of_a_gate_that_does_not_hold_stand_in_the_status():
    sim = prepared_job()
    sim.step()
    compared = {"rows": 40, "base": {"loss": 2.0}, "tuned": {"loss": 2.5, "other": {"rougeL": 0.1}}}
    said = word("Train", "GateNotMet", "tuned.loss < base.loss (tuned.loss is 2.5, base.loss is 2)")
    sim.ends("train", 1, 65, {**said, "result": {"evaluation": compared}})
    sim.step()
    assert sim.said("Stalled") == ("True", "GateNotMet")
    assert sim.status["evaluation"] == compared
    assert "adapter" not in sim.status


def test_what_is_not_there_yet_is_waited_for_with_pauses_that_double():
    sim = Simulation()
    sim.step()
    pauses = []
    for number in range(1, 8):
        sim.ends("prepare", number, 69, word("Prepare", "SecretMissing", "there is no Secret 'bucket'"))
        decision = sim.step()
        assert decision.rule == "pausing"
        assert sim.said("Prepared") == ("False", "SecretMissing")
        assert "no Secret 'bucket'" in sim.condition("Ready")["message"]
        pauses.append(decision.requeue_after)
        sim.passes(decision.requeue_after)
        sim.step()
        assert sim.rules[-1] == "start-prepare"
    assert pauses == [15, 30, 60, 120, 240, 300, 300]
    assert sim.status["attempts"][0]["startTime"] == stamp(START)
    sim.ends("prepare", 8, 0, prepared())
    sim.step()
    assert sim.said("Prepared") == ("True", "Prepared")


def test_waiting_ends_at_the_pending_deadline():
    sim = Simulation(runPolicy={"pendingDeadlineSeconds": 3600})
    for _ in range(60):
        decision = sim.step()
        if sim.status["state"] == "Failed":
            break
        if decision.rule == "start-prepare":
            number = len(sim.created)
            sim.ends(
                "prepare", number, 69, word("Prepare", "EndpointUnreachable", "s3.example does not answer")
            )
        else:
            sim.passes(decision.requeue_after)
    assert sim.said("Stalled") == ("True", "PendingDeadlineExceeded")
    assert "s3.example does not answer" in sim.condition("Stalled")["message"]
    assert 3600 <= sim.now - START < 4000
    assert len(sim.status["attempts"]) <= 10


def test_real_failures_are_tried_again_up_to_max_attempts():
    sim = prepared_job(runPolicy={"maxAttempts": 2})
    sim.ends("train", 1, 1, word("Train", "InternalError", "a bug"))
    decision = sim.step()
    assert decision.rule == "pausing"
    assert sim.status["failures"] == 1
    sim.passes(15)
    sim.step()
    assert sim.created[-1] == "train-2"
    sim.ends("train", 2, 139)
    sim.step()
    assert sim.rules[-1] == "given-up"
    assert sim.said("Stalled") == ("True", "TrainerFailed")
    assert "139" in sim.condition("Stalled")["message"]
    assert "2 of 2" in sim.condition("Stalled")["message"]


def test_interruptions_cost_no_attempt_and_the_first_is_resumed_at_once():
    sim = prepared_job(runPolicy={"maxAttempts": 1})
    for number in range(1, 5):
        sim.ends("train", number, 75, saved(100 * number, stamp(sim.now)))
        decision = sim.step()
        if decision.rule == "pausing":
            sim.passes(decision.requeue_after)
            sim.step()
        assert sim.created[-1] == f"train-{number + 1}"
    assert "failures" not in sim.status
    assert [one[2] for one in sim.attempts() if one[0] == "Train"] == ["Interrupted"] * 4 + ["Running"]


@pytest.mark.parametrize(
    "message",
    [
        "",
        "no json",
        '{"version": 2}',
        '{"version": 1, "stage": "Train", "reason": "Published"}',
        "[1]",
        '{"version": 1, "stage": "Prepare", "reason": "Published", "result": {}}',
    ],
)
def test_exit_0_without_a_valid_last_word_is_never_a_success(message):
    sim = prepared_job()
    sim.ends("train", 1, 0, message=message)
    sim.step()
    assert sim.rules[-1] == "pausing"
    assert sim.status["attempts"][-1]["reason"] == "NoLastWord"
    sim.passes(15)
    sim.step()
    assert sim.created[-1] == "train-2"


def test_a_result_that_lies_there_already_is_taken_without_training():
    sim = Simulation()
    sim.step()
    sim.ends("prepare", 1, 0, already_published())
    sim.step()
    assert sim.said("Succeeded") == ("True", "AlreadyPublished")
    assert sim.status["adapter"]["uri"] == "s3://team-a/adapters/support-bot"
    assert sim.created == ["prepare-1"]


def test_a_killed_container_is_told_which_field_to_raise():
    sim = prepared_job()
    sim.ends("train", 1, 137, reason="OOMKilled")
    sim.step()
    assert sim.said("Stalled") == ("True", "ContainerOutOfMemory")
    assert "spec.resources.memory" in sim.condition("Stalled")["message"]


def test_an_evicted_pod_costs_no_attempt():
    sim = prepared_job(runPolicy={"maxAttempts": 1})
    sim.ends("train", 1, 137, disrupted="EvictionByEvictionAPI")
    sim.step()
    assert sim.created[-1] == "train-2"
    assert sim.status["attempts"][-2]["reason"] == "Evicted"


def test_a_job_that_somebody_deleted_is_confirmed_by_a_live_look_and_made_again():
    sim = prepared_job()
    stale = ([], [])
    before = list(sim.created)
    sim.step(stale)  # the cache does not show the Job, the API server does
    assert sim.created == before
    sim.deletes("train", 1)
    sim.step()
    assert sim.created[-1] == "train-2"
    assert sim.status["attempts"][-2]["reason"] == "JobDeleted"


def test_the_next_attempt_waits_for_the_pods_of_a_deleted_job():
    sim = prepared_job()
    sim.runs("train", 1, running=True)
    sim.step()
    sim.deletes("train", 1, with_pod=False)
    sim.step()
    assert sim.rules[-1] == "ending"
    assert sim.said("Running") == ("False", "Ending")
    sim.pods.clear()
    sim.step()
    assert sim.created[-1] == "train-2"


def test_suspend_stops_training_and_resume_goes_on_with_the_next_attempt():
    sim = prepared_job()
    sim.runs("train", 1, running=True)
    sim.step()
    sim.raw["spec"]["runPolicy"] = {"suspend": True}
    sim.raw["metadata"]["generation"] = 2
    sim.step()
    assert sim.status["state"] == "Suspended"
    assert sim.job("train", 1) is None
    assert sim.status["observedGeneration"] == 2
    sim.rest()
    assert sim.said("Reconciling") == ("True", "Suspended")
    assert sim.status["attempts"][-1]["reason"] == "Suspended"
    sim.raw["spec"]["runPolicy"] = {"suspend": False}
    sim.step()
    assert sim.created[-1] == "train-2"


def test_a_job_born_suspended_is_accepted_and_starts_nothing():
    sim = Simulation(runPolicy={"suspend": True})
    sim.rest()
    assert sim.created == []
    assert sim.said("Accepted") == ("True", "Accepted")
    assert sim.status["state"] == "Suspended"


def test_a_queue_is_told_and_left_alone():
    sim = prepared_job(scheduling={"queueName": "team-a"})
    job = sim.job("train", 1)
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"
    assert "suspend" not in job["spec"]
    job["spec"]["suspend"] = True
    sim.step()
    assert sim.status["state"] == "Queued"
    assert sim.said("Queued") == ("True", "Queued")
    assert "team-a" in sim.condition("Queued")["message"]
    job["spec"]["suspend"] = False
    sim.runs("train", 1, running=True)
    sim.step()
    assert sim.said("Queued") == ("False", "Admitted")
    assert sim.said("Running") == ("True", "Running")


CANNOT_START = {
    "ImagePullFailed": ({"waiting": ("ImagePullBackOff", "Back-off pulling image registry/x:1")}, []),
    "Unschedulable": ({"unschedulable": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."}, []),
    "ClaimMissing": ({"unschedulable": 'persistentvolumeclaim "data" not found'}, []),
    "SecretMissing": (
        {"waiting": ("ContainerCreating", "")},
        [("FailedMount", 'MountVolume.SetUp failed: secret "bucket" not found')],
    ),
    "VolumeFailed": (
        {"waiting": ("ContainerCreating", "")},
        [("FailedMount", "timed out waiting for the condition")],
    ),
    "CreateContainerFailed": ({"waiting": ("CreateContainerError", "exec: finetune-trainer: not found")}, []),
    "QuotaExceeded": (None, [("FailedCreate", 'pods "x" is forbidden: exceeded quota: compute')]),
    "PodRejected": (
        None,
        [("FailedCreate", 'pods "x" is forbidden: violates PodSecurity "restricted:latest"')],
    ),
    "ServiceAccountMissing": (
        None,
        [("FailedCreate", 'error looking up service account team-a/robot: serviceaccount "robot" not found')],
    ),
}


CALLED = {"prepare": "Prepare", "train": "training"}


@pytest.mark.parametrize("stage", CALLED)
@pytest.mark.parametrize("reason", CANNOT_START)
def test_a_pod_that_cannot_start_is_told_in_plain_words(reason, stage):
    state, events = CANNOT_START[reason]
    sim = prepared_job() if stage == "train" else Simulation()
    sim.step()
    if state is not None:
        sim.runs(stage, 1, **state)
    sim.events = [
        {
            "metadata": {"creationTimestamp": stamp(sim.now)},
            "reason": kind,
            "message": text,
            "involvedObject": {"uid": "u"},
        }
        for kind, text in events
    ]
    sim.step()
    sim.passes(11)
    sim.step()
    assert sim.said("Running") == ("False", reason)
    assert sim.condition("Running")["message"] == sim.condition("Ready")["message"]
    assert sim.condition("Running")["message"].startswith(f"the {CALLED[stage]} pod cannot start: ")
    sim.rest()
    sim.runs(stage, 1, running=True)
    sim.step()
    assert sim.condition("Running")["reason"] != reason


def test_a_pod_that_never_starts_ends_at_the_pending_deadline_and_is_removed():
    sim = prepared_job(runPolicy={"pendingDeadlineSeconds": 600})
    sim.runs("train", 1, unschedulable="0/3 nodes are available")
    sim.passes(601)
    sim.step()
    assert sim.said("Stalled") == ("True", "PendingDeadlineExceeded")
    assert "0/3 nodes" in sim.condition("Stalled")["message"]
    assert sim.job("train", 1) is None


def test_the_run_is_read_from_its_config_map_after_a_restart():
    sim = Simulation()
    sim.step()
    sim.ends("prepare", 1, 0, prepared())
    sim.cached_run = None
    sim.installed = sim.installed.__class__(trainer_image="registry/another:2")
    sim.step()
    assert (
        sim.job("train", 1)["spec"]["template"]["spec"]["containers"][0]["image"]
        == "registry/finetune-trainer:1"
    )


def test_a_run_that_was_deleted_is_told_and_nothing_else_is_started():
    sim = Simulation()
    sim.step()
    sim.ends("prepare", 1, 0, prepared())
    sim.cached_run = sim.config_map = None
    sim.step()
    assert sim.rules[-1] == "run-lost"
    assert sim.said("Stalled") == ("True", "RunLost")
    assert sim.created == ["prepare-1"]


def test_a_wiped_status_is_found_again_from_the_jobs():
    sim = prepared_job()
    sim.runs("train", 1, running=True)
    sim.step()
    sim.raw["status"] = {}
    sim.step()
    assert sim.created == ["prepare-1", "train-1"]
    assert sim.status["state"] == "Running"
    assert sim.status["dataset"]["digest"] == kube_objects.DIGEST


def test_a_crash_between_the_job_and_the_status_loses_nothing():
    sim = Simulation()
    sim.step()
    sim.ends("prepare", 1, 0, prepared())
    before = json.loads(json.dumps(sim.status))
    sim.step()
    sim.raw["status"] = before
    sim.runs("train", 1, running=True)
    sim.step()
    assert sim.created == ["prepare-1", "train-1"]
    assert sim.said("Prepared") == ("True", "Prepared")
    assert sim.status["dataset"]["rows"] == 11400


def test_progress_is_written_as_a_person_reads_it():
    sim = prepared_job()
    sim.runs("train", 1, running=True)
    sim.polled(
        {
            "version": 1,
            "stage": "Train",
            "step": 120,
            "totalSteps": 500,
            "loss": 2.3,
            "etaSeconds": 250,
            "message": "x",
            "checkpoint": {"step": 100, "uri": "s3://b/c", "time": "2026-11-22T10:00:00Z"},
        }
    )
    sim.step()
    assert (
        sim.status["progress"] | {"text": "120/500", "eta": "4m10s", "percent": 24} == sim.status["progress"]
    )
    assert sim.status["checkpoint"]["step"] == 100
    sim.polled(None, failures=3)
    sim.step()
    assert sim.said("Running") == ("True", "ProgressUnavailable")


def test_a_missing_profile_is_waited_for():
    sim = Simulation(profile="gpu")
    decision = sim.step()
    assert sim.said("Accepted") == ("False", "ProfileNotFound")
    assert sim.said("Reconciling")[0] == "True"
    assert decision.requeue_after
    sim.profiles = {"gpu": kube_objects.fine_tune_profile("gpu", generation=3)}
    sim.step()
    assert sim.status["profile"] == {"name": "gpu", "generation": 3}
    assert sim.created == ["prepare-1"]


def test_a_profile_that_never_comes_ends_the_job():
    sim = Simulation(profile="gpu", runPolicy={"pendingDeadlineSeconds": 60})
    sim.step()
    sim.passes(61)
    sim.step()
    assert sim.said("Stalled") == ("True", "PendingDeadlineExceeded")


def test_a_profile_that_cannot_be_read_is_told_and_waited_for():
    sim = Simulation(profile="gpu", profiles={"gpu": kube_objects.fine_tune_profile("gpu", nonsense=1)})
    sim.step()
    assert sim.said("Accepted") == ("False", "ProfileInvalid")


def test_a_refused_job_starts_nothing_and_is_over():
    sim = Simulation(model={"uri": "oci://registry/model"})
    sim.step()
    assert sim.said("Accepted") == ("False", "NotYetSupported")
    assert "spec.model.uri" in sim.condition("Accepted")["message"]
    assert sim.said("Stalled")[0] == "True"
    assert sim.created == []
    assert sim.config_map is None
    sim.rest()


def test_a_spec_of_another_version_is_told():
    sim = Simulation(newField=1)
    sim.step()
    assert sim.said("Accepted") == ("False", "SpecInvalid")
    assert "spec.newField" in sim.condition("Stalled")["message"]


def test_a_settled_job_is_never_started_again():
    sim = prepared_job()
    sim.ends("train", 1, 0, published())
    sim.step()
    sim.jobs.clear()
    sim.pods.clear()
    sim.config_map = sim.cached_run = None
    before = json.dumps(sim.status)
    assert sim.rest().rule == "settled"
    assert json.dumps(sim.status) == before
    assert sim.created == ["prepare-1", "train-1"]
    sim.raw["metadata"]["generation"] = 2
    sim.step()
    assert sim.status["observedGeneration"] == 2


def test_old_jobs_are_dropped_and_the_last_are_kept_for_their_logs():
    sim = prepared_job()
    for number in range(1, 6):
        sim.ends("train", number, 75, saved(number, stamp(sim.now)))
        decision = sim.step()
        if decision.rule == "pausing":
            sim.passes(decision.requeue_after)
            sim.step()
    assert sorted(name.rpartition("-")[2] for name in sim.jobs if "train" in name) == ["4", "5", "6"]


def test_nothing_is_decided_about_a_job_that_is_being_deleted():
    sim = Simulation()
    sim.raw["metadata"]["deletionTimestamp"] = stamp(START)
    assert decide(sim.world()).rule == "deleting"


def test_at_rest_nothing_is_written():
    sim = prepared_job()
    sim.runs("train", 1, running=True)
    sim.rest()
    written = len(sim.statuses)
    for _ in range(20):
        sim.passes(300)
        sim.step()
    assert len(sim.statuses) == written


def test_time_moves_only_with_truth():
    sim = Simulation()
    sim.step()
    sim.passes(60)
    sim.ends("prepare", 1, 69, word("Prepare", "SecretMissing", "no Secret"))
    sim.step()
    assert sim.condition("Ready")["lastTransitionTime"] == stamp(START)
    assert sim.condition("Prepared")["lastTransitionTime"] == stamp(START + 60)


def test_a_spec_that_a_later_version_cannot_read_ends_the_job_and_stops_what_runs():
    sim = prepared_job()
    sim.runs("train", 1, running=True)
    sim.step()
    sim.raw["spec"]["newField"] = 1
    sim.step()
    assert sim.rules[-1] == "unreadable"
    assert sim.said("Stalled") == ("True", "SpecInvalid")
    assert sim.job("train", 1) is None


def test_what_an_earlier_attempt_left_running_is_stopped_and_waited_for():
    sim = prepared_job()
    sim.runs("train", 1, running=True)
    sim.step()
    status = sim.raw["status"]
    status["attempts"][-1] |= {
        "outcome": "Interrupted",
        "endTime": stamp(sim.now),
    }  # written by mistake, or by somebody else
    sim.step()
    assert sim.rules[-1] == "leftovers"
    assert sim.said("Running") == ("False", "Ending")
    assert sim.job("train", 1) is None
    sim.step()
    assert sim.created[-1] == "train-2"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (errors.Denied("admission says no"), "ApiDenied"),
        (errors.Denied('pods "x" is forbidden: exceeded quota: count'), "QuotaExceeded"),
        (errors.NameTaken("there is already a Job x"), "NameTaken"),
    ],
)
@pytest.mark.parametrize("accepted", [False, True])
def test_a_refused_create_is_told(error, reason, accepted):
    sim = prepared_job() if accepted else Simulation()
    decision = decide(replace(sim.world(), trouble=error))
    assert decision.rule == "trouble"
    running = next(one for one in decision.status.conditions if one.type == "Running")
    assert (running.status, running.reason) == ("False", reason)
    assert decision.requeue_after == 30
