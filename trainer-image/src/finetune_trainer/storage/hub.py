"""Models and datasets of the Hugging Face Hub, or of a mirror of it. Token and endpoint are told, never found lying about."""

import functools
import re
import shutil
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from finetune_trainer import errors
from finetune_trainer.layout import Layout
from finetune_trainer.storage import credentials, digests, hub_trust, ranged
from finetune_trainer.storage.bucket import disk
from finetune_trainer.storage.reference import Item, Reference, Store, Told, nobody
from finetune_trainer.storage.transfer import Wanted, download

PATTERN = re.compile(
    r"^(?P<datasets>datasets/)?(?P<repo>[^/@\s]+/[^/@\s]+?)(@(?P<revision>[^/\s]+))?(/(?P<path>.+?))?/?$"
)
DEFAULT_ENDPOINT = "https://huggingface.co"
LARGE = 16 * 1024 * 1024
"""Bytes from which on a file is fetched in parts."""
TIMEOUT = 10.0
"""Seconds for one answer about a repository."""


class HubStore(Store):
    """A repository at one commit, or a folder or file of it. The commit is looked up once, and then stays."""

    def __init__(self, reference: Reference, layout: Layout) -> None:
        super().__init__(reference)
        parts = PATTERN.match(reference.uri.removeprefix("hf://"))
        if not parts:
            raise errors.InvalidRun(
                f"{reference.field}: {reference.uri} is not a repository of the Hub; write hf://org/name, hf://org/name@revision "
                "or hf://datasets/org/name"
            )
        if reference.hub.offline:
            raise reference.error(
                f"{reference.field}: {reference.uri} needs the Hugging Face Hub, and the profile says offline; use a copy in "
                "a bucket or on a claim"
            )
        self.repo: str = parts["repo"]
        self.revision: str = parts["revision"] or "main"
        self._type = "dataset" if parts["datasets"] else "model"
        self.folder: str = parts["path"] or ""
        """What of the repository is meant: a folder, a file, or all of it (empty)."""
        self._endpoint = (reference.hub.endpoint or DEFAULT_ENDPOINT).rstrip("/")
        # False and not None: None would let the library look for a token by itself.
        self._token: str | bool = credentials.read(reference, layout).get("HF_TOKEN") or False
        if reference.secret and not self._token:
            raise credentials.lacking(reference, "HF_TOKEN")
        self._layout = layout

    @functools.cached_property
    def commit(self) -> str:
        """The commit that the revision stands for now."""
        return str(self._info.sha)

    @functools.cached_property
    def _info(self) -> Any:
        with self._translated(""):
            return self._api.repo_info(
                self.repo, revision=self.revision, repo_type=self._type, files_metadata=True, timeout=TIMEOUT
            )

    @functools.cached_property
    def _api(self) -> Any:
        import huggingface_hub  # noqa: PLC0415 - 0.3 s that runs without a Hub need not wait for

        hub_trust.trust(self._layout)
        return huggingface_hub.HfApi(endpoint=self._endpoint, token=self._token)

    def list(self, prefix: str = "") -> list[Item]:
        """See `Store`."""
        folder = f"{self._path(prefix)}/" if self._path(prefix) else ""
        files = [file for file in self._info.siblings or [] if file.rfilename.startswith(folder)]
        return sorted((self._item(file) for file in files), key=lambda item: item.key)

    def head(self, key: str) -> Item | None:
        """See `Store`."""
        path = self._path(key)
        return next((self._item(file) for file in self._info.siblings or [] if file.rfilename == path), None)

    @property
    def origin(self) -> str:
        """See `Store`."""
        return f"{self._endpoint}/{self._type}s/{self.repo}"

    def get(self, key: str, to: Path, told: Told = nobody) -> None:
        """See `Store`. Held against the digest that the listing tells; one that does not fit is fetched once more."""
        to.parent.mkdir(parents=True, exist_ok=True)
        item = self.head(key)
        for again in (True, False):
            with disk(to):
                self._fetch(key, item, to, told)
            if item is None or digests.fits(to, item.digest):
                return
            told(-item.size)
            to.unlink()
            if not again:
                raise errors.StorageUnavailable(
                    f"{self.reference.field}: {self.uri_of(key)} arrived twice with a content that is not the one that "
                    f"{self._endpoint} lists ({item.digest}); it is tried again later"
                )

    def _fetch(self, key: str, item: Item | None, to: Path, told: Told) -> None:
        """Small files by the Hub's library; large ones in parts, which it would begin anew in every pod.

        Not every mirror knows parts.
        """
        address = self._address(key)
        if item and item.size >= LARGE and address.begins_in_the_middle():
            wanted = Wanted(size=item.size, tag=item.tag, name=f"{self.reference.field}: {self.uri_of(key)}")
            download(wanted, lambda start, end: address.read(start, end, size=item.size), to, told)
            return
        folder = to.with_name(f".{to.name}.hub")
        with self._translated(key):
            file = self._api.hf_hub_download(
                self.repo, self._path(key), repo_type=self._type, revision=self.commit, local_dir=folder
            )
            shutil.move(file, to)
            shutil.rmtree(folder, ignore_errors=True)
        told(to.stat().st_size)

    def _address(self, key: str) -> ranged.Address:
        """Where the file is, at the commit."""
        kind = "datasets/" if self._type == "dataset" else ""
        return ranged.Address(
            url=f"{self._endpoint}/{kind}{self.repo}/resolve/{self.commit}/{urllib.parse.quote(self._path(key))}",
            authorization=f"Bearer {self._token}" if self._token else None,
            context=ranged.trust(self._layout),
            refused=lambda status: self._refused(status, self.uri_of(key)),
            silent=lambda error: self._silent(error, self.uri_of(key)),
        )

    def _refused(self, status: int, uri: str) -> errors.TrainerError:
        if status in {401, 403}:
            return self._gated("")
        if status == 404:  # noqa: PLR2004 - everyone knows 404
            return self.reference.missing(f"{uri} on {self._endpoint}")
        return errors.StorageUnavailable(
            f"{self.reference.field}: {self._endpoint} answers HTTP {status} for {uri}; it is tried again later"
        )

    def read(self, key: str) -> bytes:
        """See `Store`."""
        to = self._layout.temporary / "hub" / f"{self.commit}.read"
        self.get(key, to)
        return to.read_bytes()

    def _path(self, key: str) -> str:
        return "/".join(part for part in (self.folder, key.strip("/")) if part)

    def _item(self, file: Any) -> Item:
        key = file.rfilename[len(self.folder) :].strip("/")
        blob, large = file.blob_id, getattr(file, "lfs", None)
        digest = f"sha256:{large.sha256}" if large else f"git:{blob}" if blob else None
        return Item(key=key, size=int(file.size or 0), tag=str(blob or self.commit), digest=digest)

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        try:
            yield
        except errors.TrainerError:
            raise
        except Exception as error:
            made = self._ours(error, key)
            if made is None:
                raise
            raise made from error

    def _ours(self, error: Exception, key: str) -> errors.TrainerError | None:
        """Our error for what the Hub's library raised; None for what is not the Hub's fault."""
        from huggingface_hub import errors as theirs  # noqa: PLC0415 - see _api

        field, uri = self.reference.field, self.uri_of(key)
        status = getattr(getattr(error, "response", None), "status_code", None)
        if isinstance(error, theirs.LocalEntryNotFoundError):
            # A kind of EntryNotFoundError by its class, but it says only that the question failed, whatever the reason was.
            cause = error.__cause__
            made = self._ours(cause, key) if isinstance(cause, Exception) else None
            return made or self._silent(cause or error, uri)
        if isinstance(error, theirs.GatedRepoError) or status in {401, 403}:
            return self._gated(str(error))
        if isinstance(error, theirs.RevisionNotFoundError):
            return self.reference.error(
                f"{field}: {self.repo} has no revision {self.revision!r}; correct it in {uri}"
            )
        if isinstance(error, theirs.EntryNotFoundError | theirs.RepositoryNotFoundError) or status == 404:  # noqa: PLR2004
            return self.reference.missing(f"{uri} on {self._endpoint}")
        if status:
            return self._refused(status, uri)
        if is_silence(error):
            return self._silent(error, uri)
        return None

    def _silent(self, error: BaseException, uri: str) -> errors.TrainerError:
        return errors.EndpointUnreachable(
            f"{self.reference.field}: no answer from the Hub at {self._endpoint} for {uri} ({type(error).__name__}); check the "
            "network, or the profile's mirrors.hub; it is tried again later"
        )

    def _gated(self, told: str) -> errors.TrainerError:
        """401 and 403: gated, private, or not there at all; without a token the Hub does not say which."""
        have = f"the token of the Secret {self.reference.secret!r}" if self._token else "no token"
        del told
        return errors.GatedModel(
            f"{self.reference.field}: {self._endpoint} refuses {self.repo} with {have}: the repository is gated or private, or "
            "does not exist; check the name, accept the repository's conditions on the Hub, and name a Secret with the HF_TOKEN of "
            "an account that may read it"
        )


def is_silence(error: BaseException | None) -> bool:
    """Whether nobody answered; the library hides the cause under errors of its own."""
    while error is not None:
        names = {kind.__name__ for kind in type(error).__mro__}
        if names & {
            "ConnectError",
            "TimeoutException",
            "TransportError",
            "ConnectionError",
            "OfflineModeIsEnabled",
            "TimeoutError",
        }:
            return True
        error = error.__cause__ or error.__context__
    return False
