"""One file behind an http(s) address. The query of a presigned URL is kept, which is why this is not obstore's HTTP store."""

import shutil
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from finetune_trainer import errors
from finetune_trainer.layout import Layout
from finetune_trainer.storage import credentials
from finetune_trainer.storage.bucket import CHUNK_BYTES, disk
from finetune_trainer.storage.reference import Item, Reference, Store

TIMEOUT = 20.0
"""Seconds of silence that are too many."""


class WebStore(Store):
    """One file. It has no listing."""

    def __init__(self, reference: Reference, layout: Layout) -> None:
        super().__init__(reference)
        if reference.secret:
            raise errors.NotYetSupported(
                f"{reference.field}: credentialsSecretRef is not supported for {reference.scheme}:// sources; use an address "
                "that needs no header, for example a presigned one, or leave the Secret out"
            )
        self._context = ssl.create_default_context()
        if authorities := credentials.authorities(layout):
            self._context.load_verify_locations(cadata=authorities)

    def list(self, prefix: str = "") -> list[Item]:
        """See `Store`."""
        del prefix
        return []

    def head(self, key: str) -> Item | None:
        """See `Store`. A GET whose body is not read: many servers refuse HEAD, and a presigned URL allows one verb only."""
        if key:
            return None
        with self._answer() as answer:
            tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
            return Item(key="", size=int(answer.headers.get("Content-Length") or 0), tag=tag)

    def get(self, key: str, to: Path) -> None:
        """See `Store`."""
        del key
        to.parent.mkdir(parents=True, exist_ok=True)
        with self._answer() as answer, disk(to), to.open("wb") as file:
            shutil.copyfileobj(answer, file, CHUNK_BYTES)

    def read(self, key: str) -> bytes:
        """See `Store`."""
        del key
        with self._answer() as answer:
            return answer.read()

    @contextmanager
    def _answer(self) -> Iterator[HTTPResponse]:
        field, uri = (
            self.reference.field,
            self.reference.uri.partition("?")[0],
        )  # a query may hold a signature
        try:
            # The scheme is http or https: Reference has looked.
            with urllib.request.urlopen(self.reference.uri, timeout=TIMEOUT, context=self._context) as answer:  # noqa: S310
                yield answer
        except urllib.error.HTTPError as error:
            raise self._refused(error.code, uri) from error
        except (TimeoutError, urllib.error.URLError, HTTPException, ConnectionError) as error:
            cause = getattr(error, "reason", error)
            raise errors.EndpointUnreachable(
                f"{field}: no whole answer for {uri} ({cause}); check the address and the network; tried again later"
            ) from error

    def _refused(self, status: int, uri: str) -> errors.TrainerError:
        if status in {404, 410}:
            return self.reference.missing(f"{uri} (HTTP {status})")
        if status in {401, 403}:
            return errors.AccessDenied(
                f"{self.reference.field}: {uri} answers HTTP {status}; use an address that may be read, for example a fresh "
                "presigned one"
            )
        if status < 500 and status not in {408, 429}:  # noqa: PLR2004 - by definition of 4xx the asker's fault
            return self.reference.error(
                f"{self.reference.field}: {uri} answers HTTP {status}; correct the address"
            )
        return errors.StorageUnavailable(
            f"{self.reference.field}: {uri} answers HTTP {status}; tried again later"
        )
