"""Files of a result, from wherever it was published; and what jobs have left beside. The only module that opens buckets."""

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import obstore.exceptions
import obstore.store

from kubectl_finetune import errors

SCHEMES = ("s3", "gs", "az")
LEFT = (".finetune/", "merged/", "tensorboard/", "wandb/")
"""Parts of an output that nobody needs to talk with the result."""
GOOGLE = "GOOGLE_APPLICATION_CREDENTIALS_JSON"
AZURE = {
    "AZURE_STORAGE_ACCOUNT": "AZURE_STORAGE_ACCOUNT_NAME",
    "AZURE_STORAGE_KEY": "AZURE_STORAGE_ACCOUNT_KEY",
}
"""Names that a Secret may have and obstore does not know."""


FOLDER = "folder"
"""What is looked through for work areas."""
WORK = ".finetune"
"""Folder below which each job has its work area, by its uid (docs/contract.md)."""


@dataclass(frozen=True)
class WorkArea:
    """Checkpoints, prepared rows and notes of one job."""

    place: str
    """The URI that was searched."""
    prefix: str
    """Of all its files, in the bucket."""
    uid: str
    names: Sequence[str]
    """Of its files, in the bucket."""
    size: int
    """Bytes."""
    touched: datetime
    """When its youngest file was written."""
    uri: str


def decoded(secret: Mapping[str, str]) -> dict[str, str]:
    """The keys of a Secret's `data`."""
    try:
        return {name: base64.b64decode(value).decode().strip() for name, value in secret.items()}
    except (binascii.Error, UnicodeDecodeError) as error:
        raise errors.Mistake(
            f"the Secret holds a value that is not text ({error}); create it again with the keys as text"
        ) from error


def read(uri: str, name: str, keys: Mapping[str, str]) -> bytes:
    """The file `name` below `uri`, opened with the Secret's `keys`, or where there are none with this machine's own identity."""
    if uri.startswith("file://"):
        return _local(Path("/" + uri.removeprefix("file://").lstrip("/")) / name)
    with _told(uri, name):
        store, prefix = _opened(uri, keys)
        return bytes(obstore.get(store, _below(prefix, name)).bytes())


def fetch(uri: str, keys: Mapping[str, str], folder: Path, *, last: str) -> None:
    """Every file of the result at `uri`, into `folder`; `last` comes last, so that it stands for all."""
    with _told(uri, "result"):
        store, prefix = _opened(uri, keys)
        found = [str(one["path"]) for some in obstore.list(store, prefix=prefix or None) for one in some]
    names = [path.removeprefix(prefix).lstrip("/") for path in found]
    wanted = [name for name in names if name != last and not name.startswith(LEFT)]
    for name in (*wanted, last):
        to = folder / name
        to.parent.mkdir(parents=True, exist_ok=True)
        with _told(uri, name), to.open("wb") as written:
            for chunk in obstore.get(store, _below(prefix, name)).stream():
                written.write(chunk)


def work_areas(uri: str, keys: Mapping[str, str]) -> list[WorkArea]:
    """Those below `uri`, however deep."""
    with _told(uri, FOLDER):
        store, prefix = _opened(uri, keys, files=True)
        files = [one for some in obstore.list(store, prefix=prefix or None) for one in some]
    mine: dict[str, list[Any]] = {}
    for one in files:
        parts = str(one["path"]).split("/")
        if WORK in parts[:-2]:
            end = parts.index(WORK) + 2
            mine.setdefault("/".join(parts[:end]), []).append(one)
    root = uri.rstrip("/").removesuffix(prefix).rstrip("/")
    return [
        WorkArea(
            place=uri,
            prefix=area,
            uid=area.rpartition("/")[2],
            names=tuple(str(one["path"]) for one in several),
            size=sum(one["size"] for one in several),
            touched=max(one["last_modified"] for one in several),
            uri=f"{root}/{area}",
        )
        for area, several in sorted(mine.items())
    ]


def remove(area: WorkArea, keys: Mapping[str, str]) -> None:
    """All its files."""
    with _told(area.place, area.prefix, doing="delete"):
        store, _ = _opened(area.place, keys, files=True)
        obstore.delete(store, list(area.names))


def _opened(uri: str, keys: Mapping[str, str], *, files: bool = False) -> tuple[Any, str]:
    """The bucket of `uri`, and the prefix in it. `files`: folders of this machine, too."""
    scheme, _, rest = uri.partition("://")
    if files and scheme == "file":
        folder = Path("/" + rest.lstrip("/"))
        if not folder.is_dir():
            raise FileNotFoundError(folder)
        return obstore.store.LocalStore(folder), ""
    if scheme not in SCHEMES:
        raise errors.Mistake(
            f"{uri} lies on a PersistentVolumeClaim, which only pods can read; copy it out of a pod that mounts the claim, with "
            "kubectl cp"
            if scheme == "pvc"
            else f"{uri} cannot be opened from here; name a place that begins with "
            f"{', '.join(f'{one}://' for one in (*SCHEMES, *['file'] * files))}"
        )
    place, _, prefix = rest.partition("/")
    store = obstore.store.from_url(
        f"{scheme}://{place}", config=_config(keys), client_options={"allow_http": True}
    )
    return store, prefix.strip("/")


def _below(prefix: str, name: str) -> str:
    return "/".join(part for part in (prefix, name) if part)


@contextmanager
def _told(uri: str, name: str, *, doing: str = "read") -> Iterator[None]:
    """The library's errors as sentences of ours."""
    try:
        yield
    except (FileNotFoundError, obstore.exceptions.NotFoundError) as error:
        what = f"{name} at {uri}; see whether the job has published there"
        raise errors.NotThere(
            f"there is no {f'folder {uri}; correct the path' if name == FOLDER else what}"
        ) from error
    except (obstore.exceptions.PermissionDeniedError, obstore.exceptions.UnauthenticatedError) as error:
        raise errors.Denied(
            f"{uri}: the keys may not {doing} {name}; ask for the right to {doing} in that bucket"
        ) from error
    except (obstore.exceptions.BaseError, ValueError) as error:
        told = str(error).strip().splitlines()[0][:200]
        raise errors.Outside(
            f"cannot {doing} {name} at {uri}: {told}; check the address, the keys and your network"
        ) from error


def _local(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise errors.NotThere(f"there is no file {path}; correct the path") from error
    except OSError as error:
        raise errors.Denied(f"{path} cannot be read ({error.strerror}); ask for access to it") from error


def _config(keys: Mapping[str, str]) -> Any:
    """The Secret's keys as obstore knows them; a server of one's own wants some region, whichever."""
    known = {
        AZURE.get(name, name): value for name, value in keys.items() if name.startswith(("AWS_", "AZURE_"))
    }
    if "AWS_ACCESS_KEY_ID" in known:
        known.setdefault("AWS_REGION", known.pop("AWS_DEFAULT_REGION", "us-east-1"))
    if GOOGLE in keys:
        known["GOOGLE_SERVICE_ACCOUNT_KEY"] = keys[GOOGLE]
    return known
