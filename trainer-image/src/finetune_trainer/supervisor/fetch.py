"""What the ranks read, brought to scratch before they start: the prepared data, the base model, and what judges answers."""

from pathlib import Path

from finetune_trainer import base_model, config, model_cache, report
from finetune_trainer.base_model import BaseModel
from finetune_trainer.layout import Layout
from finetune_trainer.prepared import Prepared
from finetune_trainer.storage import Store


def dataset(work: Store, layout: Layout, digest: str, writer: report.ProgressWriter) -> Prepared:
    """The prepared dataset `digest`, every file held against it."""
    writer.tell(stage="Fetch", message="fetching the prepared data")
    ready = Prepared.load(work, digest)
    ready.fetch(work, layout.dataset)
    return ready


def model(run: config.Run, layout: Layout, ready: Prepared, writer: report.ProgressWriter) -> None:
    """The base model at the revision that the data was prepared for: config, tokenizer and safetensors, nothing else.

    From the profile's model cache where that has it: Prepare has filled it, this pod never does.
    """
    found = base_model.pinned(run, layout, ready.identity.model)
    _fetch(found, layout, layout.model, "model", writer)


def scorer(run: config.Run, layout: Layout, ready: Prepared, writer: report.ProgressWriter) -> None:
    """The same of the model that judges answers, if one is asked for."""
    asked = base_model.named_scorer(run)
    if asked and ready.scorer:
        found = base_model.pinned(run, layout, ready.scorer, asked)
        _fetch(found, layout, layout.scorer, "scoring model", writer)


def _fetch(found: BaseModel, layout: Layout, to: Path, what: str, writer: report.ProgressWriter) -> None:
    if model_cache.link(found, layout, to):
        writer.tell(message=f"the {what} is read from the cache")
        return
    missed = "not in the model cache: " if layout.cache.is_dir() else ""
    found.fetch(
        [*found.small, *found.weights],
        to,
        moved=lambda how: writer.tell(message=f"{missed}fetching the {what}: {how}"),
    )
