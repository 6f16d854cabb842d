"""Two operators run and one leads: it may die, hang, or be replaced by a new version, and no job notices."""

import contextlib
import datetime as dt
import os
import pathlib
import signal
import uuid
from dataclasses import dataclass

import pytest

import one_run
import real_cluster
import stories

OURS = "app.kubernetes.io/name=finetune-operator"
TAKEN_OVER_WITHIN = 20.0
"""From the last sign of the old leader to the first of the new one (s)."""
LONG = {"maxSteps": 120, "globalBatchSize": 4, "maxLength": 128}


@dataclass(frozen=True)
class Lead:
    """Who leads, since when, and when it was last confirmed."""

    holder: str
    since: dt.datetime
    renewed: dt.datetime


def lead(kube) -> Lead:
    spec = kube.get("lease", real_cluster.RELEASE, real_cluster.RELEASE_NAMESPACE)["spec"]
    since, renewed = (dt.datetime.fromisoformat(spec[name]) for name in ("acquireTime", "renewTime"))
    return Lead(spec["holderIdentity"], since, renewed)


def another_leads(kube, before: Lead) -> Lead:
    return stories.wait_until(
        lambda: lead(kube),
        lambda now: now.holder not in {"", before.holder},
        what="another operator to lead",
        seconds=90,
    )


@pytest.fixture
def two_operators(kube, cluster):
    """Both ready, so that one can follow the other."""
    if not cluster["nodes"]:
        pytest.skip("signals processes of pods; only the local cluster's run on this machine")
    kube.kubectl(
        "rollout", "status", "deployment", real_cluster.RELEASE,
        "-n", real_cluster.RELEASE_NAMESPACE, "--timeout=120s",
    )  # fmt: skip
    stories.wait_until(
        lambda: len(kube.list("pods", real_cluster.RELEASE_NAMESPACE, OURS)),
        lambda count: count == 2,
        what="those of an earlier story to be gone",
        seconds=90,
    )
    return stories.wait_until(
        lambda: lead(kube), lambda now: now.holder != "", what="an operator to lead", seconds=60
    )


def process(pod: str) -> int:
    """The operator of that pod, among this machine's processes."""
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            named = f"FINETUNE_IDENTITY={pod}\0".encode() in (folder / "environ").read_bytes() + b"\0"
        except OSError:
            continue
        if named:
            return int(folder.name)
    raise AssertionError(f"no process of {pod}")


@pytest.fixture
def running(kube, bucket, namespace, two_operators):
    """A job that trains."""
    name = f"led-{uuid.uuid4().hex[:4]}"
    kube.apply(stories.finetunejob(name, namespace, bucket=bucket.name, training=LONG))
    stories.wait_until(
        lambda: kube.get("ftj", name, namespace),
        lambda job: job.get("status", {}).get("state") == "Running" or stories.ended(job),
        what="training",
        seconds=one_run.SECONDS,
    )
    return name


def test_the_leader_dies_and_another_leads(kube, bucket, namespace, two_operators, running):
    dead = process(two_operators.holder)
    before = lead(kube)
    # The pod first: its container would come back under the same name, and go on leading.
    kube.kubectl(
        "delete", "pod", "-n", real_cluster.RELEASE_NAMESPACE, before.holder, "--wait=false",
        "--grace-period=0", "--force",
    )  # fmt: skip
    with contextlib.suppress(ProcessLookupError):  # the kubelet may be faster
        os.kill(dead, signal.SIGKILL)

    now = another_leads(kube, before)

    assert (now.since - before.renewed).total_seconds() <= TAKEN_OVER_WITHIN
    kube.apply(stories.finetunejob("after", namespace, bucket=bucket.name))
    one_run.ends_well(kube, namespace, running)
    one_run.ends_well(kube, namespace, "after")


def test_the_leader_hangs_and_comes_back_when_another_leads(kube, bucket, namespace, two_operators, running):
    hung = process(two_operators.holder)
    before = lead(kube)
    os.kill(hung, signal.SIGSTOP)
    try:
        kube.apply(stories.finetunejob("meanwhile", namespace, bucket=bucket.name))
        now = another_leads(kube, before)
        stories.wait_until(
            lambda: kube.get("ftj", "meanwhile", namespace),
            lambda job: job.get("status", {}).get("state") not in {None, "Pending"},
            what="the new leader to take up a new job",
            seconds=60,
        )
    finally:
        os.kill(hung, signal.SIGCONT)

    stories.wait_until(
        lambda: pathlib.Path(f"/proc/{hung}").exists(),
        lambda there: not there,
        what="the old leader to see that it leads no more, and to end",
        seconds=60,
    )
    assert lead(kube).holder == now.holder
    one_run.ends_well(kube, namespace, running)
    one_run.ends_well(kube, namespace, "meanwhile")


def test_a_new_version_of_the_operator_restarts_no_pod(kube, namespace, two_operators, running):
    pod = one_run.pod(kube, namespace, running)
    kube.helm(
        "upgrade", real_cluster.RELEASE, str(real_cluster.CHART), "-n", real_cluster.RELEASE_NAMESPACE,
        "--reset-then-reuse-values", "--set", f"podAnnotations.rolled={uuid.uuid4().hex[:8]}", "--wait",
        "--timeout", "180s",
    )  # fmt: skip
    stories.wait_until(
        lambda: {one["metadata"]["name"] for one in kube.list("pods", real_cluster.RELEASE_NAMESPACE, OURS)},
        lambda pods: two_operators.holder not in pods,
        what="the leader of before to be gone",
        seconds=60,
    )
    one_run.ends_well(kube, namespace, running)
    assert one_run.pod(kube, namespace, running)["metadata"]["uid"] == pod["metadata"]["uid"]
