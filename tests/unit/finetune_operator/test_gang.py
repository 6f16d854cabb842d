"""Several nodes: the pods of an attempt start together, and end together by the gravest of their ends."""

import pytest

import kube_objects
from finetune_operator.observe.job import job
from finetune_operator.plan import accept, gang, queueing, training_job
from kube_objects import published, saved, word
from simulation import INSTALLED, prepared_job, stamp

TWO = {"resources": {"nodes": 2, "gpusPerNode": 4}}
HOUR = 3600


def running(**spec):
    """Two pods that have just started to run."""
    sim = prepared_job(**TWO, **spec)
    sim.gang(1, {"running": True}, {"running": True})
    sim.step()
    return sim


def train_attempts(sim):
    return [one for one in sim.status["attempts"] if one["stage"] == "Train"]


def test_a_gang_gets_a_service_and_a_pod_per_node_that_know_where_rank_0_is():
    sim = prepared_job(**TWO)
    made = sim.job("train", 1)
    template = made["spec"]["template"]["spec"]
    service = sim.service["metadata"]["name"]
    assert (made["spec"]["completions"], made["spec"]["parallelism"], made["spec"]["backoffLimit"]) == (
        2,
        2,
        0,
    )
    assert template["subdomain"] == service
    args = template["containers"][0]["args"]
    assert args[args.index("--main") + 1] == f"{made['metadata']['name']}-0.{service}.team-a.svc:8080"
    labels = made["spec"]["template"]["metadata"]["labels"]
    assert sim.service["spec"]["selector"].items() <= labels.items()
    assert sim.service["spec"]["publishNotReadyAddresses"], "ranks meet before any of them is ready"


def test_one_node_needs_none_of_it():
    sim = prepared_job()
    template = sim.job("train", 1)["spec"]["template"]["spec"]
    assert sim.service is None
    assert "subdomain" not in template
    assert "--main" not in template["containers"][0]["args"]


def test_it_runs_once_all_pods_do_and_says_on_which_nodes():
    sim = prepared_job(**TWO)
    sim.gang(1, {"running": True}, {"waiting": ("ContainerCreating", "")})
    sim.step()
    assert sim.status["state"] == "Starting"
    sim.passes(5)
    sim.gang(1, {"running": True}, {"running": True})
    sim.step()
    assert sim.status["state"] == "Running"
    assert "runs on nodes node-0, node-1" in sim.condition("Running")["message"]
    assert train_attempts(sim)[0]["nodes"] == ["node-0", "node-1"]


def test_a_pod_that_cannot_be_scheduled_is_told_with_its_waiting_peers_until_the_deadline():
    sim = prepared_job(**TWO, runPolicy={"pendingDeadlineSeconds": 600})
    sim.gang(
        1, {"running": True}, {"unschedulable": "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."}
    )
    sim.passes(60)
    sim.step()
    assert sim.said("Running") == ("False", "Unschedulable")
    message = sim.condition("Running")["message"]
    assert message.startswith("1 of 2 training pods run and wait for the others; the pod support-bot-")
    assert "Insufficient nvidia.com/gpu" in message
    sim.passes(600)
    sim.step()
    assert sim.said("Ready") == ("False", "PendingDeadlineExceeded")
    assert sim.live() == [], "the pods that waited give their GPUs back"


def told(sim, reason, message):
    """Kubernetes tells why something does not start, a minute after it should have."""
    sim.passes(60)
    sim.events = [
        {"metadata": {}, "reason": reason, "message": message, "lastTimestamp": stamp(sim.now)},
    ]
    sim.step()


def test_a_pod_that_was_never_made_is_told():
    sim = prepared_job(**TWO)
    sim.gang(1, {"running": True})
    told(sim, "FailedCreate", "pods is forbidden: exceeded quota: gpus")
    assert sim.said("Running") == ("False", "QuotaExceeded")


def test_a_claim_that_one_node_alone_may_use_is_told_with_what_to_do():
    sim = prepared_job(**TWO)
    sim.gang(1, {"running": True}, {"waiting": ("ContainerCreating", "")})
    told(sim, "FailedAttachVolume", 'Multi-Attach error for volume "pv-1": already used by pod(s) a-0')
    assert sim.said("Running") == ("False", "VolumeFailed")
    assert "use one that is ReadWriteMany, or a bucket" in sim.condition("Running")["message"]


ENDS = {
    "the author's fault before everything": (
        {"exit_code": 75, "word": word("Train", "PeerLost", "node 1 ended")},
        {"exit_code": 64, "word": word("Train", "InvalidBatchSize", "spec.training: change it")},
        ("Failed", "InvalidBatchSize"),
    ),
    "no memory before a crash": (
        {"exit_code": 1},
        {"exit_code": 86, "word": word("Train", "OutOfMemory", "too large")},
        ("Failed", "OutOfMemory"),
    ),
    "a crash before what it caused": (
        {"exit_code": 75, "word": word("Train", "PeerLost", "node 1 ended")},
        {"exit_code": 1, "word": word("Train", "RankDied", "rank 1 was killed")},
        ("Failed", "RankDied"),
    ),
    "what is not there yet before an interruption": (
        {"exit_code": 75, "word": word("Train", "Interrupted", "stopped")},
        {"exit_code": 69, "word": word("Train", "StorageUnavailable", "503")},
        ("Waiting", "StorageUnavailable"),
    ),
    "who was interrupted before who lost a peer": (
        {"exit_code": 75, "word": word("Train", "PeerLost", "node 1 ended")},
        {"exit_code": 75, "word": word("Train", "Interrupted", "stopped from outside (SIGTERM)")},
        ("Interrupted", "Interrupted"),
    ),
    "a pod that was evicted before who lost it": (
        {"exit_code": 75, "word": word("Train", "PeerLost", "node 1 ended")},
        {"exit_code": 137, "disrupted": "EvictionByEvictionAPI"},
        ("Interrupted", "Evicted"),
    ),
    "rank 0 that failed after its peer was done": (
        {"exit_code": 69, "word": word("Train", "StorageUnavailable", "503")},
        {"exit_code": 0, "word": word("Train", "Trained", "trained")},
        ("Waiting", "StorageUnavailable"),
    ),
    "a result without a word": (
        {"exit_code": 0},
        {"exit_code": 0, "word": word("Train", "Trained", "trained")},
        ("Failed", "NoLastWord"),
    ),
}


def both_ways():
    """Each row, and with its ranks changed over; but publishing is rank 0's."""
    for name, (first, second, expected) in ENDS.items():
        yield pytest.param((first, second), expected, id=name)
        if 0 not in {first["exit_code"], second["exit_code"]}:
            yield pytest.param((second, first), expected, id=f"{name}, the other way round")


@pytest.mark.parametrize(("states", "expected"), list(both_ways()))
def test_the_gravest_end_speaks_for_the_gang(states, expected):
    sim = running()
    sim.gang(1, *states)
    sim.fails(1)
    sim.step()
    ended = train_attempts(sim)[0]
    assert (ended["outcome"], ended["reason"]) == expected


def test_what_no_attempt_could_better_ends_the_job_while_a_peer_still_stops():
    sim = running()
    sim.gang(1, {"running": True}, {"exit_code": 64, "word": word("Train", "InvalidBatchSize", "change it")})
    sim.step()
    assert sim.said("Stalled") == ("True", "InvalidBatchSize")


def test_a_peer_that_is_done_ends_nothing_and_publishing_ends_all():
    sim = running()
    sim.gang(1, {"running": True}, {"exit_code": 0, "word": word("Train", "Trained", "trained")})
    sim.step()
    assert sim.status["state"] == "Running"
    sim.gang(
        1,
        {"exit_code": 0, "word": published()},
        {"exit_code": 0, "word": word("Train", "Trained", "trained")},
    )
    sim.step()
    assert sim.status["state"] == "Succeeded"


def test_nothing_starts_before_the_last_pod_of_the_gang_is_gone():
    sim = running()
    interrupted = {"exit_code": 75, "word": word("Train", "Interrupted", "stopped")}
    sim.gang(1, {"running": True, "deleting": stamp(sim.now + 120)}, interrupted)
    sim.fails(1)
    sim.rest()
    assert sim.created == ["prepare-1", "train-1"]
    sim.gang(1, interrupted, interrupted)
    sim.rest()
    assert sim.created == ["prepare-1", "train-1", "train-2"]


def test_one_lost_node_loses_the_run_once_its_peers_are_gone():
    sim = running()
    sim.passes(HOUR)
    sim.gang(
        1,
        {"exit_code": 75, "word": word("Train", "PeerLost", "node 1 no longer answers")},
        {"running": True, "deleting": stamp(sim.now)},
    )
    sim.step()
    assert sim.created[-1] == "train-1"
    sim.passes(61)
    sim.rest()
    assert sim.created[-1] == "train-2"
    ended = train_attempts(sim)[0]
    assert (ended["outcome"], ended["reason"], ended["node"]) == ("Interrupted", "NodeLost", "node-1")
    assert ended["nodes"] == ["node-0", "node-1"]


def test_gpu_seconds_are_those_of_all_pods():
    sim = prepared_job(**TWO)
    first = stamp(sim.now)
    sim.gang(1, {"running": True}, {"waiting": ("ContainerCreating", "")})
    sim.step()
    sim.passes(600)
    second = stamp(sim.now)
    sim.gang(1, {"running": True, "started": first}, {"running": True})
    sim.step()
    sim.passes(HOUR)
    left = saved(100, stamp(sim.now - 60))
    sim.gang(
        1,
        {"exit_code": 75, "word": left, "started": first},
        {"exit_code": 75, "word": word("Train", "Interrupted", "stopped"), "started": second},
    )
    sim.fails(1)
    sim.step()
    usage = sim.status["usage"]
    assert usage["seconds"] == HOUR + 600
    assert usage["gpuSeconds"] == 4 * (2 * HOUR + 600)
    share = 60 / (HOUR + 600)
    assert usage["wastedGpuSeconds"] == pytest.approx(4 * (2 * HOUR + 600) * share, abs=0.1)


QUEUED = {
    "kueue": (
        {"queueName": "team", "topology": {"required": "cloud/rack"}},
        {"kueue.x-k8s.io/queue-name": "team"},
        {},
        {"kueue.x-k8s.io/podset-required-topology": "cloud/rack"},
    ),
    "kueue, preferred": (
        {"topology": {"preferred": "cloud/block"}},
        {},
        {},
        {"kueue.x-k8s.io/podset-preferred-topology": "cloud/block"},
    ),
    "volcano": (
        {"queueName": "team", "schedulerName": "volcano"},
        {},
        {"scheduling.volcano.sh/queue-name": "team", "scheduling.volcano.sh/group-min-member": "2"},
        {"scheduling.volcano.sh/queue-name": "team"},
    ),
    "kai": ({"queueName": "team", "schedulerName": "kai-scheduler"}, {"kai.scheduler/queue": "team"}, {}, {}),
}


@pytest.mark.parametrize("who", QUEUED)
def test_whoever_queues_and_places_reads_it_in_its_own_words(who):
    scheduling, labels, annotations, pod_annotations = QUEUED[who]
    seen = job(kube_objects.fine_tune_job(**TWO, scheduling=scheduling))
    plan = accept.accept(seen, {}, INSTALLED)
    made = training_job.training_job(
        seen.owner, plan, accept.spec_of(seen).scheduling, 1, prepared=kube_objects.DIGEST
    )
    template = made["spec"]["template"]
    foreign = {
        name
        for one in (made, template)
        for name in one["metadata"]["labels"]
        if "/" in name and not ours(name)
    }
    assert foreign == set(labels)
    assert labels.items() <= made["metadata"]["labels"].items()
    assert made["metadata"].get("annotations", {}) == annotations
    assert template["metadata"].get("annotations", {}) == pod_annotations


def ours(name):
    return name.startswith(("finetune.dev/", "app.kubernetes.io/"))


def test_prepare_is_one_pod_to_every_scheduler():
    seen = job(kube_objects.fine_tune_job(**TWO, scheduling={"schedulerName": "volcano"}))
    plan = accept.accept(seen, {}, INSTALLED)
    marks = queueing.of_prepare(plan.pods, accept.spec_of(seen).scheduling)
    assert marks.annotations == {"scheduling.volcano.sh/group-min-member": "1"}


def test_the_service_belongs_to_the_job():
    owner = job(kube_objects.fine_tune_job()).owner
    reference = gang.gang_service(owner)["metadata"]["ownerReferences"]
    assert [one["uid"] for one in reference] == [owner.uid]
