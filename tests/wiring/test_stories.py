"""Restarts, deletions, faults, fairness: the promises, each as a story."""

import asyncio
import itertools

import aiohttp
import pytest
from aiohttp import web

import kube_objects
from fake_api_server import Fault
from fake_kubelet import HAPPY, Ends, happy
from finetune_operator.handlers import watch
from operator_lab import until


def waiting(stage, attempt):
    """Training runs until it is told to stop."""
    return Ends(after=None) if stage == "train" else happy(stage, attempt)


async def test_applied_twice_nothing_changes(lab):
    await lab.start()
    lab.create()
    await lab.settled()
    await asyncio.sleep(0.2)
    writes = lab.server.writes()
    applied = lab.server.change("finetunejobs", "support-bot", lambda _: None)
    await asyncio.sleep(0.3)
    assert lab.server.writes() == writes
    assert lab.server.get("finetunejobs", "support-bot") == applied


@pytest.mark.parametrize("calls", range(0, 14, 2))
async def test_killed_after_any_call_the_job_ends_the_same_with_one_training_job(lab, calls):
    operator = await lab.start()
    before = len(lab.server.requests)
    lab.create()
    await until(
        lambda: (
            len(lab.server.requests) - before >= calls or lab.condition("Succeeded").get("status") == "True"
        )
    )
    await lab.kill(operator)
    await lab.start()
    assert (await lab.settled())["state"] == "Succeeded"
    assert lab.jobs() == ["prepare-1", "train-1"]
    assert lab.kubelet.most_live_training == 1


async def test_restarted_while_training_nothing_is_started_again(lab):
    lab.kubelet.script = waiting
    operator = await lab.start()
    lab.create()
    await until(lambda: lab.condition("Running").get("status") == "True")
    assert await lab.stop(operator)
    writes = lab.server.writes()
    await lab.start()
    await asyncio.sleep(0.3)
    assert lab.server.writes() == writes
    assert lab.jobs() == ["prepare-1", "train-1"]


async def test_a_deleted_job_takes_its_children_along(lab):
    lab.kubelet.script = waiting
    operator = await lab.start()
    lab.create()
    await until(lambda: lab.condition("Running").get("status") == "True")
    lab.server.remove("finetunejobs", "support-bot")
    await until(lambda: not lab.server.all("jobs") + lab.server.all("pods") + lab.server.all("configmaps"))
    caches = operator.caches
    await until(lambda: not (caches.jobs or caches.children or caches.pods or caches.runs))
    lab.kubelet.script = happy
    lab.create()
    assert (await lab.settled())["state"] == "Succeeded"


async def test_a_deleted_training_job_is_resumed_after_its_pod_has_ended(lab):
    lab.kubelet.script = lambda stage, attempt: (
        waiting(stage, attempt) if attempt == 1 else happy(stage, attempt)
    )
    await lab.start()
    lab.create()
    await until(lambda: lab.condition("Running").get("status") == "True")
    training = next(
        one for one in lab.server.all("jobs") if one["metadata"]["labels"]["finetune.dev/stage"] == "train"
    )
    lab.server.remove("jobs", training["metadata"]["name"])
    status = await lab.settled()
    assert status["state"] == "Succeeded"
    assert status["attempts"][1]["outcome"] == "Interrupted"
    assert lab.jobs("train") == ["train-2"]


async def test_suspended_and_resumed(lab):
    lab.kubelet.script = lambda stage, attempt: (
        waiting(stage, attempt) if attempt == 1 else happy(stage, attempt)
    )
    await lab.start()
    lab.create()
    await until(lambda: lab.condition("Running").get("status") == "True")
    lab.server.change(
        "finetunejobs", "support-bot", lambda one: one["spec"].update(runPolicy={"suspend": True})
    )
    await until(
        lambda: (
            lab.status()["state"] == "Suspended"
            and not lab.jobs("train")
            and "set it to false to go on" in lab.condition("Ready")["message"]
        )
    )
    assert lab.status()["attempts"][-1]["reason"] == "Suspended"
    lab.server.change(
        "finetunejobs", "support-bot", lambda one: one["spec"].update(runPolicy={"suspend": False})
    )
    status = await lab.settled()
    assert status["state"] == "Succeeded"
    assert lab.jobs("train") == ["train-2"]


async def test_suspended_while_it_prepares_and_resumed(lab):
    lab.kubelet.script = lambda stage, attempt: Ends(after=None) if attempt == 1 else happy(stage, attempt)
    await lab.start()
    lab.create(runPolicy={"suspend": False})
    await until(lambda: lab.jobs() == ["prepare-1"] and lab.server.all("pods"))
    lab.server.change(
        "finetunejobs", "support-bot", lambda one: one["spec"]["runPolicy"].update(suspend=True)
    )
    await until(lambda: lab.status().get("state") == "Suspended" and not lab.jobs())
    lab.kubelet.script = happy
    lab.server.change(
        "finetunejobs", "support-bot", lambda one: one["spec"]["runPolicy"].update(suspend=False)
    )
    assert (await lab.settled())["state"] == "Succeeded"
    assert lab.jobs() == ["prepare-2", "train-1"]


CLOCKS = {
    "PendingDeadlineExceeded": (
        {"pendingDeadlineSeconds": 1},
        kube_objects.pod_status(unschedulable="0/1 nodes"),
    ),
    "ActiveDeadlineExceeded": ({"activeDeadlineSeconds": 1}, Ends(after=None)),
}


@pytest.mark.parametrize("reason", CLOCKS)
async def test_a_deadline_ends_the_job_and_stops_its_pod(lab, reason):
    policy, state = CLOCKS[reason]
    lab.kubelet.script = lambda stage, attempt: state if stage == "train" else happy(stage, attempt)
    await lab.start()
    lab.create(runPolicy=policy)
    await lab.settled()
    assert lab.condition("Stalled")["reason"] == reason
    await until(lambda: not lab.jobs("train"))


async def test_a_settled_job_is_left_alone_whatever_is_deleted_under_it(lab):
    operator = await lab.start()
    lab.create()
    await lab.settled()
    for one in lab.server.all("jobs"):
        lab.server.remove("jobs", one["metadata"]["name"])
    lab.server.remove("configmaps", lab.status()["run"])
    writes = lab.server.writes()
    await lab.stop(operator)
    await lab.start()
    await asyncio.sleep(0.3)
    assert {key: count for key, count in lab.server.writes().items() if key[1] != "events"} == {
        key: count for key, count in writes.items() if key[1] != "events"
    }
    assert lab.jobs() == []


FAULTS = [
    Fault("*", "*", 429, times=3, headers={"Retry-After": "0"}),
    Fault("*", "*", 500, times=3),
    Fault("POST", "jobs", 504, committed=True),
    Fault("POST", "configmaps", 504, committed=True),
    Fault("PATCH", "finetunejobs", 504, times=2, committed=True),
    Fault("PATCH", "finetunejobs", 409, times=2),
    Fault("POST", "jobs", 0),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda one: f"{one.verb}-{one.plural}-{one.code}")
async def test_a_fault_of_the_api_server_costs_time_and_nothing_else(lab, fault):
    lab.server.faults.append(Fault(**vars(fault)))
    await lab.start(api_timeout=0.5)
    lab.create()
    assert (await lab.settled())["state"] == "Succeeded"
    assert lab.jobs() == ["prepare-1", "train-1"]


async def test_a_write_of_somebody_else_is_not_lost(lab):
    await lab.start()
    lab.create()
    for _ in range(20):
        lab.server.change(
            "finetunejobs", "support-bot", lambda one: one["metadata"].update(annotations={"who": "argo"})
        )
        await asyncio.sleep(0.01)
    await lab.settled()
    assert lab.server.get("finetunejobs", "support-bot")["metadata"]["annotations"] == {"who": "argo"}


@pytest.mark.parametrize("plainly", [False, True])
async def test_cut_and_expired_watches_are_taken_up_again(lab, plainly):
    lab.server.expires_plainly = plainly
    await lab.start()
    await asyncio.sleep(0.2)
    lab.server.put("finetunejobs", kube_objects.fine_tune_job("other", "team-b"))
    lab.server.compact()
    lab.server.cut_watches()
    lab.create()
    assert (await lab.settled())["state"] == "Succeeded"
    watchers = [one.get_name() for one in asyncio.all_tasks() if one.get_name().startswith(watch.WATCHER)]
    assert len(watchers) == 4  # none is left of those before


async def test_a_deletion_that_no_watch_told_is_found_by_the_next_list(lab):
    operator = await lab.start(resync_interval=0.3)
    lab.create()
    await lab.settled()
    del lab.server.objects["finetunejobs"]["team-a", "support-bot"]
    lab.server.version += 1
    await until(lambda: not operator.caches.jobs)


async def test_a_tenant_with_many_jobs_does_not_starve_another(lab):
    lab.server.latency = 0.005
    operator = await lab.start(workers=2)
    operator.leading.clear()
    for number in range(60):
        lab.create(f"many-{number}", "team-b")
    lab.create("one", "team-a")
    order = []
    lab.server.listeners.append(
        lambda plural, event, one: (
            order.append(one["metadata"]["namespace"]) if (plural, event) == ("jobs", "ADDED") else None
        )
    )
    await until(lambda: "team-a" in order)
    assert order.index("team-a") < 40


async def test_a_poison_job_stops_no_other(lab):
    await lab.start()
    poison = kube_objects.fine_tune_job("poison", uid="poison")
    poison["spec"] = {"model": 7, "runPolicy": {"suspend": "maybe"}}
    lab.server.put("finetunejobs", poison)
    lab.create()
    assert (await lab.settled())["state"] == "Succeeded"
    await lab.settled("poison")
    assert lab.condition("Accepted", "poison")["reason"] == "SpecInvalid"


async def test_progress_comes_from_the_pod_and_at_most_once_an_interval(lab):
    lab.kubelet.script = waiting
    steps = itertools.count(100)

    async def answer(_):
        return web.json_response(
            {
                "version": 1,
                "stage": "Train",
                "step": next(steps),
                "totalSteps": 500,
                "loss": 2.5,
                "etaSeconds": 61,
            }
        )

    async with serving(answer) as port:
        operator = await lab.start(port=port, progress_interval=0.5)
        lab.create()
        await until(lambda: lab.status().get("progress", {}).get("step", 0) >= 102)
        assert lab.status()["progress"]["text"].endswith("/500")
        assert lab.status()["progress"]["eta"] == "1m1s"
        patches = lab.server.counted()["PATCH", "finetunejobs"]
        await asyncio.sleep(1.0)
        assert lab.server.counted()["PATCH", "finetunejobs"] - patches <= 3
        assert operator.caches.progress


@pytest.mark.parametrize("lie", ["huge", "redirect", "garbage", "slow"])
async def test_a_pod_that_lies_about_progress_is_told_and_changes_nothing_else(lab, lie):
    async def answer(_):
        if lie == "redirect":
            raise web.HTTPFound("http://169.254.169.254/")
        if lie == "slow":
            await asyncio.sleep(5)
        return web.Response(
            text='{"version": 1, "message": "' + "x" * 70000 + '"}' if lie == "huge" else "garbage"
        )

    lab.kubelet.script = waiting
    async with serving(answer) as port:
        await lab.start(port=port, progress_interval=0.1)
        lab.create()
        await until(lambda: lab.condition("Running").get("reason") == "ProgressUnavailable", 15)
    assert lab.condition("Running")["status"] == "True"
    assert "progress" not in lab.status()


class serving:  # noqa: N801  used like a function
    """A pod's port."""

    def __init__(self, answer):
        application = web.Application()
        application.router.add_get("/progress", answer)
        self.runner = web.AppRunner(application, shutdown_timeout=0.1)

    async def __aenter__(self):
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        return self.runner.addresses[0][1]

    async def __aexit__(self, *_):
        await self.runner.cleanup()


async def test_one_leads_and_the_other_takes_over(lab):
    lab.kubelet.script = waiting
    times = {"leader_election": True, "lease_duration": 3, "renew_deadline": 1.0, "retry_period": 0.2}
    first = await lab.start(identity="first", **times)
    await until(first.leading.is_set)
    second = await lab.start(identity="second", **times)
    lab.create()
    await until(lambda: lab.condition("Running").get("status") == "True")
    assert not second.leading.is_set()
    assert await lab.stop(first)
    await until(second.leading.is_set, 2)
    lab.kubelet.script = happy
    lab.create("next")
    assert (await lab.settled("next"))["state"] == "Succeeded"
    assert lab.server.get("leases", "finetune-operator", "default")["spec"]["holderIdentity"] == "second"


async def test_a_leader_that_cannot_renew_ends_before_another_may_lead(lab):
    times = {"leader_election": True, "lease_duration": 3, "renew_deadline": 1.0, "retry_period": 0.2}
    first = await lab.start(identity="first", **times)
    await until(first.leading.is_set)
    lab.server.faults.append(Fault("PUT", "leases", 0, times=100))
    ended = await asyncio.wait_for(lab.operators.pop(first), 2.9)
    assert ended is False


async def test_the_pages_tell_health_and_numbers(lab):
    operator = await lab.start()
    lab.create()
    await lab.settled()
    async with aiohttp.ClientSession() as session:
        for path, text in (
            ("healthz", "ok"),
            ("readyz", "ok"),
            ("metrics", 'finetunejob_jobs{namespace="team-a",state="Succeeded"} 1.0'),
            ("metrics", 'finetunejob_api_requests_total{code="201",verb="POST"}'),
            ("metrics", 'finetunejob_jobs_finished_total{reason="Published",result="Succeeded"} 1.0'),
            ("metrics", "finetunejob_create_to_child_seconds_count 1.0"),
        ):
            answer = await session.get(f"http://127.0.0.1:{operator.http_port}/{path}")
            assert answer.status == 200
            assert text in await answer.text()


async def test_every_transition_is_told_by_an_event_once(lab):
    lab.kubelet.script = lambda stage, _: Ends(0, HAPPY[stage].word, after=0.3)
    await lab.start()
    lab.create()
    await lab.settled()
    await asyncio.sleep(0.1)
    told = [(one["type"], one["reason"]) for one in lab.server.all("events")]
    assert told == [
        ("Normal", "Accepted"),
        ("Normal", "Preparing"),
        ("Normal", "Prepared"),
        ("Normal", "Starting"),
        ("Normal", "Running"),
        ("Normal", "Published"),
    ]


async def test_only_the_namespaces_asked_for_are_served(lab):
    await lab.start(namespaces=("team-a",))
    lab.create("elsewhere", "team-b")
    lab.create()
    await lab.settled()
    assert "conditions" not in lab.status("elsewhere", "team-b")


ORDERS = {"the first one first": ("first", "second"), "the second one first": ("second", "first")}


@pytest.mark.parametrize("order", ORDERS)
async def test_a_job_that_goes_on_from_another_waits_for_it_and_starts_at_its_end(lab, order):
    lab.kubelet.script = waiting
    await lab.start()
    specs = {"first": {}, "second": {"model": {"adapterFrom": {"jobRef": {"name": "first"}}}}}
    for name in ORDERS[order]:
        lab.create(name, **specs[name])
    await until(lambda: lab.condition("Running", "first").get("status") == "True")
    await until(lambda: lab.condition("Accepted", "second").get("reason") == "WaitingForJob")
    assert (
        "'first', whose adapter is needed, has not ended yet (this job waits)"
        in lab.condition("Ready", "second")["message"]
    )
    lab.kubelet.script = happy
    lab.server.remove("jobs", child(lab, "first"))
    assert (await lab.settled("first"))["state"] == "Succeeded"
    second = await lab.settled("second")  # woken by the end of the first, not by a timer
    assert second["state"] == "Succeeded"
    assert second["startTime"] >= lab.status("first")["completionTime"]


def child(lab, name):
    """The training Job of a FineTuneJob."""
    return next(
        one["metadata"]["name"]
        for one in lab.server.all("jobs")
        if one["metadata"]["labels"]["finetune.dev/job-name"] == name
        and one["metadata"]["labels"]["finetune.dev/stage"] == "train"
    )
