"""Foreign errors of storage become ours.

obstore tells most failures as one generic exception whose text holds the HTTP status and the server's error code (measured
with 0.12: a wrong key is `GenericError` when listing and `PermissionDeniedError` when reading). So the text is read, in the order
of the table below; the first row that fits wins.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from finetune_trainer import errors
from finetune_trainer.storage.reference import Reference

STATUS = re.compile(r"status code: (\d{3})")
CODE = re.compile(r"<Code>(\w+)</Code>")

BUCKET_CODES = frozenset({"NoSuchBucket", "ContainerNotFound", "InvalidBucketName"})
KEY_CODES = frozenset(
    {
        "AccessDenied",
        "AuthenticationFailed",
        "AuthorizationFailure",
        "AuthorizationPermissionMismatch",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidSecurity",
        "InvalidToken",
        "SignatureDoesNotMatch",
        "XAdminUserNotFound",  # versitygw's word for InvalidAccessKeyId, sent with 404
    }
)
NO_CONDITIONS = frozenset({"NotImplemented"})
"""A server that does not know a header it was asked with."""
DENIED_STATUS = frozenset({401, 403})
BUSY_STATUS = frozenset({408, 429})
SERVER_ERROR = 500

UNREACHABLE = (
    "dns error",
    "Connection refused",
    "timed out",
    "Timeout",
    "tls",
    "certificate",
    "error sending request",
)
"""Parts of obstore's text when no HTTP answer came."""

NO_IDENTITY = (
    "169.254.169.254",
    "169.254.170.2",
    "metadata.google.internal",
    "CredentialProvider",
    "MissingCredential",
)
"""Parts of the text when no keys were given and the machine has no identity of its own."""


ENDPOINTS = {"s3": "AWS_ENDPOINT_URL", "gs": "STORAGE_EMULATOR_HOST", "az": "AZURE_STORAGE_ENDPOINT"}
"""Which key of the Secret names the server."""


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What is known of a failed call."""

    reference: Reference
    uri: str
    """The object or folder concerned."""
    status: int | None
    code: str | None
    text: str

    @property
    def told(self) -> str:
        """The server's own word, if it gave one."""
        word = self.code or (f"HTTP {self.status}" if self.status else "")
        return f" ({word})" if word else ""


def code(error: BaseException | None) -> str | None:
    """The server's own word for a failed call, if it gave one."""
    found = CODE.search(str(error))
    return found.group(1) if found else None


def obstore_error(error: BaseException, reference: Reference, uri: str) -> errors.TrainerError:
    """Our error for what obstore raised about `uri`."""
    text = str(error)
    status, code = STATUS.search(text), CODE.search(text)
    trouble = Trouble(
        reference=reference,
        uri=uri,
        status=int(status.group(1)) if status else None,
        code=code.group(1) if code else None,
        text=text,
    )
    return next(made(trouble) for fits, made in TABLE if fits(trouble))


def _no_identity(trouble: Trouble) -> errors.TrainerError:
    return errors.AccessDenied(
        f"{trouble.reference.field}: no keys for {trouble.reference.uri}; name a Secret in credentialsSecretRef beside the URI, or "
        "set spec.serviceAccountName to one with access"
    )


def _denied(trouble: Trouble) -> errors.TrainerError:
    secret = trouble.reference.secret
    keys = f"the keys of the Secret {secret!r}" if secret else "the pod's own identity"
    return errors.AccessDenied(
        f"{trouble.reference.field}: access to {trouble.uri} is denied{trouble.told} with {keys}; correct the keys, or "
        "give them the right to list, read and, for the output, write and delete"
    )


def _no_bucket(trouble: Trouble) -> errors.TrainerError:
    return errors.BucketNotFound(
        f"{trouble.reference.field}: the bucket {trouble.reference.place!r} of {trouble.reference.uri} does not exist"
        f"{trouble.told}; create it, or correct the URI"
    )


def _unavailable(trouble: Trouble) -> errors.TrainerError:
    return errors.StorageUnavailable(
        f"{trouble.reference.field}: the storage server for {trouble.uri} reports an error{trouble.told}; it is tried again later"
    )


def _unreachable(trouble: Trouble) -> errors.TrainerError:
    address = re.search(r"performing [A-Z]+ (\w+://[^/\s?]+)", trouble.text)
    where = f" at {address.group(1)}" if address else ""
    return errors.EndpointUnreachable(
        f"{trouble.reference.field}: no answer from the storage{where} for {trouble.uri} ({_cause(trouble.text)}); check the "
        f"endpoint ({ENDPOINTS[trouble.reference.scheme]} in the Secret) and the network; it is tried again later"
    )


def _cause(text: str) -> str:
    """The reason for silence, in few words."""
    for part, word in (
        ("dns error", "no such host"),
        ("Connection refused", "connection refused"),
        ("ertificate", "the server's certificate is not trusted"),
        ("InvalidContentType", "the server does not speak TLS: http instead of https?"),
        ("imed out", "timeout"),
        ("Timeout", "timeout"),
    ):
        if part in text:
            return word
    return "connection failed"


def _missing(trouble: Trouble) -> errors.TrainerError:
    return trouble.reference.missing(trouble.uri)


def _replaced(trouble: Trouble) -> errors.TrainerError:
    return errors.StorageUnavailable(
        f"{trouble.reference.field}: {trouble.uri} was replaced while it was being downloaded; the download is thrown away, and "
        "it is tried again later"
    )


def _unknown(trouble: Trouble) -> errors.TrainerError:
    return errors.StorageUnavailable(
        f"{trouble.reference.field}: the storage server for {trouble.uri} failed "
        f"({trouble.text.splitlines()[0][:300]}); it is tried again later"
    )


TABLE: tuple[tuple[Callable[[Trouble], bool], Callable[[Trouble], errors.TrainerError]], ...] = (
    (lambda t: any(part in t.text for part in NO_IDENTITY), _no_identity),
    (lambda t: t.code in KEY_CODES, _denied),
    (lambda t: t.code in BUCKET_CODES, _no_bucket),
    (lambda t: t.status in DENIED_STATUS, _denied),
    (lambda t: t.status in BUSY_STATUS or (t.status or 0) >= SERVER_ERROR, _unavailable),
    (lambda t: t.status == 404, _missing),  # noqa: PLR2004 - everyone knows 404
    (lambda t: t.status == 412, _replaced),  # noqa: PLR2004 - If-Match did not match
    (lambda t: any(part in t.text for part in UNREACHABLE), _unreachable),
    (lambda _: True, _unknown),
)
