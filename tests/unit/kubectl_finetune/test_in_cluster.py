"""`chat JOB` and `serve JOB` with a pod of their own: what is made, what is said where it fails, and that nothing is left."""

import json

import pytest

import fake_api_server
import talking_pods
import terminal
from finetune_operator.api.running import Scheduling
from finetune_trainer.layout import Layout
from finetune_trainer.talking import __main__ as trainer
from kubectl_finetune.errors import Exit
from kubectl_finetune.talking import pod as pods

ASK = ("chat", "support-bot", "--prompt", "Who are you?")


def waiting(reason, message):
    state = {"waiting": {"reason": reason, "message": message}}
    return {"phase": "Pending", "containerStatuses": [{"name": "trainer", "state": state}]}


def ended(code, message="", reason="Error"):
    state = {"terminated": {"exitCode": code, "message": message, "reason": reason}}
    return {"phase": "Failed", "containerStatuses": [{"name": "trainer", "state": state}]}


async def test_both_answer_and_the_pod_is_removed(server, shell, job, talking_pod, tmp_path):
    done = await shell.run(*ASK, "-o", "json")

    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {
        "prompt": "Who are you?", "base": "base of Who are you?", "tuned": "tuned of Who are you?"
    }  # fmt: skip
    (made,) = talking_pod
    assert server.all("pods") == []
    assert f"started the pod {made['metadata']['name']}, which is removed at the end\n" in done.stderr
    words = (tmp_path / "words").read_text().split()
    assert words[0] == "port-forward"
    assert words[-2:] == [f"pod/{made['metadata']['name']}", ":8000"]
    assert words[words.index("--namespace") + 1] == "team-a"


async def test_the_pod_is_the_training_pods_with_a_net_under_it(server, shell, job, talking_pod):
    await shell.run(*ASK, "--memory", "3Gi", "--image", "registry/trainer:2")

    (made,) = talking_pod
    (owner,) = made["metadata"]["ownerReferences"]
    spec = made["spec"]
    (container,) = spec["containers"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("FineTuneJob", "uid-support-bot", False)
    assert spec["activeDeadlineSeconds"] == 8 * 3600
    assert spec["securityContext"]["runAsNonRoot"]
    assert not spec["automountServiceAccountToken"]
    assert container["image"] == "registry/trainer:2"
    assert container["resources"]["limits"] == {"memory": "3Gi"}
    assert container["args"][:4] == ["--run", "/etc/finetune/run.json", "--host", "127.0.0.1"]
    keys = {"secretName": "bucket", "optional": True, "defaultMode": 0o440}
    assert {"name": "secret-0", "secret": keys} in spec["volumes"]
    assert "finetune.dev/job-uid" not in made["metadata"]["labels"], "the operator counts it as its own"


@pytest.mark.parametrize(("asked", "given"), [((), "1"), (("--gpus", "2"), "2"), (("--gpus", "0"), None)])
async def test_one_gpu_is_enough_where_the_job_has_several(server, shell, talking_pod, asked, given):
    talking_pods.put_job(server, resources={"gpusPerNode": 8})

    await shell.run(*ASK, *asked)

    assert talking_pod[0]["spec"]["containers"][0]["resources"]["limits"].get("nvidia.com/gpu") == given


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (waiting("ErrImagePull", "no such tag"), 69, "cannot start: ImagePullFailed: the trainer image cannot be pulled"),
        (waiting("CreateContainerConfigError", 'configmap "x-run" not found'), 69, "ConfigMapMissing"),
        (ended(64, json.dumps({"version": 1, "stage": "Talk", "reason": "ModelChanged", "message": "other files"})),
         64, "error: other files"),
        (ended(137, reason="OOMKilled"), 86, "the pod has too little memory for the models; give it more with --memory"),
        (ended(1), 69, "the image registry/trainer:1 cannot serve, it is older than this command"),
        (ended(139), 69, "has ended (exit code 139)"),
    ],
    ids=["image", "config-map", "last-word", "memory", "old-image", "crash"],
)  # fmt: skip
async def test_why_it_does_not_start_is_one_sentence_and_nothing_is_left(
    server, shell, job, becomes, *, status, code, said
):
    becomes(status)

    done = await shell.run(*ASK)

    assert (done.exit_code, server.all("pods")) == (code, [])
    error = done.stderr.splitlines()[-1]
    assert error.startswith("error: ")
    assert said in error


async def test_a_pod_that_has_no_node_yet_is_waited_for(server, shell, job, becomes):
    unscheduled = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/3 nodes",
    }
    becomes({"phase": "Pending", "conditions": [unscheduled]})
    server.faults.append(fake_api_server.Fault("GET", "pods", 404, skip=1, message="gone"))

    done = await shell.run(*ASK)

    assert "waiting for the pod: Unschedulable: no node can take it; " in done.stderr
    assert "or ask the cluster's admin (Kubernetes says: 0/3 nodes)\n" in done.stderr
    assert "somebody has removed the pod" in done.stderr


@pytest.mark.parametrize(
    ("verb", "plural", "status", "message", "code", "said"),
    [
        ("POST", "pods", 403, "no", 77, "no; ask the cluster's admin for the right; or use --here, which makes no pod"),
        ("POST", "pods", 403, "exceeded quota: gpus", 75, "the quota is used up in the namespace 'team-a': exceeded quota"),
        ("GET", "configmaps", 403, "no", 77, "you may not read the ConfigMap"),
        ("GET", "configmaps", 404, "gone", 66, "cannot read the ConfigMap"),
    ],
)  # fmt: skip
async def test_rights_and_quota(server, shell, job, *, verb, plural, status, message, code, said):
    server.faults.append(fake_api_server.Fault(verb, plural, status, message=message))

    done = await shell.run(*ASK)

    assert (done.exit_code, done.stderr.count("\n"), server.all("pods")) == (code, 1, [])
    assert said in done.stderr


async def test_a_job_that_still_runs_has_nothing_to_talk_with(server, shell):
    terminal.job(server)

    done = await shell.run(*ASK)

    assert done.exit_code == Exit.NOT_YET
    assert "support-bot has not ended yet (Running), so there is no result yet" in done.stderr


async def test_a_tunnel_that_is_forbidden_is_said_and_the_pod_removed(server, shell, job, becomes, kubectl):
    becomes(talking_pods.RUNNING)
    kubectl("Error from server (Forbidden): pods is forbidden")

    done = await shell.run(*ASK)

    assert (done.exit_code, server.all("pods")) == (77, [])
    assert (
        "the pod cannot be reached (kubectl port-forward says: Error from server (Forbidden)" in done.stderr
    )


async def test_a_pod_that_cannot_be_removed_is_named(server, shell, job, talking_pod):
    server.faults.append(fake_api_server.Fault("DELETE", "pods", 403, message="no"))

    done = await shell.run(*ASK)

    assert done.exit_code == 0
    assert "could not be removed (you may not remove the pod" in done.stderr
    assert "kubectl delete pod " in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("chat", ".", "--in-cluster"), "--in-cluster: . is a folder on this machine"),
        (("chat", "support-bot", "--base", "x"), "--base: the pod uses the job's base model"),
        (("chat", "support-bot", "--here", "--gpus", "1"), "--gpus is for the pod only"),
        (("serve", "support-bot", "--engine", "vllm", "--port", "0"), "--engine vllm works on this machine: use --here"),
    ],
)  # fmt: skip
async def test_flags_that_do_not_go_together(server, shell, job, words, said):
    done = await shell.run(*words)

    assert (done.exit_code, done.stderr.count("\n")) == (64, 1)
    assert said in done.stderr


def test_the_arguments_are_those_that_the_trainer_takes():
    made = pods.manifest(talking_pods.OWNER, talking_pods.planned(), Scheduling())

    (container,) = made["spec"]["containers"]
    asked = trainer.parser().parse_args(container["args"])
    assert container["command"] == ["python", "-m", trainer.__spec__.parent]
    assert (asked.run, asked.host, asked.port) == (Layout().run, "127.0.0.1", pods.PORT)
