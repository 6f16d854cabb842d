"""A FineTuneJob from `kubectl apply` to an adapter in the bucket, and what a user may do with it afterwards."""

import hashlib
import json
import pathlib
import subprocess

import pytest

import stories

SECONDS = 420


@pytest.fixture(scope="module")
def finished(kube, bucket, make_namespace):
    """One job that has succeeded, its namespace, and the states it was seen in."""
    namespace = make_namespace("one-job")
    manifest = stories.finetunejob(
        "talk",
        namespace,
        bucket=bucket.name,
        evaluation={"samples": ["What is 2 plus 2?"], "maxNewTokens": 8},
    )
    kube.apply(manifest)
    seen: list[str] = []

    def look():
        job = kube.get("ftj", "talk", namespace)
        seen.append(job.get("status", {}).get("state", ""))
        return job

    job = stories.wait_until(look, stories.ended, what="the job to end", seconds=SECONDS)
    assert job["status"]["state"] == "Succeeded", stories.says(job)
    return {"namespace": namespace, "manifest": manifest, "job": job, "states": seen}


def test_status_tells_what_happened_and_how_good_it_got(finished):
    status = finished["job"]["status"]

    assert status["observedGeneration"] == finished["job"]["metadata"]["generation"]
    assert status["dataset"]["rows"] == 36
    assert status["dataset"]["evalRows"] == 4
    assert status["dataset"]["digest"].startswith("sha256:")
    assert status["resolved"]["totalSteps"] == 4
    assert status["progress"]["text"] == "4/4"
    assert status["evaluation"]["rows"] == 4
    assert status["evaluation"]["tuned"]["loss"] < status["evaluation"]["base"]["loss"]
    assert status["adapter"]["uri"] == finished["manifest"]["spec"]["output"]["uri"]
    assert status["adapter"]["rank"] == 4
    assert status["adapter"]["serving"]
    assert [(one["stage"], one["outcome"]) for one in status["attempts"]] == [
        ("Prepare", "Succeeded"),
        ("Train", "Succeeded"),
    ]
    assert status["completionTime"] > status["startTime"]


def test_conditions_are_what_kstatus_reads_as_current(finished):
    conditions = {one["type"]: one["status"] for one in finished["job"]["status"]["conditions"]}

    assert conditions["Ready"] == "True"
    assert conditions.get("Reconciling", "False") == "False"
    assert conditions.get("Stalled", "False") == "False"
    for kind in ("Accepted", "Prepared", "Published", "Succeeded"):
        assert conditions[kind] == "True"


def test_it_was_seen_preparing_and_running(finished):
    assert {"Preparing", "Running"} <= set(finished["states"])


def test_kubectl_get_shows_the_columns(finished, kube):
    header, row = kube.kubectl("get", "ftj", "-n", finished["namespace"]).splitlines()

    assert header.split() == ["NAME", "STATE", "PROGRESS", "LOSS", "ETA", "AGE"]
    assert row.split()[:3] == ["talk", "Succeeded", "4/4"]


def test_applying_again_changes_nothing(finished, kube):
    before = kube.get("ftj", "talk", finished["namespace"])["metadata"]["resourceVersion"]

    said = kube.apply(finished["manifest"])

    assert "unchanged" in said
    assert kube.get("ftj", "talk", finished["namespace"])["metadata"]["resourceVersion"] == before


def test_each_transition_is_an_event(finished, kube):
    reasons = {
        one["reason"]
        for one in kube.list("events", finished["namespace"])
        if one["involvedObject"]["name"] == "talk"
    }

    assert {"Accepted", "Prepared", "Starting", "Published"} <= reasons


def test_the_manifest_names_every_file_with_its_checksum(finished, bucket):
    prefix = finished["job"]["status"]["adapter"]["uri"].removeprefix(f"s3://{bucket.name}/")
    content = bucket.get(f"{prefix}/finetune-manifest.json")
    manifest = json.loads(content)

    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    assert digest == finished["job"]["status"]["adapter"]["digest"]
    assert manifest["job"]["uid"] == finished["job"]["metadata"]["uid"]
    published = {key.removeprefix(prefix + "/") for key in bucket.keys(prefix)} - {"finetune-manifest.json"}
    assert published == set(manifest["files"])
    for name, facts in manifest["files"].items():
        file = bucket.get(f"{prefix}/{name}")
        assert hashlib.sha256(file).hexdigest() == facts["sha256"], name
        assert len(file) == facts["size"]
        for path_of_the_pod in (b"/scratch", b"/etc/finetune", b"/mnt/claims"):
            assert path_of_the_pod not in file, name


def test_the_adapter_loads_with_peft_alone(finished, bucket, tmp_path):
    prefix = finished["job"]["status"]["adapter"]["uri"].removeprefix(f"s3://{bucket.name}/")
    for folder, source in (("adapter", prefix), ("base", "models/tiny")):
        for key in bucket.keys(source):
            file = tmp_path / folder / key.removeprefix(source + "/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(bucket.get(key))

    said = loaded_in_a_fresh_venv(tmp_path)

    assert said == {"trained": True, "base": f"s3://{bucket.name}/models/tiny"}


LOAD = """
import json, peft, torch, transformers
base = transformers.AutoModelForCausalLM.from_pretrained("base")
ids = torch.tensor([[5, 6, 7, 8]])
before = base(ids).logits
tuned = peft.PeftModel.from_pretrained(base, "adapter")
changed = not torch.equal(before, tuned(ids).logits)
print(json.dumps({"trained": changed, "base": tuned.peft_config["default"].base_model_name_or_path}))
"""


def loaded_in_a_fresh_venv(folder: pathlib.Path):
    """Load base and adapter in a virtual environment that has peft and what peft needs, and nothing of ours."""
    root = pathlib.Path(__file__).resolve().parents[2]
    venv = folder / "venv"
    uv = str(root / ".venv" / "bin" / "uv")
    pins = ["-c", str(folder / "pins.txt")]
    lines = (root / "requirements.lock").read_text().splitlines()
    (folder / "pins.txt").write_text("\n".join(line.rstrip(" \\") for line in lines if "==" in line))
    subprocess.run([uv, "venv", "-q", "--python", "3.11", str(venv)], check=True)
    subprocess.run([uv, "pip", "install", "-q", "--python", str(venv), *pins, "peft"], check=True)
    done = subprocess.run(
        [str(venv / "bin" / "python"), "-c", LOAD], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_deleting_a_job_removes_its_children_and_hangs_on_nothing(kube, bucket, namespace):
    kube.apply(stories.finetunejob("gone", namespace, bucket=bucket.name))
    stories.wait_until(lambda: kube.list("jobs", namespace), bool, what="the Prepare Job", seconds=60)

    kube.kubectl("delete", "ftj", "gone", "-n", namespace, "--timeout=20s")

    for kind in ("jobs", "configmaps", "pods"):
        stories.wait_until(
            lambda kind=kind: [
                one["metadata"]["name"]
                for one in kube.list(kind, namespace)
                if one["metadata"]["name"].startswith("gone-")
            ],
            lambda left: not left,
            what=f"the {kind} to go",
            seconds=90,
        )


def test_a_job_that_holds_nothing_out_succeeds_without_an_evaluation(kube, bucket, namespace):
    dataset = {"train": [{"uri": f"s3://{bucket.name}/data/talk.jsonl"}], "evalFraction": 0}
    kube.apply(stories.finetunejob("all-in", namespace, bucket=bucket.name, dataset=dataset))

    job = stories.wait_until(
        lambda: kube.get("ftj", "all-in", namespace), stories.ended, what="the job to end", seconds=SECONDS
    )

    assert job["status"]["state"] == "Succeeded", stories.says(job)
    assert job["status"]["dataset"]["rows"] == 40
    assert "evaluation" not in job["status"]
