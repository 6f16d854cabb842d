"""Secrets, as the kubelet mounts them: a folder per Secret, a file per key, named as the vendors name their environment."""

from pathlib import Path

from finetune_trainer import errors
from finetune_trainer.layout import Layout
from finetune_trainer.storage.reference import Reference


def read(reference: Reference, layout: Layout) -> dict[str, str]:
    """The Secret's keys and values; empty where the reference names none.

    Raises `SecretMissing` for a folder that is absent or empty: in Prepare the mounts are optional, so that a Secret
    that does not exist yet is named by us instead of by a pod that hangs.
    """
    if reference.secret is None:
        return {}
    found = mounted(layout, reference.secret)
    if not found:
        raise errors.SecretMissing(
            f"{reference.field}: the Secret {reference.secret!r} named for {reference.uri} does not exist in the job's "
            "namespace, or is empty; create it, and the job goes on by itself"
        )
    return found


def lacking(reference: Reference, keys: str) -> errors.SecretMissing:
    """The error for a Secret that is there, without the keys that are needed."""
    return errors.SecretMissing(
        f"{reference.field}: the Secret {reference.secret!r} lacks {keys}, needed for {reference.uri}; add what is missing"
    )


def mounted(layout: Layout, secret: str) -> dict[str, str]:
    """The keys and values of the Secret of that name; empty where it is not there."""
    return _files(layout.credentials / secret)


def _files(folder: Path) -> dict[str, str]:
    """Key -> value. A trailing newline, as editors leave it, is no part of a value; an empty one is not there."""
    if not folder.is_dir():
        return {}
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".."))
    values = {path.name: path.read_text(encoding="utf-8").strip() for path in files}
    return {name: value for name, value in values.items() if value}


def authorities(layout: Layout) -> str | None:
    """The profile's extra CA as PEM, trusted beside the usual ones."""
    return layout.ca.read_text(encoding="utf-8") if layout.ca.is_file() else None
