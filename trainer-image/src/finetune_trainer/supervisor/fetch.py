"""What the ranks read, brought to scratch before they start: the prepared data and the base model."""

from finetune_trainer import base_model, config, model_cache, report
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
    if model_cache.link(found, layout, layout.model):
        writer.tell(message="the model is read from the cache")
        return
    missed = "not in the model cache: " if layout.cache.is_dir() else ""
    found.fetch(
        [*found.small, *found.weights],
        layout.model,
        moved=lambda how: writer.tell(message=f"{missed}fetching the model: {how}"),
    )
