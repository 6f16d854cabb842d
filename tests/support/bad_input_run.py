"""Bad input: the model's folder, the settings of the run, the output."""

import json
from typing import Any

import trainer_world
from bad_input import Case, Change
from finetune_trainer import outcome
from trainer_world import World


def author(wrong: str, reason: str, change: Change | None = None, **spec: Any) -> Case:
    """Something that only the author can change."""
    return Case(wrong=wrong, code=64, reason=reason, change=change, spec=spec)


def without(*names: str) -> Change:
    """The model's folder lacks files."""
    return lambda world: [(world.model / name).unlink() for name in names]


def renamed(old: str, new: str) -> Change:
    """A file of the model is called otherwise."""
    return lambda world: (world.model / old).rename(world.model / new)


def written(name: str, content: str) -> Change:
    """A file of the model holds something else."""
    return lambda world: (world.model / name).write_text(content)


def settings(name: str, **changes: Any) -> Change:
    """A JSON file of the model has other values."""

    def change(world: World) -> None:
        path = world.model / name
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


SHARDS = json.dumps({"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}})


def lora(*names: str) -> dict[str, Any]:
    """Adapters on these modules."""
    return {"lora": {"targetModules": list(names)}}


MODEL = [
    author("nothing at the model's URI", "ModelNotFound", model={"uri": "pvc://models/nothing-here"}),
    author("no config.json", "UnsupportedModelFiles", without("config.json")),
    author("a config.json that is not JSON", "UnsupportedModelFiles", written("config.json", "{")),
    author(
        "a config.json whose numbers make no model",
        "UnsupportedModelFiles",
        settings("config.json", num_attention_heads=0),
    ),
    author(
        "a config.json with a text for a number",
        "UnsupportedModelFiles",
        settings("config.json", hidden_size="large"),
    ),
    author("no tokenizer", "UnsupportedModelFiles", without("tokenizer.json")),
    author("a broken tokenizer", "UnsupportedModelFiles", written("tokenizer.json", "{")),
    author(
        "a tokenizer without an end of text",
        "UnsupportedModelFiles",
        settings("tokenizer_config.json", eos_token=None),
    ),
    author("no weights", "UnsupportedModelFiles", without("model.safetensors")),
    author(
        "weights as pickles only", "UnsupportedModelFiles", renamed("model.safetensors", "pytorch_model.bin")
    ),
    author(
        "a shard of the weights is missing",
        "UnsupportedModelFiles",
        written("model.safetensors.index.json", SHARDS),
    ),
    author(
        "an index of shards that cannot be read",
        "UnsupportedModelFiles",
        written("model.safetensors.index.json", "[]"),
    ),
    author(
        "an adapter instead of a model",
        "UnsupportedModelFiles",
        renamed("config.json", "adapter_config.json"),
    ),
    author(
        "an architecture that nobody knows",
        "UnsupportedModelFiles",
        settings("config.json", model_type="nobody-knows", architectures=["Nobody"]),
    ),
    author(
        "a tokenizer of another, larger model", "UnsupportedModelFiles", settings("config.json", vocab_size=8)
    ),
    author("modules that the model lacks", "TargetModulesNotFound", tuning=lora("query_key_value")),
    author("an adapter on the model's head", "TargetModulesNotFound", tuning=lora("q_proj", "lm_head")),
]

ALL_TRAIN = {"train": [{"uri": "pvc://data/train.jsonl"}], "evalFraction": 0.0}

MPT = {"model_type": "mpt", "d_model": 64, "n_heads": 4, "n_layers": 2, "vocab_size": 4096}
FALCON = {
    "model_type": "falcon", "hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2, "vocab_size": 4096,
}  # fmt: skip
RESOURCES = {**trainer_world.document()["resources"], "processesPerNode": 2}
FOUR_GPUS = {**RESOURCES, "processesPerNode": 4, "accelerator": "cuda"}

RUN = [
    author("a field that does not exist", "InvalidRun", training={"learningrate": 0.1}),
    author("a text where a number belongs", "InvalidRun", training={"epochs": "many"}),
    author(
        "half of all rows and more held out",
        "InvalidRun",
        dataset={"train": [{"uri": "pvc://data/train.jsonl"}], "evalFraction": 0.9},
    ),
    author("no data source", "InvalidRun", dataset={"train": []}),
    author(
        "a batch that two processes cannot share",
        "InvalidBatchSize",
        training={"globalBatchSize": 3},
        resources=RESOURCES,
    ),
    author(
        "a batch that the GPUs of two nodes cannot share",
        "InvalidBatchSize",
        training={"globalBatchSize": 6},
        resources={**RESOURCES, "nodes": 2},
    ),
    author(
        "micro-batches that do not fill a batch",
        "InvalidBatchSize",
        training={"globalBatchSize": 8, "microBatchSize": 3},
    ),
    author("settings of preferences for SFT", "SettingsDoNotFit", training={"dpo": {"beta": 0.1}}),
    author(
        "a loss that DPO does not have",
        "SettingsDoNotFit",
        method="DPO",
        training={"dpo": {"lossType": ["cosine"]}},
    ),
    author(
        "smoothed labels for a loss without",
        "SettingsDoNotFit",
        method="DPO",
        training={"dpo": {"labelSmoothing": 0.1}},
    ),
    author(
        "rows sorted by length for DPO", "SettingsDoNotFit", method="DPO", training={"groupByLength": True}
    ),
    author("packed pairs", "SettingsDoNotFit", method="DPO", training={"packing": True}),
    author("packed verdicts", "SettingsDoNotFit", method="KTO", training={"packing": True}),
    author("packed odds", "SettingsDoNotFit", method="ORPO", training={"packing": True}),
    author("packs sorted by length", "SettingsDoNotFit", training={"packing": True, "groupByLength": True}),
    author(
        "packing for a model that takes no positions",
        "SettingsDoNotFit",
        written("config.json", json.dumps(MPT)),
        training={"packing": True},
    ),
    author(
        "packing for a model whose attention ignores positions",
        "SettingsDoNotFit",
        written("config.json", json.dumps(FALCON)),
        training={"packing": True},
    ),
    author("the best of nothing measured", "SettingsDoNotFit", evaluation={"keepBest": True}),
    author(
        "the best by no held-out row",
        "SettingsDoNotFit",
        dataset={"train": [{"uri": "pvc://data/train.jsonl"}], "evalFraction": 0},
        evaluation={"keepBest": True, "everySteps": 5},
    ),
    author(
        "a rank for a model that is tuned whole",
        "SettingsDoNotFit",
        tuning={"type": "Full", "lora": {"rank": 8}},
    ),
    author(
        "quantisation for LoRA", "SettingsDoNotFit", tuning={"type": "LoRA", "quantization": {"type": "fp4"}}
    ),
    author(
        "merged weights of a model that is tuned whole",
        "SettingsDoNotFit",
        tuning={"type": "Full"},
        output={"uri": "pvc://out/result", "merged": True},
    ),
    author(
        "an optimiser whose state cannot be shared out over GPUs",
        "SettingsDoNotFit",
        tuning={"type": "Full"},
        training={"optimizer": "adamw_8bit"},
        resources=FOUR_GPUS,
    ),
    author(
        "the best of weights that are shared out over GPUs",
        "SettingsDoNotFit",
        tuning={"type": "Full"},
        evaluation={"keepBest": True, "everySteps": 5},
        resources=FOUR_GPUS,
    ),
    author(
        "all weights shared out over GPUs, in fp16",
        "UnsupportedHere",
        tuning={"type": "Full"},
        training={"precision": "fp16"},
        resources=FOUR_GPUS,
    ),
    author(
        "more memory than the pod has",
        "ModelDoesNotFit",
        resources={**RESOURCES, "processesPerNode": 1, "memoryBytes": 2**20},
    ),
    author("a gate that is not a comparison", "InvalidGate", evaluation={"gate": ["tuned.loss"]}),
    author(
        "a gate that would run code",
        "InvalidGate",
        evaluation={"gate": ["tuned.loss < __import__('os').getpid()"]},
    ),
    author(
        "a gate over a metric that is not computed",
        "InvalidGate",
        evaluation={"gate": ["tuned.rougeL > 0.3"]},
    ),
    author(
        "a gate over another method's figure",
        "InvalidGate",
        evaluation={"gate": ["tuned.rewardAccuracy > 0.5"]},
    ),
    author(
        "a gate, and no row held out",
        "SettingsDoNotFit",
        dataset=ALL_TRAIN,
        evaluation={"gate": ["tuned.loss < base.loss"]},
    ),
    author(
        "metrics, and no row held out",
        "SettingsDoNotFit",
        dataset=ALL_TRAIN,
        evaluation={"metrics": ["rouge"]},
    ),
    author("bertscore without a scoring model", "SettingsDoNotFit", evaluation={"metrics": ["bertscore"]}),
    author(
        "a scoring model that nothing asks for",
        "SettingsDoNotFit",
        evaluation={"bertScore": {"model": {"uri": "pvc://models/encoder"}}},
    ),
    author(
        "a scoring model that is not an encoder",
        "UnsupportedModelFiles",
        evaluation={"metrics": ["bertscore"], "bertScore": {"model": {"uri": "pvc://models/tiny"}}},
    ),
    author(
        "a scoring model that is not there",
        "ModelNotFound",
        evaluation={"metrics": ["bertscore"], "bertScore": {"model": {"uri": "pvc://models/nothing"}}},
    ),
    author(
        "tasks, and an image without lm-eval",
        "UnsupportedHere",
        evaluation={
            "tasks": [
                {
                    "name": "trivia",
                    "data": {"uri": "pvc://data/trivia.jsonl"},
                    "prompt": "{question}",
                    "target": "answer",
                    "generate": {},
                }
            ]
        },
    ),
    author("a model in a registry of images", "NotYetSupported", model={"uri": "oci://registry/model"}),
    author(
        "a kind of URI that nobody knows",
        "InvalidRun",
        dataset={"train": [{"uri": "ftp://host/train.jsonl"}]},
    ),
    author("a URI without a bucket", "InvalidRun", dataset={"train": [{"uri": "s3:///train.jsonl"}]}),
    author(
        "a URI that leaves its claim",
        "InvalidRun",
        dataset={"train": [{"uri": "pvc://data/../models/x.jsonl"}]},
    ),
]


def taken(world: World) -> None:
    """Another job has published here."""
    manifest = {"version": 1, "job": {"namespace": "team-a", "name": "earlier", "uid": "uid-0"}}
    outcome.output(trainer_world.run(), world.layout).put(outcome.MANIFEST, json.dumps(manifest).encode())


def locked(world: World) -> None:
    """A file stands where the output's folder must be."""
    (world.layout.claims / "out" / "result").write_text("a file")


OUTPUT = [
    author("another job's result at the output", "OutputExists", taken),
    Case(wrong="the output cannot be written", code=77, reason="AccessDenied", change=locked),
]

CHAPTERS = {"The model": MODEL, "The run": RUN, "The output": OUTPUT}
