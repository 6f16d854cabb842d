"""`output.merged`: the adapter merged into the base model's weights, beside it under `merged/`, for engines that know no adapters.

On the CPU and from files alone, after everything else: what is trained and measured has no part in it. QLoRA's adapter learned
beside 4-bit weights; it is merged into the whole ones, since 4-bit weights can hold no sum. The base's own dtype is kept.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from finetune_trainer import errors, publish, whole

FOLDER = "merged"

ROUNDING = {torch.float32: 1e-3, torch.bfloat16: 3e-2, torch.float16: 1e-2}
"""Largest difference of a logit that rounding a sum of weights once may make, of the largest logit."""


def add(artefact: Path, *, base: Path, name: str, probe: list[int], tell: Callable[..., object]) -> None:
    """Merge the adapter in `artefact` into the model in the folder `base`, and put the result below `artefact`.

    `name`: what the model calls its base, never a path. What was written is loaded again by transformers alone, and must give
    the logits of base and adapter for `probe` (token ids). Raises `InternalError`.
    """
    tell(message="merging the adapter into the base model")
    dtype = whole.own_dtype(base)
    tuned: Any = PeftModel.from_pretrained(_loaded(base, dtype), artefact)
    tuned.eval()
    expected = _logits(tuned, probe)
    with tuned.disable_adapter():
        before = _logits(tuned, probe)
    made = tuned.merge_and_unload(safe_merge=True)
    made.config.name_or_path = name
    folder = artefact / FOLDER
    tell(message="writing the merged model")
    made.save_pretrained(folder, max_shard_size=whole.SHARD)
    del made, tuned
    for path in artefact.iterdir():
        if path.name in publish.TOKENIZER_FILES:
            shutil.copyfile(path, folder / path.name)
    for path in folder.iterdir():
        path.chmod(0o644)  # safetensors writes 0600
    tell(message="loading the merged model again")
    compare(_logits(_loaded(folder, dtype), probe), expected=expected, before=before, dtype=dtype)


def compare(found: torch.Tensor, *, expected: torch.Tensor, before: torch.Tensor, dtype: torch.dtype) -> None:
    """Raises `InternalError` where the logits `found` are not those of base and adapter (`expected`), up to rounding.

    `before`: of the base alone. Rounding moves logits less than the adapter does, unless that does next to nothing.
    """
    room = ROUNDING.get(dtype, 1e-2) * max(1.0, expected.abs().max().item())
    error, effect = (found - expected).abs(), (before - expected).abs()
    worst = error.max().item()
    if not worst <= room or (effect.max().item() > room and error.mean() > effect.mean() / 2):
        raise errors.InternalError(
            f"the merged model does not give what base and adapter give (logits differ by {worst:.3g}); nothing "
            "was published, please report it"
        )


def _loaded(folder: Path, dtype: torch.dtype) -> Any:
    """A model on the CPU, as anybody would load it."""
    model: Any = AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, local_files_only=True, use_safetensors=True, device_map={"": "cpu"}
    )
    return model.eval()


def _logits(model: Any, ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = model(input_ids=torch.tensor([ids]), use_cache=False).logits
    return logits.float()
