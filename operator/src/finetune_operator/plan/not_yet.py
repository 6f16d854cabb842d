"""Fields whose behaviour is not there yet. They are refused by name: a setting is never silently ignored.

One row a field: when a later version brings the behaviour, its row goes.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from finetune_operator.api.job import FineTuneJobSpec
from finetune_operator.api.profile import FineTuneProfileSpec
from finetune_operator.errors import NotYetSupported

Row = tuple[str, Callable[[FineTuneJobSpec], Any], str]
"""Field; whether it asks for something that is not there; what works today."""


def _scheme(uri: str) -> str:
    return uri.partition("://")[0]


JOB: tuple[Row, ...] = (
    (
        "spec.model.uri",
        lambda s: _scheme(s.model.uri) == "oci",
        "hf://, s3://, gs://, az:// and pvc:// work today",
    ),
    (
        "spec.model.trustRemoteCode",
        lambda s: s.model.trust_remote_code,
        "leave it out; models that transformers itself knows work today",
    ),
    (
        "spec.model.attention",
        lambda s: s.model.attention.startswith("flash"),
        "Auto, sdpa and eager work today",
    ),
    (
        "spec.resources.resourceClaims",
        lambda s: s.resources.resource_claims,
        "leave it out, and ask for GPUs with spec.resources.gpusPerNode",
    ),
)

ADMINS = "ask the cluster's admin to remove it from the profile, and run the job again"
PROFILE: tuple[tuple[str, Callable[[FineTuneProfileSpec], Any], str], ...] = (
    (
        "spec.allowed.endpoints",
        lambda p: p.allowed.endpoints,
        f"{ADMINS} (a NetworkPolicy can say where pods may connect to)",
    ),
    (
        "spec.prices.cpuHour",
        lambda p: p.prices.cpu_hour is not None,
        f"{ADMINS} (training is priced by spec.prices.gpuHour)",
    ),
)


def check(spec: FineTuneJobSpec, profile: FineTuneProfileSpec, profile_name: str) -> None:
    """NotYetSupported with the first field that asks for something that is not there."""
    for field, advice in _found(spec, profile, profile_name):
        said = _said(spec.wire(), field)
        raise NotYetSupported(f"{field}{f': {said}' if said else ''} is not supported yet; {advice}")


def _said(spec: dict[str, Any], field: str) -> str:
    """What the author wrote there, where it is a word or a number; nothing for whole objects and for fields of a profile."""
    value: Any = {"spec": spec}
    for part in re.findall(r"[A-Za-z]+|\d+", field):
        try:
            value = value[int(part) if part.isdigit() else part]
        except (KeyError, IndexError, TypeError):
            return ""
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _found(
    spec: FineTuneJobSpec, profile: FineTuneProfileSpec, profile_name: str
) -> Iterator[tuple[str, str]]:
    """Fields and advice, in the order of the tables."""
    yield from ((field, advice) for field, asks, advice in JOB if asks(spec))
    yield from (
        (f"{field} of FineTuneProfile {profile_name!r}", advice)
        for field, asks, advice in PROFILE
        if asks(profile)
    )
