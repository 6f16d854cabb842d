"""Fields that ask for something this trainer does not do yet. The operator refuses them first; nothing is ever ignored."""

from collections.abc import Iterator
from typing import Any

from finetune_trainer import config, errors


def check(run: config.Run) -> None:
    """Raises `NotYetSupported` for the first such field."""
    for field, asked, advice in _job(run):
        if asked:
            raise errors.NotYetSupported(f"{field} is not supported yet by this trainer image; {advice}")


def _job(run: config.Run) -> Iterator[tuple[str, Any, str]]:
    yield (
        "spec.model.uri",
        run.model.uri.startswith("oci://"),
        "use hf://, s3://, gs://, az:// or pvc://",
    )
    yield (
        "spec.model.trustRemoteCode",
        run.model.trust_remote_code,
        "leave it out, and use a model of a type that transformers knows",
    )
