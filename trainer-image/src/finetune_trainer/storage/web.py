"""One file behind an http(s) address. The query of a presigned URL is kept, which is why this is not obstore's HTTP store."""

from http.client import HTTPResponse
from pathlib import Path

from finetune_trainer import errors
from finetune_trainer.layout import Layout
from finetune_trainer.storage import credentials, ranged
from finetune_trainer.storage.bucket import disk
from finetune_trainer.storage.reference import Item, Reference, Store, Told, nobody
from finetune_trainer.storage.transfer import Wanted, download

TOKEN, USER, PASSWORD = "HTTP_BEARER_TOKEN", "HTTP_USERNAME", "HTTP_PASSWORD"
ATTEMPTS = 3
"""At a file whose size the server does not tell: nothing of it can be taken up again."""


class WebStore(Store):
    """One file. It has no listing."""

    def __init__(self, reference: Reference, layout: Layout) -> None:
        super().__init__(reference)
        self._said = reference.uri.partition("?")[0]  # a query may hold a signature
        self._authorization = _authorization(reference, layout)
        self._address = ranged.Address(
            url=reference.uri,
            authorization=self._authorization,
            context=ranged.trust(layout),
            refused=self._refused,
            silent=self._silent,
        )

    def list(self, prefix: str = "") -> list[Item]:
        """See `Store`."""
        del prefix
        return []

    def head(self, key: str) -> Item | None:
        """See `Store`. A GET whose body is not read: many servers refuse HEAD, and a presigned URL allows one verb only."""
        if key:
            return None
        with self._address.answer() as answer:
            tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
            return Item(key="", size=_size(answer) or 0, tag=tag)

    def get(self, key: str, to: Path, told: Told = nobody) -> None:
        """See `Store`. One stream, which goes on from where it broke off if the server can begin in the middle."""
        del key
        to.parent.mkdir(parents=True, exist_ok=True)
        with disk(to):
            with self._address.answer() as answer:
                size, tag = _size(answer), answer.headers.get("ETag") or ""
                resumable = answer.headers.get("Accept-Ranges") == "bytes"
            if size is None:
                self._get_unmeasured(to, told)
            elif size == 0:
                to.write_bytes(b"")
            else:
                download(
                    Wanted(size=size, tag="", name=f"{self.reference.field}: {self._said}"),
                    lambda start, end: self._address.read(start, end, size=size, tag=tag),
                    to,
                    told,
                    part_bytes=size,
                    resumable=resumable,
                )

    def _get_unmeasured(self, to: Path, told: Told) -> None:
        """A body without a length is whole if its last chunk says so: http.client tells where that one is missing."""
        unfinished = to.with_name(f".{to.name}.part")
        for attempt in range(1, ATTEMPTS + 1):
            there = 0
            try:
                with self._address.answer() as answer, unfinished.open("wb") as file:
                    while chunk := answer.read(ranged.STREAM_BYTES):
                        file.write(chunk)
                        there += len(chunk)
                        told(len(chunk))
            except errors.OutsideError:
                told(-there)
                if attempt == ATTEMPTS:
                    raise
            else:
                unfinished.replace(to)
                return

    def read(self, key: str) -> bytes:
        """See `Store`."""
        del key
        with self._address.answer() as answer:
            return answer.read()

    def _silent(self, error: BaseException) -> errors.TrainerError:
        cause = getattr(error, "reason", error)
        return errors.EndpointUnreachable(
            f"{self.reference.field}: no whole answer for {self._said} ({cause}); check the address and the network; it is tried "
            "again later"
        )

    def _refused(self, status: int) -> errors.TrainerError:
        field = self.reference.field
        if status in {404, 410}:
            return self.reference.missing(f"{self._said} (HTTP {status})")
        if status in {401, 403} and self._authorization:
            return errors.AccessDenied(
                f"{field}: {self._said} answers HTTP {status} to the keys of the Secret {self.reference.secret!r}; correct them, "
                "or give their owner the right to read"
            )
        if status in {401, 403}:
            return errors.AccessDenied(
                f"{field}: {self._said} answers HTTP {status}; use an address that may be read, for example a fresh presigned "
                f"one, or name a Secret with {TOKEN}, or {USER} and {PASSWORD}"
            )
        if status < 500 and status not in {408, 429}:  # noqa: PLR2004 - by definition of 4xx the asker's fault
            return self.reference.error(f"{field}: {self._said} answers HTTP {status}; correct the address")
        return errors.StorageUnavailable(
            f"{field}: {self._said} answers HTTP {status}; it is tried again later"
        )


def _authorization(reference: Reference, layout: Layout) -> str | None:
    """The header that the Secret's keys make, None without a Secret. Raises `InvalidRun` where it would be sent in the clear."""
    secret = credentials.read(reference, layout)
    if not secret:
        return None
    if reference.scheme != "https":
        raise errors.InvalidRun(
            f"{reference.field}: the keys of the Secret {reference.secret!r} would be sent unencrypted; use https://"
        )
    if TOKEN in secret:
        return f"Bearer {secret[TOKEN]}"
    if {USER, PASSWORD} <= secret.keys():
        return ranged.basic(secret[USER], secret[PASSWORD])
    raise credentials.lacking(reference, f"{TOKEN}, or {USER} and {PASSWORD}")


def _size(answer: HTTPResponse) -> int | None:
    told = answer.headers.get("Content-Length")
    return int(told) if told is not None and told.isdigit() else None
