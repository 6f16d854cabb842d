"""A pipeline's view: applied again and again, by several tools, a job stays what it is; and its end can be waited for."""

import json
import subprocess

import pytest
import yaml

import gitops_states
import page_blocks
import real_cluster

ROUNDS = 20
MANAGERS = ("kustomize-controller", "argocd-controller")
PAGE = (gitops_states.ARGO.parents[2] / "docs" / "gitops.md").read_text()


def has_status(kube, namespace, recording, name="support-bot"):
    """As the operator would write it."""
    status = gitops_states.recorded()[recording]["status"]
    for condition in status.get("conditions", []):
        condition["observedGeneration"] = 1
    patch = json.dumps({"status": {**status, "observedGeneration": 1}})
    kube.kubectl("patch", "ftj", name, "-n", namespace, "--subresource=status", "--type=merge", "-p", patch)


def job_of_the_page(namespace):
    manifest = yaml.safe_load(page_blocks.files(PAGE)["fine-tuning/finetunejob.yaml"])
    manifest["metadata"]["namespace"] = namespace
    return manifest


def test_twenty_times_by_two_tools_changes_nothing(kube, namespace):
    folder = real_cluster.listed([job_of_the_page(namespace)])
    seen = []
    for turn in range(ROUNDS):
        for manager in MANAGERS:
            kube.kubectl("apply", "--server-side", f"--field-manager={manager}", "-f", "-", stdin=folder)
        if turn == 0:
            has_status(kube, namespace, "running")
        metadata = kube.get("ftj", "support-bot", namespace)["metadata"]
        seen.append((metadata["generation"], metadata["resourceVersion"], metadata["uid"]))
    assert set(seen) == {seen[0]}
    assert seen[0][0] == 1
    diff = kube.run(
        "kubectl", "diff", "--server-side", f"--field-manager={MANAGERS[0]}", "-f", "-", stdin=folder
    )
    assert (diff.returncode, diff.stdout) == (0, ""), diff.stderr


def test_the_status_is_the_operators(kube, namespace):
    """A status that lies in Git is not taken from there."""
    manifest = {**job_of_the_page(namespace), "status": {"state": "Succeeded", "observedGeneration": 1}}
    kube.kubectl("apply", "--server-side", "--field-manager=x", "-f", "-", stdin=json.dumps(manifest))
    assert kube.get("ftj", "support-bot", namespace)["status"] == {"observedGeneration": -1}


def test_a_changed_spec_is_refused_with_what_to_do(kube, namespace):
    kube.apply(job_of_the_page(namespace))
    changed = job_of_the_page(namespace)
    changed["spec"]["model"]["uri"] = "hf://Qwen/Qwen3-1.7B"
    assert "apply it under a new metadata.name" in kube.refusal(changed)


@pytest.mark.parametrize(("recording", "code"), [("published", 0), ("bad-data", 1)])
def test_the_pages_pipeline_ends_with_the_job(recording, code, kube, namespace, tmp_path):
    (pipeline,) = [one for one in page_blocks.commands(PAGE) if "kubectl wait" in one]
    (tmp_path / "finetunejob.yaml").write_text(real_cluster.listed([job_of_the_page(namespace)]))
    kube.apply(job_of_the_page(namespace))
    has_status(kube, namespace, recording)
    kubectl = f"{kube.tools['kubectl']} --kubeconfig {kube.kubeconfig} -n {namespace}"
    script = pipeline.replace("kubectl ", f"{kubectl} ").replace("24h", "20s")
    done = subprocess.run(["bash", "-euc", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    if code:
        assert "NoAssistantTurn" in done.stdout


def test_the_pages_pipeline_waits_for_a_job_that_trains(kube, namespace, tmp_path):
    kube.apply(job_of_the_page(namespace))
    has_status(kube, namespace, "running")
    done = kube.run(
        "kubectl",
        "wait",
        "ftj/support-bot",
        "--for=condition=Reconciling=False",
        "--timeout=2s",
        "-n",
        namespace,
    )
    assert "timed out" in done.stderr
