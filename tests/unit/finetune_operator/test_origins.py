"""Jobs that go on from others: what is waited for, what is refused, and what is written down for good."""

from types import SimpleNamespace

import pytest

import kube_objects
from finetune_operator import errors
from finetune_operator.cluster import api
from finetune_operator.observe.job import job
from finetune_operator.reconcile.actions import Actions
from finetune_operator.reconcile.caches import Caches
from finetune_operator.reconcile.intake import Intake
from finetune_operator.reconcile.metrics import Metrics
from finetune_operator.reconcile.queue import WorkQueue
from simulation import Simulation

ADAPTER = {"adapterFrom": {"jobRef": {"name": "sft"}}}
RESUME = {"resumeFrom": {"jobRef": {"name": "sft"}}}
DEADLINE = 3600


def ended(*, well, reason="NonFiniteLoss", run="sft-run", message="the loss is nan"):
    succeeded = {"type": "Succeeded", "status": "True" if well else "False"}
    return {"conditions": [{**succeeded, "reason": reason, "message": message}], "run": run}


def other(name="sft", *, status=None, **spec):
    output = {"uri": f"s3://team-a/adapters/{name}", "credentialsSecretRef": {"name": "their-bucket"}}
    return kube_objects.fine_tune_job(name, uid=f"uid-of-{name}", status=status or {}, output=output, **spec)


def sentence(sim):
    return sim.condition("Ready")["message"]


def test_the_other_jobs_end_is_waited_for_and_its_adapter_taken_with_its_secret():
    sim = Simulation(model=ADAPTER)
    sim.others = [other()]
    decision = sim.step()
    assert sim.status["state"] == "Pending"
    assert decision.requeue_after <= 300
    for kind, truth in (("Accepted", "False"), ("Ready", "False"), ("Reconciling", "True")):
        assert sim.said(kind) == (truth, "WaitingForJob")
    assert sim.said("Stalled") is None
    assert sentence(sim) == (
        "spec.model.adapterFrom.jobRef: FineTuneJob 'sft', whose adapter is needed, has not ended yet (this job waits)"
    )
    sim.others = [other(status=ended(well=True))]
    sim.step()
    assert sim.said("Accepted") == ("True", "Accepted")
    assert sim.cached_run.run["origins"] == {
        "adapter": {"uri": "s3://team-a/adapters/sft", "credentialsSecretRef": {"name": "their-bucket"}}
    }
    assert sim.cached_run.run["model"]["adapterFrom"] == {"jobRef": {"name": "sft"}}
    assert sim.cached_run.pods.secrets == ["bucket", "their-bucket"]


def test_once_accepted_the_other_job_may_go():
    sim = Simulation(model=ADAPTER)
    sim.others = [other(status=ended(well=True))]
    sim.step()
    sim.others = []
    sim.ends("prepare", 1, 0, kube_objects.prepared())
    sim.step()
    assert sim.rules[-1] == "start-train"


def test_a_job_that_is_not_there_yet_is_waited_for():
    sim = Simulation(model=ADAPTER)
    sim.step()
    assert sim.said("Accepted") == ("False", "JobNotFound")
    assert "no FineTuneJob 'sft' in this namespace" in sentence(sim)
    assert sim.status["state"] == "Pending"


def test_waiting_for_another_job_ends_at_the_pending_deadline():
    sim = Simulation(model=ADAPTER, runPolicy={"pendingDeadlineSeconds": DEADLINE})
    sim.others = [other()]
    sim.step()
    sim.passes(DEADLINE - 1)
    sim.step()
    assert sim.status["state"] == "Pending"
    sim.passes(1)
    sim.step()
    assert sim.said("Stalled") == ("True", "PendingDeadlineExceeded")
    assert sentence(sim) == (
        "gave up after waiting 1h (spec.runPolicy.pendingDeadlineSeconds): "
        "spec.model.adapterFrom.jobRef: FineTuneJob 'sft', whose adapter is needed, has not ended yet"
    )


def test_a_suspended_job_does_not_wait():
    sim = Simulation(model=ADAPTER, runPolicy={"pendingDeadlineSeconds": DEADLINE, "suspend": True})
    sim.others = [other()]
    sim.step()
    assert sim.status["state"] == "Suspended"
    sim.passes(2 * DEADLINE)
    sim.raw["spec"]["runPolicy"]["suspend"] = False
    sim.step()
    assert sim.status["state"] == "Pending"
    sim.passes(DEADLINE)
    sim.step()
    assert sim.said("Stalled") == ("True", "PendingDeadlineExceeded")


REFUSED = {
    "the other failed": (
        {"model": ADAPTER},
        [other(status=ended(well=False))],
        "ReferencedJobFailed",
        "adapterFrom.jobRef: FineTuneJob 'sft' has failed, and left no adapter (NonFiniteLoss: the loss is nan)",
    ),
    "no adapter will come of it": (
        {"model": ADAPTER},
        [other(tuning={"type": "Full"})],
        "SpecInvalid",
        "name its output as spec.model.uri",
    ),
    "it names itself": (
        {"model": {"adapterFrom": {"jobRef": {"name": "support-bot"}}}},
        [],
        "SpecInvalid",
        "support-bot waits for support-bot, so none of them could ever start",
    ),
    "a circle": (
        {"model": ADAPTER},
        [
            other(model={"adapterFrom": {"jobRef": {"name": "third"}}}),
            other("third", checkpoint={"resumeFrom": {"jobRef": {"name": "support-bot"}}}),
        ],
        "SpecInvalid",
        "support-bot waits for sft waits for third waits for support-bot",
    ),
    "nothing to resume": (
        {"checkpoint": RESUME},
        [other(status=ended(well=True))],
        "ReferencedJobFailed",
        "resumeFrom.jobRef: FineTuneJob 'sft' has succeeded, and its checkpoints are removed",
    ),
    "it never began": (
        {"checkpoint": RESUME},
        [other(status=ended(well=False, reason="PolicyDenied", run=None, message="not there"))],
        "ReferencedJobFailed",
        "was refused before it could train (PolicyDenied: not there)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_waiting_cannot_help_fails_at_once(case):
    spec, others, reason, says = REFUSED[case]
    sim = Simulation(**spec)
    sim.others = others
    sim.step()
    assert sim.said("Stalled") == ("True", reason)
    assert sim.said("Accepted") == ("False", reason)
    assert says in sentence(sim)
    assert sim.created == []


def test_a_circle_of_others_is_not_ours():
    sim = Simulation(model=ADAPTER)
    sim.others = [
        other(model={"adapterFrom": {"jobRef": {"name": "third"}}}),
        other("third", model=ADAPTER),
    ]
    sim.step()
    assert sim.said("Accepted") == ("False", "WaitingForJob")


@pytest.mark.parametrize("work", ["s3://team-a/work/", None])
def test_the_failed_jobs_work_area_is_read(work):
    output = {"workUri": work} if work else {}
    sim = Simulation(checkpoint=RESUME)
    sim.others = [other()]
    sim.step()
    assert sim.said("Accepted") == ("False", "WaitingForJob")
    failed = other(status=ended(well=False))
    failed["spec"]["output"] |= output
    sim.others = [failed]
    sim.step()
    below = (work or "s3://team-a/adapters/sft").rstrip("/")
    assert sim.cached_run.run["origins"] == {
        "work": {
            "uri": f"{below}/.finetune/uid-of-sft",
            "credentialsSecretRef": {"name": "their-bucket"},
        }
    }


def test_a_claim_of_another_job_is_mounted_read_only():
    sim = Simulation(model=ADAPTER)
    done = other(status=ended(well=True))
    done["spec"]["output"] = {"uri": "pvc://theirs/sft"}
    sim.others = [done]
    sim.step()
    assert [(one.name, one.writable) for one in sim.cached_run.pods.claims] == [("theirs", False)]


@pytest.mark.parametrize(
    ("allowed", "reason"),
    [
        ({"outputs": ["s3://team-a/adapters"], "models": ["hf://Qwen"]}, "Accepted"),
        ({"outputs": ["s3://team-a/adapters/support-bot"]}, "PolicyDenied"),
    ],
)
def test_another_jobs_output_is_held_against_the_outputs_allowed(allowed, reason):
    profile = kube_objects.fine_tune_profile(default=True, allowed={"cpu": True, **allowed})
    sim = Simulation(model=ADAPTER, profiles={"default": profile})
    sim.others = [other(status=ended(well=True))]
    sim.step()
    assert sim.said("Accepted")[1] == reason


def test_an_adapter_in_the_outputs_bucket_is_read_with_the_outputs_secret():
    sim = Simulation(model={"adapterFrom": {"uri": "s3://team-a/elsewhere"}})
    sim.step()
    assert sim.cached_run.run["origins"]["adapter"] == {
        "uri": "s3://team-a/elsewhere",
        "credentialsSecretRef": {"name": "bucket"},
    }


# What is looked for, and who is woken


class Jobs:
    """An API server that holds some FineTuneJobs."""

    def __init__(self, *raws):
        self.raws = {raw["metadata"]["name"]: raw for raw in raws}
        self.asked = []

    async def get(self, resource, namespace, name):
        assert (resource, namespace) == (api.TUNE_JOBS, "team-a")
        self.asked.append(name)
        if name not in self.raws:
            raise errors.NotFound("there is none", code=404)
        return self.raws[name]


async def test_jobs_are_looked_for_along_the_chain_and_each_once():
    jobs = Jobs(
        other(model={"adapterFrom": {"jobRef": {"name": "third"}}}),
        other("third", model=ADAPTER, checkpoint={"resumeFrom": {"jobRef": {"name": "lost"}}}),
    )
    sim = Simulation(model=ADAPTER)
    world = await Actions(jobs, Caches()).look(sim.world(), "others")
    assert jobs.asked == ["sft", "third", "lost"]
    assert set(world.others) == {"sft", "third"}


@pytest.fixture
def told():
    caches, queue = Caches(), WorkQueue()
    return SimpleNamespace(intake=Intake(caches, queue, Metrics("test")), caches=caches, queue=queue)


async def drained(queue):
    found = []
    while len(queue):
        key = await queue.get()
        queue.done(key)
        found.append(key.name)
    return found


@pytest.mark.parametrize("state", ["Pending", "Suspended"])
async def test_a_waiting_job_is_woken_when_the_other_comes_and_when_it_ends_and_by_nothing_between(
    told, state
):
    told.intake.job("ADDED", kube_objects.fine_tune_job(model=ADAPTER, status={"state": state}))
    await drained(told.queue)
    steps = [({}, True), ({"state": "Running"}, False), (ended(well=True), True)]
    for version, (status, woken) in enumerate(steps, start=20):
        raw = other(status=status)
        raw["metadata"]["resourceVersion"] = str(version)
        told.intake.job("MODIFIED", raw)
        assert ("support-bot" in await drained(told.queue)) is woken


async def test_nobody_is_kept_in_mind_who_waits_no_more(told):
    told.intake.job("ADDED", kube_objects.fine_tune_job(model=ADAPTER))
    raw = kube_objects.fine_tune_job(model=ADAPTER, version="11", status=ended(well=True))
    told.intake.job("MODIFIED", raw)
    assert told.caches._waiters == {}
    told.intake.job("ADDED", kube_objects.fine_tune_job("second", uid="u2", model=ADAPTER))
    told.caches.drop_job(job(raw).key._replace(name="second"), "u2")
    assert told.caches._waiters == {}
