"""What the API server makes of a FineTuneJob by itself: defaults, columns, nothing to write the second time."""

import json
import time

import pytest
import yaml

import real_cluster


@pytest.fixture(scope="module")
def api():
    return real_cluster.api_server()


@pytest.fixture
def place(api):
    with api.fresh_namespace() as name:
        yield name


def settled_version(api, place, name="support-bot"):
    """The resourceVersion, once an operator that may be there has said what it has to say."""

    def version():
        return api.get("ftj", name, place)["metadata"]["resourceVersion"]

    for _ in range(20):
        before = version()
        time.sleep(1.5)
        if before == version():
            return before
    raise AssertionError("somebody writes this job again and again")


def dry_run(api, *manifests):
    """What the API server would store."""
    text = real_cluster.listed(manifests)
    return json.loads(api.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", stdin=text))


def test_the_shortest_job_is_complete(api, place):
    job = dry_run(api, real_cluster.finetunejob(place))
    spec = job["spec"]
    assert spec["method"] == "SFT"
    assert spec["tuning"]["lora"] == {
        "rank": 16,
        "dropout": 0,
        "targetModules": ["all-linear"],
        "dora": False,
        "rslora": False,
        "modulesToSave": [],
    }
    assert spec["training"]["microBatchSize"] == "Auto"
    assert spec["runPolicy"] == {"suspend": True, "maxAttempts": 3}
    assert spec["dataset"]["train"] == [{"uri": "s3://team-a/tickets.jsonl"}]


def test_nobody_takes_it_for_done_before_the_operator_has_seen_it(api, place):
    assert dry_run(api, real_cluster.finetunejob(place))["status"] == {"observedGeneration": -1}


def test_applied_twice_nothing_changes(api, place):
    job = real_cluster.finetunejob(
        place, training={"epochs": 3, "extra": {"a": [1.5]}}, resources={"cpu": 2, "memory": "4Gi"}
    )
    job["spec"]["profile"] = "no-such-profile"
    api.apply(job)
    before = settled_version(api, place)
    assert api.apply(job) == "finetunejob.finetune.dev/support-bot unchanged"
    assert settled_version(api, place) == before


@pytest.mark.parametrize("managers", [["argocd"], ["argocd", "flux"]])
def test_applied_twice_by_server_side_apply_nothing_changes(api, place, managers):
    text = real_cluster.listed([real_cluster.finetunejob(place)])

    def apply():
        for manager in managers:
            api.kubectl("apply", "--server-side", "--field-manager", manager, "-f", "-", stdin=text)
        return settled_version(api, place)

    apply()
    # Until the first status write the default status is filled in on reading; the API server stores it with the next write.
    status = json.dumps({"status": {"observedGeneration": 0}})
    api.kubectl(
        "patch", "ftj", "support-bot", "-n", place, "--subresource=status", "--type=merge", "-p", status
    )
    assert apply() == apply()


def test_what_may_change_while_it_runs(api, place):
    api.apply(real_cluster.finetunejob(place, training={"extra": {"a": {"b": [1, 2.5]}}}))
    policy = {
        "suspend": True,
        "activeDeadlineSeconds": 10,
        "pendingDeadlineSeconds": 20,
        "stallTimeoutSeconds": 30,
        "ttlSecondsAfterFinished": 40,
    }
    changed = real_cluster.finetunejob(place, training={"extra": {"a": {"b": [1, 2.5]}}}, runPolicy=policy)
    assert api.apply(changed) == "finetunejob.finetune.dev/support-bot configured"
    assert api.get("ftj", "support-bot", place)["spec"]["runPolicy"] == policy | {"maxAttempts": 3}


def test_columns(api, place):
    api.apply(real_cluster.finetunejob(place))
    at = "2026-11-22T10:00:00Z"
    ended = {"status": "True", "reason": "Published", "lastTransitionTime": at, "observedGeneration": 1}
    status = {  # of a job that has ended: an operator that runs here leaves it alone
        "observedGeneration": 1,
        "state": "Succeeded",
        "progress": {"text": "500/500", "loss": 2.31, "eta": "0s"},
        "conditions": [{"type": "Succeeded", **ended}, {"type": "Ready", **ended}],
        "completionTime": at,
    }
    patch = json.dumps({"status": status})
    api.kubectl(
        "patch", "ftj", "support-bot", "-n", place, "--subresource=status", "--type=merge", "-p", patch
    )
    header, row = (line.split() for line in api.kubectl("get", "ftj", "-n", place).splitlines())
    assert header == ["NAME", "STATE", "PROGRESS", "LOSS", "ETA", "AGE"]
    assert row[:5] == ["support-bot", "Succeeded", "500/500", "2.31", "0s"]
    header, row = (line.split() for line in api.kubectl("get", "ftj", "-n", place, "-o", "wide").splitlines())
    assert header[6:] == ["MODEL", "METHOD", "REASON", "ADAPTER"]
    assert row[6:9] == ["hf://Qwen/Qwen3-0.6B", "SFT", "Published"]


def test_all_of_ours_by_one_category_and_by_state(api, place):
    api.apply(real_cluster.finetunejob(place))
    assert "finetunejob.finetune.dev/support-bot" in api.kubectl("get", "finetune", "-n", place, "-o", "name")
    selector = ("get", "ftj", "-n", place, "-o", "name", "--field-selector")
    assert api.kubectl(*selector, "spec.method=SFT") == "finetunejob.finetune.dev/support-bot\n"
    assert api.kubectl(*selector, "spec.method=KTO") == ""


def test_status_is_no_way_to_change_the_spec(api, place):
    api.apply(real_cluster.finetunejob(place))
    patch = json.dumps({"spec": {"method": "KTO"}, "status": {"state": "Suspended"}})
    api.kubectl(
        "patch", "ftj", "support-bot", "-n", place, "--subresource=status", "--type=merge", "-p", patch
    )
    assert api.get("ftj", "support-bot", place)["spec"]["method"] == "SFT"


def test_a_status_that_is_none_is_refused(api, place):
    api.apply(real_cluster.finetunejob(place))
    words = ("patch", "ftj", "support-bot", "-n", place, "--subresource=status", "--type=merge", "-p")
    said = api.run("kubectl", *words, json.dumps({"status": {"state": "Dreaming"}})).stderr
    assert 'status.state: Unsupported value: "Dreaming"' in said


def test_kubectl_explains_every_part(api):
    assert "Settings of the adapters." in api.kubectl("explain", "finetunejob.spec.tuning.lora")
    assert "Rank of the update" in api.kubectl("explain", "ftj.spec.tuning.lora.rank")
    assert "What things cost" in api.kubectl("explain", "finetuneprofile.spec.prices")


def test_every_example_would_be_accepted(api, place):
    found = sorted((real_cluster.ROOT / "examples").rglob("*.yaml"))
    jobs = [
        document
        for path in found
        for document in yaml.safe_load_all(path.read_text())
        if document and document.get("kind") in ("FineTuneJob", "FineTuneProfile")
    ]
    for job in jobs:
        if job["kind"] == "FineTuneJob":
            job["metadata"]["namespace"] = place
        assert dry_run(api, job)["metadata"]["name"] == job["metadata"]["name"]
