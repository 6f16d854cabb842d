"""URIs: their parts, and whether one lies below another."""

import urllib.parse
from typing import NamedTuple

from finetune_operator.errors import SpecInvalid

BUCKETS = frozenset({"s3", "gs", "az"})
SCORER = "spec.evaluation.bertScore.model.uri"
"""The field that names the scoring model."""


def task(at: int) -> str:
    """The field that names the rows of an evaluation task, by its place."""
    return f"spec.evaluation.tasks[{at}].data.uri"


class Place(NamedTuple):
    """A URI taken apart: the scheme, the bucket, claim, organisation or host, and whole path segments."""

    scheme: str
    authority: str
    segments: tuple[str, ...]

    @property
    def bucket(self) -> tuple[str, str]:
        """What credentials are given for."""
        return self.scheme, self.authority


def place(uri: str, field: str) -> Place:
    """`uri` after normalisation. SpecInvalid where a segment climbs: no storage and no mount needs that."""
    scheme, _, rest = uri.partition("://")
    parts = [urllib.parse.unquote(part) for part in rest.split("/")]
    if (
        any(part in {".", ".."} or "/" in part or "\\" in part or "\0" in part for part in parts)
        or not parts[0]
    ):
        raise SpecInvalid(
            f"{field}: {uri!r} names no bucket, claim or host, or its path holds `.`, `..`, a backslash or an encoded slash; "
            "write the whole path without them"
        )
    return Place(scheme.lower(), parts[0], tuple(part for part in parts[1:] if part))


def within(found: Place, prefix: str, *, namespace: str) -> bool:
    """Whether `found` is `prefix` or lies below it, by whole segments. `{namespace}` stands for the job's namespace."""
    scheme, _, rest = prefix.replace("{namespace}", namespace).partition("://")
    allowed = [urllib.parse.unquote(part) for part in rest.split("/") if part]
    if scheme.lower() != found.scheme:
        return False
    ours = [found.authority, *found.segments]
    if found.scheme == "hf" and ours:
        ours[-1] = ours[-1].partition("@")[0]
    return ours[: len(allowed)] == allowed
