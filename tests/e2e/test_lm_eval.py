"""Tasks of lm-eval in pods: in an image that has it they are asked and told, in any other one Prepare says what is missing."""

import json

import pytest

import real_cluster
import stories

pytestmark = pytest.mark.timeout(900)
SECONDS = 420
ROWS = [
    {"a": a, "b": b, "answers": [str(a + b), str(a - b)], "right": str(a + b)}
    for a in range(2, 6)
    for b in (1, 2)
]


@pytest.fixture(scope="module")
def profile(kube, images):
    """A profile whose image is the trainer's of this checkout, with lm-eval."""
    if "/trainer:" not in images["trainer"]:
        pytest.skip("builds on an image of this machine; only the local cluster has one")
    tag = images["trainer"].rpartition(":")[2]
    with pytest.MonkeyPatch.context() as environ:
        environ.setenv("BASE_IMAGE", f"localhost/trainer:{tag}")
        said = real_cluster.localcluster("images", f"lm-eval={real_cluster.ROOT / 'lm-eval-image'}")
    made = {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneProfile",
        "metadata": {"name": "with-lm-eval"},
        "spec": {"image": json.loads(said.splitlines()[-1])["lm-eval"]},
    }
    kube.apply(made)
    yield made["metadata"]["name"]
    kube.kubectl("delete", "finetuneprofile", "with-lm-eval")


@pytest.fixture
def asking(bucket):
    """The evaluation that asks sums as a task of lm-eval."""
    bucket.put("data/sums.jsonl", stories.jsonl(ROWS))
    task = {
        "name": "sums",
        "data": {"uri": f"s3://{bucket.name}/data/sums.jsonl"},
        "prompt": "What is {a} plus {b}?",
        "target": "right",
        "multipleChoice": {"choicesColumn": "answers", "metrics": ["acc", "accNorm"]},
        "fewShot": 1,
    }
    return {"tasks": [task], "gate": ["tuned.sumsAcc <= 1"], "maxNewTokens": 8}


def done(kube, manifest):
    """The job once it is over."""
    kube.apply(manifest)
    name, namespace = manifest["metadata"]["name"], manifest["metadata"]["namespace"]
    return stories.wait_until(
        lambda: kube.get("ftj", name, namespace), stories.ended, what="the job to end", seconds=SECONDS
    )


def test_an_image_with_lm_eval_asks_base_and_tuned(kube, bucket, namespace, profile, asking):
    job = done(
        kube,
        stories.finetunejob("sums", namespace, bucket=bucket.name, evaluation=asking, profile=profile),
    )

    assert job["status"]["state"] == "Succeeded", stories.says(job)
    for side in ("base", "tuned"):
        found = job["status"]["evaluation"][side]["other"]
        assert set(found) == {"sumsAcc", "sumsAccNorm"}
        assert all(0 <= value <= 1 for value in found.values())
    card = bucket.get(f"adapters/{namespace}/sums/README.md").decode()
    assert "| sumsAcc | " in card


def test_an_image_without_it_ends_in_prepare(kube, bucket, namespace, asking):
    job = done(kube, stories.finetunejob("sums", namespace, bucket=bucket.name, evaluation=asking))

    assert job["status"]["state"] == "Failed"
    assert (
        "does not have lm-eval; use a FineTuneProfile whose image is made from lm-eval-image"
        in stories.says(job)
    )
    assert not stories.training_attempts(job)
