"""Places for the storage tests: Secrets as the kubelet mounts them, and stores opened with them."""

from finetune_trainer import storage
from finetune_trainer.config import Hub
from finetune_trainer.layout import Layout
from finetune_trainer.storage import Reference, Role, Store

FIELD = "spec.dataset.train[0].uri"


def secret(layout: Layout, name: str, **keys: str) -> str:
    """Mount a Secret; its name. A newline at the end, as editors leave it."""
    for key, value in keys.items():
        path = layout.credentials / name / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value + "\n")
    return name


def opened(
    layout: Layout, uri: str, name: str | None = None, *, role: Role = Role.DATA, hub: Hub | None = None
) -> Store:
    """The store at `uri` with the Secret `name`."""
    reference = Reference(uri=uri, field=FIELD, role=role, secret=name, hub=hub or Hub())
    return storage.open_store(reference, layout)
