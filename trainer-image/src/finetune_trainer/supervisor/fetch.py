"""What the ranks read, brought to scratch before they start: the prepared data and the base model."""

from finetune_trainer import base_model, config, report
from finetune_trainer.layout import Layout
from finetune_trainer.prepared import Prepared
from finetune_trainer.storage import Item, Store

GIGABYTE = 1e9


def dataset(work: Store, layout: Layout, digest: str, writer: report.ProgressWriter) -> Prepared:
    """The prepared dataset `digest`, every file held against it."""
    writer.tell(stage="Fetch", message="fetching the prepared data")
    ready = Prepared.load(work, digest)
    ready.fetch(work, layout.dataset)
    return ready


def model(run: config.Run, layout: Layout, ready: Prepared, writer: report.ProgressWriter) -> None:
    """The base model at the revision that the data was prepared for: config, tokenizer and safetensors, nothing else."""
    found = base_model.pinned(run, layout, ready.identity.model)
    items = [*found.small, *found.weights]
    total = sum(item.size for item in items) / GIGABYTE
    done = 0.0

    def told(item: Item) -> None:
        nonlocal done
        writer.tell(message=f"fetching the model: {item.key}, {done:.1f} of {total:.1f} GB")
        done += item.size / GIGABYTE

    found.fetch(items, layout.model, told)
