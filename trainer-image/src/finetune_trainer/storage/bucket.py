"""S3, Google Cloud Storage and Azure, all through obstore."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore
import obstore.exceptions
from obstore.store import AzureStore, GCSStore, S3Store

from finetune_trainer import errors
from finetune_trainer.layout import Layout
from finetune_trainer.storage import credentials, translate
from finetune_trainer.storage.reference import Item, Reference, Store, Told, nobody
from finetune_trainer.storage.transfer import Wanted, download

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

CHUNK_BYTES = 8 * 1024 * 1024
STREAM_BYTES = 256 * 1024
"""Of a download, what is passed on at once: what a stream has gathered when it breaks is lost."""
MOST_PARTS = 9000
"""Of an upload."""

RETRY: "RetryConfig" = {
    "max_retries": 5,
    "retry_timeout": timedelta(seconds=15),
    "backoff": {"init_backoff": timedelta(milliseconds=200), "max_backoff": timedelta(seconds=3), "base": 2},
}
"""A refused connection is told after some 6 s, a silent one after some 20 s: the operator waits, not the pod."""

TIMEOUTS: "ClientConfig" = {
    "connect_timeout": timedelta(seconds=5),
    "read_timeout": timedelta(seconds=20),
    "timeout": timedelta(hours=24),  # counts the body too: obstore's 30 s would cut every large download
}

AZURE_KEYS = {
    "AZURE_STORAGE_ACCOUNT": "account_name",
    "AZURE_STORAGE_ACCOUNT_NAME": "account_name",
    "AZURE_STORAGE_KEY": "account_key",
    "AZURE_STORAGE_ACCESS_KEY": "account_key",
    "AZURE_STORAGE_ACCOUNT_KEY": "account_key",
    "AZURE_STORAGE_SAS_KEY": "sas_key",
    "AZURE_STORAGE_SAS_TOKEN": "sas_key",
    "AZURE_STORAGE_ENDPOINT": "endpoint",
    "AZURE_CLIENT_ID": "client_id",
    "AZURE_CLIENT_SECRET": "client_secret",
    "AZURE_TENANT_ID": "tenant_id",
}
"""Names that a Secret may hold -> obstore's."""

UNSIGNED = json.dumps({"disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""})
"""A service account that signs nothing, for a server of one's own: obstore's `skip_signature` holds for reading only."""


class BucketStore(Store):
    """A prefix of a bucket."""

    def __init__(self, reference: Reference, layout: Layout) -> None:
        super().__init__(reference)
        self._client = _client(reference, layout)
        self._server = credentials.read(reference, layout).get(translate.ENDPOINTS[reference.scheme], "")
        self._checked = False

    @property
    def origin(self) -> str:
        """See `Store`."""
        return f"{self._server}/{super().origin}"

    def list(self, prefix: str = "") -> list[Item]:
        """See `Store`."""
        folder = self._path(prefix)
        with self._translated(prefix):
            pages = list(obstore.list(self._client, folder or None))
        items = [self._item(meta) for page in pages for meta in page]
        return sorted((item for item in items if item.key), key=lambda item: item.key)

    def head(self, key: str) -> Item | None:
        """See `Store`."""
        meta = self._meta(key)
        return self._item(meta) if meta else None

    def _meta(self, key: str) -> "ObjectMeta | None":
        """What the server says of the object, None where there is none."""
        try:
            with self._translated(key, missing_too=False):
                return obstore.head(self._client, self._path(key))
        except FileNotFoundError:
            self._check()
            return None

    def get(self, key: str, to: Path, told: Told = nobody) -> None:
        """See `Store`. In parts, all of one version: an object that is replaced meanwhile is told."""
        meta = self._meta(key)
        if meta is None:
            raise self.reference.missing(self.uri_of(key))
        item = self._item(meta)
        wanted = Wanted(size=item.size, tag=item.tag, name=f"{self.reference.field}: {self.uri_of(key)}")
        with disk(to):
            download(wanted, lambda start, end: self._range(key, meta["e_tag"], start, end), to, told)

    def _range(self, key: str, tag: str | None, start: int, end: int) -> Iterator[bytes | memoryview]:
        """Bytes of the version `tag`."""
        options: GetOptions = {"range": (start, end)}
        if tag and not tag.startswith("W/"):
            options["if_match"] = tag
        with self._translated(key):
            answer = obstore.get(self._client, self._path(key), options=options)
            for chunk in answer.stream(STREAM_BYTES):
                yield memoryview(chunk)

    def read(self, key: str) -> bytes:
        """See `Store`."""
        with self._translated(key):
            return bytes(obstore.get(self._client, self._path(key)).bytes())

    def put(self, key: str, content: bytes | Path) -> None:
        """See `Store`."""
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        with self._translated(key):
            obstore.put(self._client, self._path(key), content, chunk_size=_part_bytes(size))

    def put_if_absent(self, key: str, content: bytes) -> bool:
        """See `Store`. On a server that knows no conditional writes, by a look before: two at one moment may both write."""
        try:
            with self._translated(key):
                obstore.put(self._client, self._path(key), content, mode="create")
        except obstore.exceptions.AlreadyExistsError:
            return False
        except errors.StorageUnavailable as error:
            if translate.code(error.__cause__) not in translate.NO_CONDITIONS:
                raise
            if self.head(key):
                return False
            self.put(key, content)
        return True

    def delete(self, key: str) -> None:
        """See `Store`."""
        try:
            with self._translated(key, missing_too=False):
                obstore.delete(self._client, self._path(key))
        except FileNotFoundError:
            self._check()

    def _check(self) -> None:
        """Tell a missing object from a missing bucket and from wrong keys, once.

        HEAD has no body: whether 404 means "no such key", "no such bucket" or even "no such user" (versitygw) can only be
        learned from a listing.
        """
        if not self._checked:
            with self._translated(""):
                next(iter(obstore.list(self._client, self._path("") or None, chunk_size=1)), None)
            self._checked = True

    def _path(self, key: str) -> str:
        return "/".join(part for part in (self.reference.path, key.strip("/")) if part)

    def _item(self, meta: Any) -> Item:
        base = self.reference.path
        path = str(meta["path"])
        key = path[len(base) :].strip("/") if base else path
        return Item(
            key=key, size=int(meta["size"]), tag=str(meta.get("e_tag") or meta["last_modified"]).strip('"')
        )

    @contextmanager
    def _translated(self, key: str, *, missing_too: bool = True) -> Iterator[None]:
        """Turn obstore's errors into ours; `FileNotFoundError` passes where `missing_too` is False."""
        try:
            yield
        except obstore.exceptions.AlreadyExistsError:
            raise
        except FileNotFoundError as error:
            if not missing_too and "<Code>NoSuchBucket" not in str(error):
                raise
            raise translate.obstore_error(error, self.reference, self.uri_of(key)) from error
        except obstore.exceptions.BaseError as error:
            raise translate.obstore_error(error, self.reference, self.uri_of(key)) from error


def _part_bytes(size: int) -> int:
    """How large the parts of an upload are: S3 takes at most 10 000 of them, so that 5 MiB each end at 49 GiB."""
    return max(CHUNK_BYTES, -(-size // MOST_PARTS))


@contextmanager
def disk(path: Path) -> Iterator[None]:
    """Turn a full disk into our error."""
    try:
        yield
    except OSError as error:
        if error.errno not in {28, 122}:  # ENOSPC, EDQUOT
            raise
        raise errors.ScratchFull(
            f"spec.resources.scratch: the pod's scratch disk is full while {path.name} is written; raise spec.resources.scratch"
        ) from error


def _client(reference: Reference, layout: Layout) -> "ObjectStore":
    secret = credentials.read(reference, layout)
    options: ClientConfig = {**TIMEOUTS}
    if authorities := credentials.authorities(layout):
        options["root_certificate"] = authorities
    made: dict[str, Callable[[], ObjectStore]] = {
        "s3": lambda: _s3(reference, secret, options),
        "gs": lambda: _gcs(reference, secret, options),
        "az": lambda: _azure(reference, secret, options),
    }
    try:
        return made[reference.scheme]()
    except (obstore.exceptions.BaseError, ValueError) as error:
        raise _unusable(reference, error) from error


def _unusable(reference: Reference, error: Exception) -> errors.TrainerError:
    """The error for keys that are none. obstore names the place of the fault and not what stands there: nothing leaks."""
    told = str(error).splitlines()[0][:300]
    if reference.secret is None:
        return errors.AccessDenied(
            f"{reference.field}: {reference.uri} cannot be opened without a Secret: {told}; name one in credentialsSecretRef "
            "beside the URI"
        )
    return errors.AccessDenied(
        f"{reference.field}: the keys of the Secret {reference.secret!r} cannot be used for {reference.uri}: {told}; correct them"
    )


def _s3(reference: Reference, secret: dict[str, str], options: "ClientConfig") -> S3Store:
    """Without a Secret obstore reads the pod's own identity (web identity, container credentials, IMDS)."""
    if secret and not {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} <= secret.keys():
        raise credentials.lacking(reference, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    config: dict[str, Any] = {
        "region": secret.get("AWS_REGION") or secret.get("AWS_DEFAULT_REGION"),
        "endpoint": secret.get("AWS_ENDPOINT_URL_S3") or secret.get("AWS_ENDPOINT_URL"),
        "access_key_id": secret.get("AWS_ACCESS_KEY_ID"),
        "secret_access_key": secret.get("AWS_SECRET_ACCESS_KEY"),
        "session_token": secret.get("AWS_SESSION_TOKEN"),
    }
    if secret:
        config["region"] = config["region"] or "us-east-1"  # what servers of one's own expect
    options["allow_http"] = (
        True  # an endpoint of one's own inside the cluster speaks http more often than not
    )
    said = {name: value for name, value in config.items() if value}
    return S3Store(reference.place, client_options=options, retry_config=RETRY, **said)


def _gcs(reference: Reference, secret: dict[str, str], options: "ClientConfig") -> GCSStore:
    """Without a key a server of one's own is asked without signing; Google's own with the pod's identity."""
    key, server = secret.get("GOOGLE_APPLICATION_CREDENTIALS_JSON"), secret.get("STORAGE_EMULATOR_HOST")
    if secret and not key and not server:
        raise credentials.lacking(reference, "GOOGLE_APPLICATION_CREDENTIALS_JSON")
    said: dict[str, Any] = {"service_account_key": key} if key else {}
    if server:
        said["base_url"] = (server if "://" in server else f"http://{server}").rstrip("/")
        said.setdefault("service_account_key", UNSIGNED)
        options["allow_http"] = True
    return GCSStore(reference.place, client_options=options, retry_config=RETRY, **said)


def _azure(reference: Reference, secret: dict[str, str], options: "ClientConfig") -> AzureStore:
    said: dict[str, Any] = {ours: secret[name] for name, ours in AZURE_KEYS.items() if name in secret}
    if secret and "account_name" not in said:
        raise credentials.lacking(reference, "AZURE_STORAGE_ACCOUNT")
    options["allow_http"] = True
    return AzureStore(reference.place, client_options=options, retry_config=RETRY, **said)
