"""Bad input: the adapter that training shall go on from."""

import json
from pathlib import Path
from typing import Any

from bad_input import Case, Change
from finetune_trainer import outcome
from finetune_trainer.prepared import FileFacts
from finetune_trainer.start_adapter import CONFIG, WEIGHTS
from trainer_world import World

URI = "pvc://adapters/first"
LORA: dict[str, Any] = {
    "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "pvc://models/tiny", "r": 4, "lora_alpha": 8,
    "lora_dropout": 0.0, "target_modules": ["q_proj", "v_proj"], "use_dora": False, "use_rslora": False,
    "modules_to_save": None,
}  # fmt: skip


def folder(world: World) -> Path:
    """Where the adapter lies."""
    return world.layout.claims / "adapters" / "first"


def adapter(weights: str = WEIGHTS, **settings: Any) -> Change:
    """An adapter as far as its settings tell; nobody looks at the weights before those are right."""

    def change(world: World) -> None:
        folder(world).mkdir(parents=True)
        (folder(world) / weights).write_bytes(b"weights")
        (folder(world) / CONFIG).write_text(json.dumps({**LORA, **settings}))

    return change


def damaged(world: World) -> None:
    """An adapter that a job of ours has published, and that somebody has changed since."""
    adapter()(world)
    manifest = {
        "version": 1,
        "files": {name: FileFacts.of(folder(world) / name).wire() for name in (CONFIG, WEIGHTS)},
        "baseModel": {"id": "pvc://models/tiny", "uri": "pvc://models/tiny"},
    }
    (folder(world) / outcome.MANIFEST).write_text(json.dumps(manifest))
    (folder(world) / WEIGHTS).write_bytes(b"others!")


def real(**settings: Any) -> Change:
    """An adapter with weights, and settings that they do not have."""

    def change(world: World) -> None:
        import trainer_adapters  # noqa: PLC0415 - imports torch

        trainer_adapters.make(folder(world))
        path = folder(world) / CONFIG
        path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))

    return change


def whole_model(world: World) -> None:
    """All weights, and no adapter."""
    folder(world).mkdir(parents=True)
    (folder(world) / "config.json").write_text("{}")
    (folder(world) / "model.safetensors").write_bytes(b"weights")


def going_on(wrong: str, reason: str, change: Change | None, **spec: Any) -> Case:
    """A job that goes on from the adapter that `change` makes."""
    from_uri = {"model": {"uri": "pvc://models/tiny", "adapterFrom": {"uri": URI}}}
    said = {**from_uri, "origins": {"adapter": {"uri": URI}}, **spec}
    return Case(wrong=wrong, code=64, reason=reason, change=change, spec=said)


CHAPTERS = {
    "The adapter to go on from": [
        going_on("nothing at the adapter's URI", "AdapterNotFound", None),
        going_on("a whole model in place of an adapter", "UnsupportedAdapter", whole_model),
        going_on(
            "an adapter whose weights are a pickle", "UnsupportedAdapter", adapter(weights="adapter_model.bin")
        ),
        going_on("an adapter of another kind", "UnsupportedAdapter", adapter(peft_type="PREFIX_TUNING")),
        going_on("an adapter whose settings lack its rank", "UnsupportedAdapter", adapter(r=None)),
        going_on(
            "an adapter that names its modules by a pattern",
            "UnsupportedAdapter",
            adapter(target_modules=".*_proj"),
        ),
        going_on(
            "an adapter of another model", "AdapterDoesNotFit", adapter(base_model_name_or_path="org/other")
        ),
        going_on("an adapter with a damaged file", "UnsupportedAdapter", damaged),
        going_on("an adapter that is more than a plain LoRA", "UnsupportedAdapter", real(rank_pattern={"q_proj": 2})),
        going_on("an adapter whose weights have another rank than it says", "AdapterDoesNotFit", real(r=2)),
        going_on(
            "an adapter of a model with other modules", "AdapterDoesNotFit", real(target_modules=["q_proj", "up"])
        ),
        going_on(
            "another job's output without a manifest",
            "UnsupportedAdapter",
            adapter(),
            model={"uri": "pvc://models/tiny", "adapterFrom": {"jobRef": {"name": "first"}}},
        ),
        going_on(
            "another rank than the adapter's", "SettingsDoNotFit", adapter(), tuning={"lora": {"rank": 8}}
        ),
        going_on(
            "other target modules than the adapter's",
            "SettingsDoNotFit",
            adapter(),
            tuning={"lora": {"targetModules": ["q_proj"]}},
        ),
        going_on("an adapter for a model that is tuned whole", "SettingsDoNotFit", None, tuning={"type": "Full"}),
    ]
}  # fmt: skip
