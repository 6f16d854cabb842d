"""`output.dtype`: what is published is rounded before it is measured, so that the figures are those of the files."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
"""The spec's words."""


def round_to(model: Any, dtype: torch.dtype) -> None:
    """Leave in what `model` has learned only what `dtype` can hold."""
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.copy_(weight.to(dtype))


def rewrite(weights: Path, dtype: torch.dtype) -> None:
    """Write the safetensors file anew, its numbers as `dtype`."""
    tensors = {name: tensor.to(dtype).contiguous() for name, tensor in load_file(weights).items()}
    save_file(tensors, weights, metadata={"format": "pt"})
