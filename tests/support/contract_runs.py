"""FineTuneJobs for the contract tests: the shortest spec, and one that says everything the API lets one say."""

from typing import Any

from finetune_operator.api.job import FineTuneJobSpec
from finetune_operator.api.profile import FineTuneProfileSpec
from finetune_operator.names import Owner
from finetune_operator.plan import config_map, resolve, run_config
from finetune_operator.plan.origins import NONE, Origins
from finetune_operator.plan.run_plan import PodPlan, RunPlan

OWNER = Owner("team-a", "support-bot", "6f1c9a52-7a53-4f0e-9d55-0c3d5a8b7e10")
SECRET = {"name": "bucket"}

SHORTEST: dict[str, Any] = {
    "model": {"uri": "hf://Qwen/Qwen3-0.6B"},
    "dataset": {"train": [{"uri": "s3://team-a/tickets.jsonl"}]},
    "output": {"uri": "s3://team-a/adapters/support-bot"},
}

SOURCE: dict[str, Any] = {
    "uri": "s3://team-a/tickets.jsonl",
    "credentialsSecretRef": SECRET,
    "split": "train",
    "format": "messages",
    "columns": dict.fromkeys(
        (
            "messages",
            "prompt",
            "completion",
            "instruction",
            "input",
            "output",
            "history",
            "system",
            "tools",
            "text",
            "chosen",
            "rejected",
            "label",
        ),
        "column",
    ),
    "template": [{"system": "Be brief.", "prompt": "{question}", "completion": "{answer}"}],
    "maxSamples": 1000,
    "weight": 0.5,
}

FULLEST: dict[str, Any] = {
    "method": "DPO",
    "model": {
        "uri": "s3://team-a/models/base",
        "credentialsSecretRef": SECRET,
        "adapterFrom": {
            "uri": "s3://team-a/adapters/first",
            "credentialsSecretRef": SECRET,
            "jobRef": {"name": "first"},
        },
        "chatTemplate": "{{ messages }}",
        "attention": "eager",
        "trustRemoteCode": True,
    },
    "dataset": {
        "train": [SOURCE],
        "eval": [SOURCE],
        "evalFraction": 0.1,
        "quality": {
            "duplicates": {"exact": False, "near": 0.9},
            "minTokens": 2,
            "maxTokens": 4000,
            "maxRepetition": 0.5,
            "blocklist": ["lorem"],
        },
    },
    "tuning": {
        "type": "QLoRA",
        "lora": {
            "rank": 8,
            "alpha": 32.0,
            "dropout": 0.05,
            "targetModules": ["q_proj", "v_proj"],
            "dora": True,
            "rslora": True,
            "modulesToSave": ["embed_tokens"],
        },
        "quantization": {"type": "fp4", "double": False},
    },
    "training": {
        "epochs": 2.5,
        "maxSteps": 100,
        "learningRate": 0.0001,
        "lrScheduler": "linear",
        "warmupRatio": 0.1,
        "globalBatchSize": 64,
        "microBatchSize": 2,
        "maxLength": 2048,
        "packing": True,
        "lossOn": "All",
        "optimizer": "paged_adamw_8bit",
        "weightDecay": 0.01,
        "maxGradNorm": 0.5,
        "precision": "bf16",
        "activationCheckpointing": "On",
        "groupByLength": True,
        "seed": 7,
        "neftuneNoiseAlpha": 5.0,
        "earlyStopping": {"patience": 2, "threshold": 0.01},
        "dpo": {"beta": 0.1, "lossType": ["sigmoid"], "labelSmoothing": 0.1},
        "extra": {"adam_beta2": 0.99, "nested": {"deep": [1, "two", None]}},
    },
    "evaluation": {
        "everySteps": 50,
        "metrics": ["loss", "rouge", "bertscore"],
        "samples": ["Hello?"],
        "maxAnswers": 32,
        "maxNewTokens": 64,
        "bertScore": {
            "model": {"uri": "s3://team-a/models/encoder", "credentialsSecretRef": SECRET},
            "layer": 9,
        },
        "tasks": [
            {
                "name": "boolq",
                "data": {"uri": "s3://team-a/boolq.jsonl", "credentialsSecretRef": SECRET, "split": "test"},
                "prompt": "{passage}\n{question}?",
                "target": "answer",
                "multipleChoice": {"choices": ["no", "yes"], "metrics": ["acc", "accNorm"]},
                "fewShot": 2,
                "limit": 50,
            },
            {
                "name": "arc",
                "data": {"uri": "s3://team-a/arc.jsonl"},
                "prompt": "{question}",
                "target": "right",
                "multipleChoice": {"choicesColumn": "answers"},
            },
            {
                "name": "trivia",
                "data": {"uri": "s3://team-a/trivia.jsonl"},
                "prompt": "{question}",
                "target": "answer",
                "generate": {"until": ["."], "maxNewTokens": 8},
            },
        ],
        "gate": ["tuned.loss < base.loss", "tuned.rewardAccuracy >= 0.6"],
        "keepBest": True,
    },
    "checkpoint": {
        "everyMinutes": 5.0,
        "everySteps": 20,
        "keep": 4,
        "resumeFrom": {"jobRef": {"name": "first"}},
    },
    "output": {
        "uri": "s3://team-a/adapters/support-bot",
        "credentialsSecretRef": SECRET,
        "overwrite": True,
        "workUri": "s3://team-a/work",
        "merged": True,
        "dtype": "bf16",
        "hub": {"repo": "org/name", "private": False, "credentialsSecretRef": {"name": "hub"}},
    },
    "tracking": {
        "wandb": {
            "project": "p",
            "entity": "e",
            "mode": "Offline",
            "baseUrl": "https://wandb.test",
            "credentialsSecretRef": {"name": "wandb"},
        },
        "mlflow": {
            "trackingUri": "https://mlflow.test",
            "experiment": "e",
            "credentialsSecretRef": {"name": "mlflow"},
        },
        "tensorboard": {"enabled": False},
    },
    "resources": {"nodes": 2, "gpusPerNode": 8, "cpu": "1500m", "memory": "64Gi", "scratch": "200Gi"},
}
"""Nobody could run it (it says both epochs and maxSteps): it is there to cross the border with every field."""

PROFILE: dict[str, Any] = {
    "gpu": {"memory": "80Gi", "teraflops": 990},
    "mirrors": {"hub": "https://hub.test", "offline": True},
    "gracePeriodSeconds": 60,
}


def run(
    spec: dict[str, Any], profile: dict[str, Any] | None = None, origins: Origins | None = None
) -> dict[str, Any]:
    """run.json of a job, as the operator resolves it."""
    parsed = FineTuneJobSpec.model_validate(spec)
    chosen = resolve.Chosen(None, 0, FineTuneProfileSpec())
    if profile is not None:
        chosen = resolve.Chosen("gpus", 3, FineTuneProfileSpec.model_validate(profile))
    sizes = resolve.sizes(parsed, chosen.spec)
    return run_config.run_config(
        OWNER, parsed, chosen, sizes, origins or NONE, image="registry/trainer:tag", stall_timeout=900
    )


def text(document: dict[str, Any]) -> bytes:
    """What a pod finds at /etc/finetune/run.json."""
    pods = PodPlan(image="i", cpu="1", memory="1Gi", scratch="1Gi", prepare_cpu="1", prepare_memory="1Gi")
    made = config_map.config_map(OWNER, RunPlan(run=document, pods=pods))
    found: str = made["data"]["run.json"]
    return found.encode()
