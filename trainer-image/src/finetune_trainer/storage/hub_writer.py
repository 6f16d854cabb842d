"""A repository of the Hugging Face Hub that is written to: made where there is none, and given its files in one commit."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from finetune_trainer import errors
from finetune_trainer.layout import Layout
from finetune_trainer.storage import credentials, hub_trust
from finetune_trainer.storage.hub import DEFAULT_ENDPOINT, is_silence
from finetune_trainer.storage.reference import Reference

SILENCE = 30.0
"""Seconds that the Hub may take to answer, or to take the next piece. The library waits for ever, and tries five times more."""
REFUSALS = frozenset({401, 403, 404})
"""404 is also what the Hub says of what one may not see."""
OWN_WORDS = 200
"""Characters of the Hub's own sentence."""


class HubWriter:
    """One repository."""

    def __init__(self, reference: Reference, layout: Layout, *, private: bool) -> None:
        """Raises `SettingsDoNotFit` where the profile says offline, and `SecretMissing`."""
        if reference.hub.offline:
            raise errors.SettingsDoNotFit(
                f"{reference.field}: {reference.uri} needs the Hugging Face Hub, and the profile says offline; leave "
                "spec.output.hub out"
            )
        # False and not None: None would let the library look for a token by itself.
        self._token: str | bool = credentials.read(reference, layout).get("HF_TOKEN") or False
        if reference.secret and not self._token:
            raise credentials.lacking(reference, "HF_TOKEN")
        self._reference = reference
        self._layout = layout
        self._repo = reference.uri.removeprefix("hf://")
        self._endpoint = (reference.hub.endpoint or DEFAULT_ENDPOINT).rstrip("/")
        self._private = private

    def make(self) -> None:
        """Make the repository if it is not there. Raises `AccessDenied`, or what waiting may help."""
        with self._translated():
            self._api().create_repo(self._repo, private=self._private, exist_ok=True)

    def commit(self, files: Mapping[str, Path | bytes], *, gone: Iterable[str], message: str) -> str:
        """Put `files` there by name and remove those that are `gone`, all at once; the commit."""
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete  # noqa: PLC0415 - see _api

        operations: list[Any] = [
            CommitOperationAdd(path_in_repo=name, path_or_fileobj=content) for name, content in files.items()
        ]
        operations += [CommitOperationDelete(path_in_repo=name) for name in gone]
        with self._translated():
            made = self._api().create_commit(self._repo, operations, commit_message=message)
        return str(made.oid)

    def _api(self) -> Any:
        """The Hub's library, told not to wait for ever, and to send large files as Git LFS does: every mirror knows that."""
        import huggingface_hub  # noqa: PLC0415 - 0.3 s that runs without a Hub need not wait for
        from huggingface_hub import constants  # noqa: PLC0415

        hub_trust.trust(self._layout)
        constants.HF_HUB_DISABLE_XET = True  # its own client has timeouts and retries that nobody can set
        huggingface_hub.get_session().timeout = SILENCE
        return huggingface_hub.HfApi(endpoint=self._endpoint, token=self._token)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            made = self._ours(error)
            if made is None:
                raise
            raise made from error

    def _ours(self, error: BaseException) -> errors.TrainerError | None:
        """Our error for what the library raised; None for what is not the Hub's fault."""
        from huggingface_hub import errors as theirs  # noqa: PLC0415 - see _api

        field, uri = self._reference.field, self._reference.uri
        while isinstance(error, RuntimeError) and error.__cause__:
            error = error.__cause__  # what it makes of an upload that fails
        if isinstance(error, theirs.HFValidationError):
            return errors.InvalidRun(f"{field}: {str(error).splitlines()[0]}")
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in REFUSALS:
            return errors.AccessDenied(
                f"{field}: {self._endpoint} refuses {uri} (HTTP {status}{self._own_words(error)}) with {self._with}: its owner does"
                " not exist, or the token may not write there; correct the name, or name a Secret whose HF_TOKEN may"
            )
        if status:
            return errors.StorageUnavailable(
                f"{field}: {self._endpoint} answers HTTP {status}{self._own_words(error)} for {uri}"
            )
        if is_silence(error):
            return errors.EndpointUnreachable(
                f"{field}: no answer from the Hub at {self._endpoint} for {uri} ({type(error).__name__}); check the network, or "
                "the profile's mirrors.hub"
            )
        return None

    @property
    def _with(self) -> str:
        return f"the token of the Secret {self._reference.secret!r}" if self._token else "no token"

    @staticmethod
    def _own_words(error: BaseException) -> str:
        """What the Hub says itself."""
        said = getattr(error, "server_message", None)
        return f": {' '.join(str(said).split())[:OWN_WORDS]}" if said else ""
