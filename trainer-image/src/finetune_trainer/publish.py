"""The files of the result, made and checked in a folder on scratch; the supervisor sends them.

Whoever loads them has no pod: nothing here may name one of its paths, need a pickle, or be readable by one uid alone.
"""

import json
import math
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors import safe_open
from transformers import PreTrainedTokenizerBase

from finetune_trainer import errors, report
from finetune_trainer.start_adapter import CONFIG

TEMPLATE = "chat_template.jinja"

WHOLE_CONFIGS = frozenset({"config.json", "generation_config.json", "model.safetensors.index.json"})
"""What lies beside whole weights."""

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tokenizer.model",
    "spiece.model",
    TEMPLATE,
)
"""Copied from the base model and not saved anew: transformers 5 writes a class name that version 4 cannot load."""

NOT_SEARCHED = frozenset({"samples.json", *TOKENIZER_FILES})
"""Files whose words are the model's or the author's: a path in them is no leak."""

TOLERANCE = 1e-3
"""Largest difference of a logit between the adapter in memory and the one on disk. Measured: 0.0 in float32."""


def collect(
    artefact: Path, *, saved: Path, base: Path, tokenizer: PreTrainedTokenizerBase, texts: dict[str, str]
) -> None:
    """Put together the folder `artefact`: what is in `saved`, the tokenizer's files of `base`, and `texts` by name.

    Of what a trainer leaves in `saved` only weights and their config are taken.
    """
    artefact.mkdir(parents=True)
    for path in sorted(saved.iterdir()):
        if path.name == CONFIG:
            (artefact / CONFIG).write_text(_sorted_config(path), encoding="utf-8")
        elif path.suffix == ".safetensors" or path.name in WHOLE_CONFIGS:
            shutil.move(path, artefact)  # weights may be large, and scratch has room for them once
    for name in TOKENIZER_FILES:
        if (base / name).is_file():
            shutil.copyfile(base / name, artefact / name)
    if isinstance(tokenizer.chat_template, str):
        (artefact / TEMPLATE).write_text(tokenizer.chat_template, encoding="utf-8")
    for name, text in texts.items():
        (artefact / name).write_text(text, encoding="utf-8")
    for path in artefact.iterdir():
        path.chmod(0o644)  # safetensors writes 0600: another uid would be told that the file is missing


def _sorted_config(path: Path) -> str:
    """PEFT's settings with the order of its sets fixed: they are written differently from run to run."""
    settings = json.loads(path.read_text(encoding="utf-8"))
    for name, value in settings.items():
        if isinstance(value, list) and all(isinstance(one, str) for one in value):
            settings[name] = sorted(value)
    return json.dumps(settings, indent=2, sort_keys=True) + "\n"


def check_finite(saved: Path) -> None:
    """Every number of the saved weights is one. Raises `NonFiniteLoss`."""
    for weights in sorted(saved.glob("*.safetensors")):
        with safe_open(weights, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 - not a dict
                if not torch.isfinite(opened.get_tensor(name)).all():
                    raise errors.NonFiniteLoss(
                        f"the trained weights {name} are not finite, so nothing is published; lower spec.training.learningRate"
                    )


def check_base_named(settings: Path, expected: str) -> None:
    """The adapter names its base as the spec does."""
    found = json.loads(settings.read_text(encoding="utf-8"))["base_model_name_or_path"]
    if found != expected:
        raise errors.InternalError(
            f"the adapter names its base {found!r} instead of {expected!r}; nothing was published, please report it"
        )


def check_reloads(model: PeftModel, artefact: Path, ids: list[int]) -> None:
    """The adapter on disk, loaded by PEFT onto the base, gives the logits of the one in memory. Raises `InternalError`."""
    device = next(model.parameters()).device
    probe = torch.tensor([ids], device=device)
    model.eval()
    expected = _logits(model, probe)
    model.load_adapter(str(artefact), adapter_name="published", torch_device=str(device))
    model.set_adapter("published")
    try:
        found = _logits(model, probe)
    finally:
        model.set_adapter("default")
        model.delete_adapter("published")
    worst = (expected - found).abs().max().item()
    if not math.isfinite(worst) or worst > TOLERANCE * max(1.0, expected.abs().max().item()):
        raise errors.InternalError(
            f"the saved adapter does not give what was trained (logits differ by {worst:.3g}); nothing was "
            "published, please report it"
        )


def _logits(model: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = model(input_ids=ids, use_cache=False).logits
    return logits.float()


def check_no_paths(artefact: Path, paths: Iterable[Path]) -> None:
    """No file that we write names a path of this pod. Raises `InternalError`."""
    forbidden = [str(path) for path in paths]
    for path in sorted(filter(Path.is_file, artefact.rglob("*"))):
        if path.suffix != ".safetensors" and path.name not in NOT_SEARCHED:
            text = path.read_text(encoding="utf-8")
            leaked = [one for one in forbidden if one in text]
            if leaked:
                raise errors.InternalError(
                    f"{path.name} names the pod's path {leaked[0]}; nothing was published, please report it"
                )


def document(value: Any) -> str:
    """JSON as it is published: readable, and strict: NaN, which fp16's first steps may log as a gradient norm, is null."""
    return json.dumps(report.finite(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
