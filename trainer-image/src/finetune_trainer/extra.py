"""`training.extra`: further settings of TRL's trainers, under their own names, held against their own fields.

Imports TRL, which takes seconds: Prepare asks only where something is given.
"""

import dataclasses
import difflib
import typing
from typing import Annotated, Any

import pydantic

from finetune_trainer import arguments, config, errors

FIELD = "spec.training.extra"

INSTEAD = {
    "learning_rate": "learningRate",
    "lr_scheduler_type": "lrScheduler",
    "warmup_steps": "warmupRatio",
    "optim": "optimizer",
    "weight_decay": "weightDecay",
    "max_grad_norm": "maxGradNorm",
    "neftune_noise_alpha": "neftuneNoiseAlpha",
    "num_train_epochs": "epochs",
    "max_steps": "maxSteps",
    "max_length": "maxLength",
    "per_device_train_batch_size": "microBatchSize",
    "gradient_accumulation_steps": "globalBatchSize",
    "train_sampling_strategy": "groupByLength",
    "bf16": "precision",
    "fp16": "precision",
    "activation_checkpointing": "activationCheckpointing",
    "gradient_checkpointing": "activationCheckpointing",
    "packing": "packing",
    "seed": "seed",
    "data_seed": "seed",
    "beta": "dpo.beta",
    "label_smoothing": "dpo.labelSmoothing",
}
"""Setting of a library -> the field of `spec.training` that says it."""

FREE = frozenset(
    {
        *("adam_beta1", "adam_beta2", "adam_epsilon", "optim_args", "lr_scheduler_kwargs"),
        *(
            "torch_empty_cache_steps",
            "router_aux_loss_coef",
            "pad_to_multiple_of",
            "loss_type",
            "loss_weights",
        ),
        *("f_divergence_type", "f_alpha_divergence_coef", "ld_alpha", "discopop_tau", "use_weighting"),
        *("desirable_weight", "undesirable_weight"),
    }
)
"""What an author may set. All else is the operator's own business: files, logs, devices, hubs, data, evaluation."""


BOUNDS: dict[str, Any] = {
    "adam_beta1": Annotated[float, pydantic.Field(ge=0, lt=1)],
    "adam_beta2": Annotated[float, pydantic.Field(ge=0, lt=1)],
    "adam_epsilon": Annotated[float, pydantic.Field(ge=0)],
    "desirable_weight": Annotated[float, pydantic.Field(ge=0)],
    "undesirable_weight": Annotated[float, pydantic.Field(ge=0)],
    "lr_scheduler_kwargs": dict[str, Any],
}
"""What libraries check only when training begins, or not at all."""


def check(run: config.Run) -> None:
    """Raises `SettingsDoNotFit` for the first setting that the method's trainer lacks, that is not free, or of a wrong type."""
    made = arguments.imported(arguments.CONFIGS[run.method])
    hints = typing.get_type_hints(made)
    known = {field.name for field in dataclasses.fields(made)}
    for name, value in (run.training.extra or {}).items():
        if problem := _problem(run.method, name, value, known=known, hints=hints):
            raise errors.SettingsDoNotFit(f"{FIELD}.{name}: {problem}")


def _problem(method: str, name: str, value: Any, *, known: set[str], hints: dict[str, Any]) -> str | None:
    free = sorted(FREE & known - ({"loss_type"} if method != "SFT" else set()))
    if name not in known:
        like = difflib.get_close_matches(name, free, n=1)
        cure = f"did you mean {like[0]}?" if like else f"remove it (you may set {', '.join(free)})"
        return f"the trainer of {method} has no such setting; {cure}"
    if name == "loss_type" and method != "SFT":
        return "set spec.training.dpo.lossType instead"
    if name in INSTEAD:
        return f"set spec.training.{INSTEAD[name]} instead"
    if name not in FREE:
        return f"the operator sets this itself; remove it (you may set {', '.join(free)})"
    try:
        pydantic.TypeAdapter(BOUNDS.get(name, hints[name])).validate_python(value, strict=False)
    except pydantic.ValidationError as error:
        return f"{value!r} does not fit: {error.errors()[0]['msg']}; correct it, or remove it"
    return None
