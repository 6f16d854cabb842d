"""Builders of Kubernetes objects, one a kind: the shortest valid one, and what the test cares about."""

import base64
import json

DIGEST = "sha256:" + "ab" * 32


def fine_tune_job(
    name="support-bot",
    namespace="team-a",
    *,
    uid="job-uid-1",
    status=None,
    generation=1,
    version="10",
    created="2026-11-22T10:00:00Z",
    **spec,
):
    """A FineTuneJob; keyword arguments go over the spec, nested dicts merged."""
    base = {
        "model": {"uri": "hf://Qwen/Qwen3-0.6B"},
        "dataset": {"train": [{"uri": "s3://team-a/tickets.jsonl"}]},
        "output": {"uri": "s3://team-a/adapters/support-bot", "credentialsSecretRef": {"name": "bucket"}},
        "resources": {"gpusPerNode": 0, "cpu": "2", "memory": "4Gi", "scratch": "10Gi"},
    }
    return {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid,
            "generation": generation,
            "resourceVersion": version,
            "creationTimestamp": created,
        },
        "spec": merged(base, spec),
        "status": status if status is not None else {"observedGeneration": -1},
    }


def fine_tune_profile(name="default", generation=1, **spec):
    return {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneProfile",
        "metadata": {
            "name": name,
            "uid": f"profile-{name}",
            "generation": generation,
            "resourceVersion": "5",
        },
        "spec": spec,
    }


def batch_job(manifest, uid, *, version="20", created="2026-11-22T10:00:00Z", **status):
    """A Job as the API server holds it, from the manifest that we would create."""
    job = json.loads(json.dumps(manifest))
    job["metadata"] |= {"uid": uid, "resourceVersion": version, "creationTimestamp": created}
    job["status"] = status
    return job


def ended(kind="Complete", reason=""):
    """`status` of a Job that is over."""
    return {"conditions": [{"type": kind, "status": "True", "reason": reason}]}


def pod(
    job,
    *,
    name=None,
    uid=None,
    version="30",
    created="2026-11-22T10:00:00Z",
    node="node-1",
    deleting=False,
    index=None,
    **state,
):
    """A pod of `job`, or its pod `index` of several.

    `running=True`; `exit_code=64, word={}`; `waiting=("ErrImagePull", "why")`; `unschedulable="0/3 nodes"`.
    """
    metadata = {
        "name": name or job["metadata"]["name"] + "-x",
        "namespace": job["metadata"]["namespace"],
        "uid": uid or job["metadata"]["uid"] + "-pod",
        "resourceVersion": version,
        "creationTimestamp": created,
        "labels": dict(job["spec"]["template"]["metadata"]["labels"]),
        "ownerReferences": [
            {
                "kind": "Job",
                "name": job["metadata"]["name"],
                "uid": job["metadata"]["uid"],
                "controller": True,
            }
        ],
    }
    if index is not None:
        metadata["labels"]["batch.kubernetes.io/job-completion-index"] = str(index)
    if deleting:
        metadata["deletionTimestamp"] = created if deleting is True else deleting
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"nodeName": node},
        "status": pod_status(**state),
    }


def pod_status(
    *,
    running=False,
    exit_code=None,
    word=None,
    message=None,
    waiting=None,
    unschedulable=None,
    reason=None,
    disrupted=None,
    evicted=None,
    started="2026-11-22T10:00:05Z",
    ended="2026-11-22T10:01:00Z",
    ip="127.0.0.1",
):
    if unschedulable:
        return {
            "phase": "Pending",
            "conditions": [
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "reason": "Unschedulable",
                    "message": unschedulable,
                }
            ],
        }
    status = {"phase": "Pending", "podIP": ip, "conditions": [{"type": "PodScheduled", "status": "True"}]}
    state = {}
    if disrupted:
        status["conditions"].append({"type": "DisruptionTarget", "status": "True", "reason": disrupted})
    if waiting:
        state = {"waiting": {"reason": waiting[0], "message": waiting[1]}}
    elif running:
        status["phase"], state = "Running", {"running": {"startedAt": started}}
    elif exit_code is not None:
        status["phase"] = "Succeeded" if exit_code == 0 else "Failed"
        said = message if message is not None else json.dumps(word) if word is not None else ""
        state = {
            "terminated": {
                "exitCode": exit_code,
                "reason": reason or ("Completed" if exit_code == 0 else "Error"),
                "message": said,
                "startedAt": started,
                "finishedAt": ended,
            }
        }
    if evicted:
        status |= {"reason": "Evicted", "message": evicted}
    status["containerStatuses"] = [{"name": "trainer", "state": state}]
    return status


def prepared(**dataset):
    """Prepare's last word, exit 0."""
    return {
        "version": 1,
        "stage": "Prepare",
        "reason": "Prepared",
        "message": "12000 rows of messages, 3 left out",
        "result": {
            "dataset": {
                "digest": DIGEST,
                "format": "messages",
                "rows": 11400,
                "evalRows": 600,
                "dropped": {"ExactDuplicate": 3},
                **dataset,
            },
            "model": {"baseModel": "Qwen/Qwen3-0.6B", "baseRevision": "abc"},
            "resolved": {
                "epochs": 3.0,
                "totalSteps": 500,
                "learningRate": 0.0002,
                "targetModules": ["q_proj"],
            },
        },
    }


def training_result(uri="s3://team-a/adapters/support-bot"):
    return {
        "adapter": {
            "uri": uri,
            "digest": "sha256:" + "cd" * 32,
            "type": "LoRA",
            "rank": 16,
            "baseModel": "Qwen/Qwen3-0.6B",
            "baseRevision": "abc",
            "sizeBytes": 19000000,
        },
        "evaluation": {
            "rows": 600,
            "base": {"loss": 3.1, "perplexity": 22.2},
            "tuned": {"loss": 1.9, "perplexity": 6.7},
        },
        "progress": {"step": 500, "totalSteps": 500, "epoch": 3.0, "loss": 1.9, "tokensPerSecond": 5100.0},
        "usage": {"gpuSeconds": 3600.0},
    }


def published():
    """Train's last word, exit 0."""
    return {
        "version": 1,
        "stage": "Train",
        "reason": "Published",
        "message": "published",
        "result": training_result(),
    }


def already_published():
    """Prepare's last word where the result is there already."""
    return {
        "version": 1,
        "stage": "Prepare",
        "reason": "AlreadyPublished",
        "message": "the result is there",
        "result": {"published": training_result()},
    }


def word(stage, reason, message):
    """A last word on failure."""
    return {"version": 1, "stage": stage, "reason": reason, "message": message}


def saved(step, time):
    """The last word of training that was interrupted, and left a checkpoint."""
    checkpoint = {"step": step, "uri": f"s3://team-a/work/checkpoints/step-{step}", "time": time}
    said = word(
        "Train", "Interrupted", f"stopped from outside (SIGTERM); the checkpoint of step {step} stands"
    )
    return {**said, "result": {"checkpoint": checkpoint}}


def merged(base, over):
    found = dict(base)
    for name, value in over.items():
        found[name] = (
            merged(found[name], value)
            if isinstance(value, dict) and isinstance(found.get(name), dict)
            else value
        )
    return found


def secret(name, namespace="team-a", **keys):
    """A Secret as the API server holds it."""
    data = {key: base64.b64encode(value.encode()).decode() for key, value in keys.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "data": data,
    }
