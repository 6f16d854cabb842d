"""A new admin with nothing but the book: two tenants on four GPUs, a bad file, a preemption, the bill, an alert, and away with it.

Every shell block of docs/admin and docs/alerts.md is run as it stands there, but for the names below; those that are not say why.
The GPUs are only counted; training is on CPU. All jobs of the cluster go in the end, so no story may run beside this one.
"""

import json
import pathlib
from typing import Any

import pytest

import admin_book
import one_run
import page_blocks
import prometheus_server
import queues
import real_cluster
import stories
import trainer_tiny_model
from timeline import Timeline

pytestmark = pytest.mark.timeout(1200)
SECONDS = 300
TENANTS = ("team-a", "team-b")
KINDS = ("finetunejobs.finetune.dev", "finetuneprofiles.finetune.dev")
OURS = "finetune"
CHILDREN = "app.kubernetes.io/managed-by=finetune-operator"
SLOW = {"name": "FINETUNE_FAILPOINTS", "value": json.dumps([{"at": "Step", "do": "Wait"}])}
"""A second for each step."""
STEPS = 150
"""Long enough to be upgraded over, and to be preempted after that."""
WRONG = ("settings.FINETUNE_RESYNC_INTERVAL=often", "replicas=1", "leaderElection.enabled=false")


@pytest.fixture
def bare(no_operator, kube, cluster):
    """A cluster that never heard of us, with Kueue. Afterwards nothing is left of the story, however it ended."""
    real_cluster.localcluster("kueue", "up")
    kube.kubectl("delete", "crd", *KINDS, "--ignore-not-found")
    kube.kubectl("delete", "namespace", real_cluster.RELEASE_NAMESPACE)
    nothing_is_left(kube)
    yield
    kube.kubectl("delete", "crd", *KINDS, "--ignore-not-found")
    kube.kubectl("delete", "namespace", *TENANTS, "--ignore-not-found")
    kube.kubectl("label", "node", cluster["nodes"][0]["name"], "gpu-")


@pytest.fixture
def book(bare, cluster, images, before):
    """The book, with names of here for what it leaves to the reader; 0.1.0 is an operator of an earlier commit."""
    trainer = "registry.example/finetune-trainer:"
    names = {
        "registry.example/finetune-operator:0.1.0": before.image,
        "registry.example/finetune-operator:0.2.0": images["operator"],
        f"{trainer}0.1.0": images["trainer"],
        f"{trainer}0.2.0": images["trainer"],
        "label node NODE": f"label node {cluster['nodes'][0]['name']}",
    }
    return admin_book.Book(cluster["kubeconfig"], pathlib.Path(cluster["tools"]["kubectl"]).parent, names)


@pytest.fixture
def buckets(cluster) -> dict[str, stories.Bucket]:
    """One for each tenant, and one with the model. Of an earlier run nothing is in them."""
    made = {}
    for name in (*TENANTS, "shared-models"):
        real_cluster.localcluster("s3-bucket", name)
        made[name] = stories.Bucket(cluster["s3"], name)
        made[name].clear()
    for file in sorted(trainer_tiny_model.folder().iterdir()):
        made["shared-models"].put(f"tiny/{file.name}", file.read_bytes())
    rows = stories.jsonl(stories.TALK)
    made["team-a"].put("talk.jsonl", rows)
    made["team-b"].put("bad.jsonl", rows + b'{"messages": [{"role": "user", "content": "unfinished}\n')
    made["team-b"].put("mended.jsonl", rows)
    return made


def nothing_is_left(kube) -> None:
    """No kind of ours is served, and no object is ours, whatever its kind."""
    stories.wait_until(lambda: traces(kube), lambda left: not left, what="nothing to be left", seconds=120)
    stories.wait_until(
        lambda: kube.kubectl("api-resources", "--api-group=finetune.dev", "-o", "name"),
        lambda served: not served,
        what="our kinds not to be served any more",
        seconds=30,
    )


def traces(kube) -> list[str]:
    """Objects with our name or our operator's label; Events tell the past."""
    kinds = kube.kubectl("api-resources", "--verbs=list", "-o", "name").split()
    known = ",".join(kind for kind in kinds if not kind.startswith("events") and "metrics.k8s.io" not in kind)
    every = ("get", known, "-A", "-o", "name", "--ignore-not-found")
    named = [one for one in kube.kubectl(*every).split() if OURS in one]
    return named + kube.kubectl(*every, "-l", CHILDREN).split()


def test_from_nothing_to_nothing_by_the_book(*, book, before, buckets, kube, tmp_path):
    book.follow("helm install finetune-operator", before.folder)
    tells_of_tenants(book, kube, buckets)
    with prometheus_server.running(kube, tmp_path) as prometheus:
        timeline = Timeline(kube, *TENANTS)
        jobs_of_two_tenants(book, timeline, kube)
        assert buckets["team-a"].weights("adapters/team-a/support")
        the_bill(book, timeline, prometheus)
        an_alert(book, kube, prometheus)
    book.follow("kubectl get finetuneprofiles,ftj -A -o yaml", tmp_path)
    assert "name: support" in (tmp_path / "finetune-backup.yaml").read_text()

    book.follow("helm uninstall")
    assert {job["metadata"]["name"] for job in kube.list("ftj", "team-b")} == {"faq", "faq-mended"}
    book.follow("kubectl delete ftj --all -A")
    nothing_is_left(kube)
    assert book.left() == []


def tells_of_tenants(book, kube, buckets) -> None:
    """What docs/admin/tenants.md and docs/kueue.md have an admin do for each."""
    book.follow("kubectl label node")
    for one in admin_book.objects("admin/tenants.md"):
        if one["metadata"]["name"] == "large":
            one["spec"]["gpu"]["simulated"] = True
            one["spec"]["env"] = [SLOW]
        if one["kind"] == "FineTuneProfile":
            kube.apply(one)
    for tenant in TENANTS:
        for block in ("kubectl create namespace", "kubectl label namespace", "kubectl annotate namespace"):
            book.follow(block, **{"team-a": tenant})
        kube.kubectl("label", "namespace", tenant, "kueue-managed=true")
        kube.apply(buckets[tenant].secret(tenant))
    made = [*admin_book.objects("kueue.md"), queues.local_queue("team-b", "four-gpus")]
    stories.wait_until(
        lambda: kube.run("kubectl", "apply", "-f", "-", stdin=real_cluster.listed(made)),
        lambda done: done.returncode == 0,
        what="Kueue's webhooks to answer",
        seconds=120,
    )


def apply_as_author(kube, tenant: str, name: str, data: str, steps: int, **scheduling: Any) -> None:
    """A job of four GPUs, by somebody of that tenant."""
    manifest = stories.finetunejob(
        name,
        tenant,
        bucket=tenant,
        profile="large",
        model={"uri": "s3://shared-models/tiny", "credentialsSecretRef": {"name": "bucket"}},
        dataset={"train": [{"uri": f"s3://{tenant}/{data}"}], "evalFraction": 0.1},
        training={"maxSteps": steps, "globalBatchSize": 4, "maxLength": 128},
        checkpoint={"everySteps": 30},
        scheduling={"queueName": queues.QUEUE, **scheduling},
    )
    manifest["spec"]["resources"]["gpusPerNode"] = 4
    author = ("--as=ada", f"--as-group={tenant}", "--as-group=system:authenticated")
    stories.wait_until(
        lambda: kube.run("kubectl", "apply", *author, "-f", "-", stdin=json.dumps(manifest)),
        lambda done: done.returncode == 0,
        what="the role edit to hold our rights",
        seconds=15,
    )


def jobs_of_two_tenants(book, timeline, kube) -> None:
    """One job each: the first trains on while the operator is upgraded; the second fails, and mended preempts the first."""
    apply_as_author(kube, "team-a", "support", "talk.jsonl", STEPS)
    apply_as_author(kube, "team-b", "faq", "bad.jsonl", 4)
    faq = timeline.wait("faq", stories.ended, "end", seconds=SECONDS)
    assert stories.says(faq).startswith("InvalidRow: ")
    assert "bad.jsonl line 41" in stories.says(faq)
    timeline.wait("support", is_heard, "train", seconds=SECONDS)
    pod = one_run.pod(kube, "team-a", "support")["metadata"]
    assert '"stage"' in book.runbook("FineTuneTrainingStands", NAMESPACE="team-a", POD=pod["name"])

    timeline.says("-- the operator is upgraded")
    book.follow("helm upgrade finetune-operator")
    assert one_run.pod(kube, "team-a", "support")["metadata"]["uid"] == pod["uid"]

    apply_as_author(kube, "team-b", "faq-mended", "mended.jsonl", 4, workloadPriorityClassName="urgent")
    timeline.wait("support", in_state("Queued"), "make room", seconds=SECONDS)
    assert "team-a/support: " in book.runbook("FineTuneJobsQueuedLong")
    mended = timeline.wait("faq-mended", stories.ended, "end", seconds=SECONDS)
    other_runbooks(book)
    support = timeline.wait("support", stories.ended, "end", seconds=SECONDS)
    assert [mended["status"]["state"], support["status"]["state"]] == ["Succeeded"] * 2, stories.says(support)
    stopped, resumed = stories.training_attempts(support)
    assert (stopped["outcome"], stopped["reason"]) == ("Interrupted", "Preempted")
    assert (resumed["outcome"], resumed["resumes"]) == ("Succeeded", 1)


def is_heard(job: dict[str, Any]) -> bool:
    """The operator heard its training pod, or it is over. A pod that only runs need not answer yet."""
    return "progress" in job.get("status", {}) or stories.ended(job)


def in_state(state: str) -> Any:
    """A job that has come to it; or it is over."""
    return lambda job: job.get("status", {}).get("state") == state or stories.ended(job)


def the_bill(book, timeline, prometheus) -> None:
    """GPU time and price of each tenant: as its jobs say, and as Prometheus adds it up."""
    (block,) = page_blocks.of_language((admin_book.DOCS / "admin" / "tenants.md").read_text(), "promql")
    hours, cost = block.splitlines()
    for tenant in TENANTS:
        used = [
            job["status"]["usage"]
            for job in timeline.look().values()
            if job["metadata"]["namespace"] == tenant and "usage" in job["status"]
        ]
        said = book.follow("kubectl get ftj -n team-a -o custom-columns", **{"team-a": tenant})
        assert all(f" {one['gpuSeconds']:g} " in said and "EUR" in said for one in used)
        seconds, price = sum(one["gpuSeconds"] for one in used), sum(one["cost"] for one in used)
        assert min(seconds, price) > 0
        # An increase is extrapolated to both sides of what was seen, by less than a scrape each.
        expected = pytest.approx((seconds / 3600, price), rel=0.05)
        stories.wait_until(
            lambda tenant=tenant: (
                prometheus.values(hours)[tenant,],
                prometheus.values(cost)["EUR", tenant],
            ),
            lambda told, expected=expected: told == expected,
            what=f"Prometheus to have seen {seconds} GPU seconds and {price} EUR of {tenant}",
            seconds=10,
        )


def an_alert(book, kube, prometheus) -> None:
    """A wrong setting, and no operator is left: the alert fires, its runbook shows the sentence, a rollback cures it."""
    assert prometheus.firing() == set()
    words = ("upgrade", real_cluster.RELEASE, str(real_cluster.CHART), "-n", real_cluster.RELEASE_NAMESPACE)
    kube.helm(*words, "--reset-then-reuse-values", *(word for one in WRONG for word in ("--set", one)))
    stories.wait_until(
        prometheus.firing, lambda alerts: alerts == {"FineTuneOperatorDown"}, what="the alert", seconds=90
    )
    stories.wait_until(lambda: restarts(kube), any, what="the kubelet to start it again", seconds=60)
    said = book.runbook("FineTuneOperatorDown")
    assert "finetune-operator: FINETUNE_RESYNC_INTERVAL is 'often': " in said
    book.follow("helm rollback")
    stories.wait_until(prometheus.firing, lambda alerts: not alerts, what="no alert", seconds=90)


def restarts(kube) -> list[int]:
    """Of the operator's containers."""
    pods = kube.list("pods", real_cluster.RELEASE_NAMESPACE, "app.kubernetes.io/name=finetune-operator")
    return [one["restartCount"] for pod in pods for one in pod["status"].get("containerStatuses", [])]


def other_runbooks(book) -> None:
    """Those of alerts that do not fire here; what they show that is known here."""
    for alert, shown in (
        ("FineTuneOperatorNotLeading", "\nyes\n"),
        ("FineTuneOperatorErrors", ""),
        ("FineTuneApiServerTroubled", "readyz check passed"),
        ("FineTuneOperatorBehind", '"memory":"512Mi"'),
        ("FineTuneJobsDoNotStart", ""),
        ("FineTuneAttemptsFail", "InvalidRow"),
    ):
        assert shown in book.runbook(alert)
    assert "support" in book.runbook("FineTuneGpuTimeWasted", NAMESPACE="team-a")
