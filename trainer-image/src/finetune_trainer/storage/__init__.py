"""Everything that lies outside the pod: buckets, claims, ConfigMaps, the Hub, the web.

One `Store` per reference of the spec, with credentials of its own, so that two sources may use two accounts. Every
foreign error leaves as one of ours, with the field that named the place. `open_store` is the door.
"""

from finetune_trainer.layout import Layout
from finetune_trainer.storage.bucket import BucketStore
from finetune_trainer.storage.files import FileStore
from finetune_trainer.storage.hub import HubStore
from finetune_trainer.storage.moving import Moving
from finetune_trainer.storage.reference import Item, Reference, Role, Store
from finetune_trainer.storage.web import WebStore

__all__ = ["Item", "Moving", "Reference", "Role", "Store", "open_store"]


def open_store(reference: Reference, layout: Layout) -> Store:
    """The place that `reference` names. Talks to nobody yet, but for looking at the Secret's folder."""
    match reference.scheme:
        case "s3" | "gs" | "az":
            return BucketStore(reference, layout)
        case "pvc" | "configmap" | "file":
            return FileStore(reference, layout)
        case "hf":
            return HubStore(reference, layout)
        case "http" | "https":
            return WebStore(reference, layout)
    raise reference.unsupported()
