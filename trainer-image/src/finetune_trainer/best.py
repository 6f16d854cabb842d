"""keepBest: the weights with the lowest held-out loss so far.

They lie beside every checkpoint as two files of it. So they outlive the pod and every pruning, and a checkpoint is whole with
the best that was known when it was made.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from finetune_trainer import config

WEIGHTS, DOCUMENT = "best.safetensors", "best.json"


class Kept(config.Value):
    """best.json."""

    step: int
    loss: float
    """Held-out loss of that step."""


class Best:
    """What is kept of one run in the folder `work`, beginning with what the checkpoint `resume` brings."""

    def __init__(self, work: Path, resume: Path | None) -> None:
        self.files = (work / WEIGHTS, work / DOCUMENT)
        """To be kept with every checkpoint, as far as they are there."""
        for file in self.files:
            if resume and (resume / file.name).is_file():
                shutil.copy(resume / file.name, file)

    @property
    def kept(self) -> Kept | None:
        """None before the first measurement."""
        document = self.files[1]
        return Kept.model_validate_json(document.read_bytes()) if document.is_file() else None

    def see(self, model: Any, *, step: int, loss: float) -> None:
        """Keep the weights that `model` has at `step`, if no earlier ones were as good."""
        if (kept := self.kept) and kept.loss <= loss:
            return
        weights, document = self.files
        save_file({name: weight.detach().cpu() for name, weight in _learning(model)}, weights)
        document.write_text(Kept(step=step, loss=loss).model_dump_json(by_alias=True), encoding="utf-8")

    def restore(self, model: Any) -> None:
        """Give `model` the kept weights."""
        found = load_file(self.files[0])
        with torch.no_grad():
            for name, weight in _learning(model):
                weight.copy_(found[name])


def _learning(model: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """The weights that training changes, each once, in float32."""
    return ((name, weight) for name, weight in model.named_parameters() if weight.requires_grad)
