"""SFT, then DPO from its adapter: both applied at the same moment."""

import json

import pytest

import stories
from finetune_trainer.start_adapter import CONFIG, WEIGHTS

pytestmark = pytest.mark.timeout(1200)  # two jobs, one after the other
SECONDS = 840
SMALL = {"maxSteps": 2, "globalBatchSize": 4, "maxLength": 128}
PAIRS = [
    {"prompt": f"What is {a} plus {b}?", "chosen": f"{a} plus {b} is {a + b}.", "rejected": "No idea."}
    for a in range(6)
    for b in range(4)
]


def test_the_second_stage_waits_for_the_first_and_goes_on_from_its_adapter(kube, bucket, make_namespace):
    namespace = make_namespace("two-stages")
    bucket.put("data/pairs.jsonl", stories.jsonl(PAIRS))
    first = stories.finetunejob("first", namespace, bucket=bucket.name, training=SMALL)
    second = stories.finetunejob(
        "second",
        namespace,
        bucket=bucket.name,
        method="DPO",
        model={**first["spec"]["model"], "adapterFrom": {"jobRef": {"name": "first"}}},
        dataset={"train": [{"uri": f"s3://{bucket.name}/data/pairs.jsonl"}], "evalFraction": 0.2},
        tuning={},
        training=SMALL,
    )
    kube.apply(second, first)

    seen: list[tuple[str, str]] = []

    def look():
        job = kube.get("ftj", "second", namespace)
        accepted = stories.condition(job, "Accepted")
        said = (accepted.get("reason", ""), accepted.get("message", ""))
        if said not in seen:
            seen.append(said)
        return job

    job = stories.wait_until(look, stories.ended, what="the second job to end", seconds=SECONDS)

    assert job["status"]["state"] == "Succeeded", stories.says(job)
    waited = dict(seen)
    assert waited["WaitingForJob"] == (
        "spec.model.adapterFrom.jobRef: FineTuneJob 'first', whose adapter is needed, has not ended yet (this job waits)"
    )
    assert seen[-1][0] == "Accepted"
    done = kube.get("ftj", "first", namespace)["status"]
    assert job["status"]["startTime"] >= done["completionTime"]
    assert job["status"]["adapter"]["rank"] == done["adapter"]["rank"] == 4
    evaluation = job["status"]["evaluation"]
    assert round(evaluation["start"]["loss"], 4) == 0.6931
    assert evaluation["tuned"]["loss"] != evaluation["start"]["loss"]

    published = bucket.keys(f"adapters/{namespace}/second")
    assert not [key for key in published if "/ref" in key]
    settings = json.loads(bucket.get(f"adapters/{namespace}/second/{CONFIG}"))
    assert settings["base_model_name_or_path"] == f"s3://{bucket.name}/models/tiny"
    assert bucket.get(f"adapters/{namespace}/second/{WEIGHTS}") != bucket.get(
        f"adapters/{namespace}/first/{WEIGHTS}"
    )
    manifest = json.loads(bucket.get(f"adapters/{namespace}/second/finetune-manifest.json"))
    assert manifest["startedFrom"]["uri"] == first["spec"]["output"]["uri"]
