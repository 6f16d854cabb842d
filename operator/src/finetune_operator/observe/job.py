"""A FineTuneJob and a FineTuneProfile, as far as decisions need them."""

import json
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from finetune_operator.names import Key, Owner
from finetune_operator.observe.times import instant


class Spent(NamedTuple):
    """What a job's training has taken so far, for the sums of its namespace."""

    gpu_seconds: float = 0.0
    wasted_gpu_seconds: float = 0.0
    cost: float = 0.0
    currency: str = ""
    outcome: str = ""
    """Of the training attempt that ended last."""


@dataclass(frozen=True, slots=True)
class JobSeen:
    """A FineTuneJob. A settled one keeps neither spec nor status: nine of ten jobs in a cluster are settled."""

    namespace: str
    name: str
    uid: str
    version: int = field(compare=False)
    """resourceVersion; they compare as numbers."""
    generation: int
    created: float
    deleting: bool
    settled: bool
    """Succeeded or failed for good; nothing will ever be started for it again."""
    state: str
    observed_generation: int
    suspend: bool
    expires: float | None
    """When the children of a job that has ended shall go (s since the epoch)."""
    spent: Spent
    spec: bytes
    status: bytes
    goes_on_from: tuple[str, ...] = ()
    """Names of the FineTuneJobs that it takes an adapter or a checkpoint from, while it is not settled."""

    @property
    def owner(self) -> Owner:
        """Who the children belong to."""
        return Owner(self.namespace, self.name, self.uid)

    @property
    def key(self) -> Key:
        """How the queue knows it."""
        return Key(self.namespace, self.name)


@dataclass(frozen=True, slots=True)
class ProfileSeen:
    """A FineTuneProfile, not yet parsed: one that cannot be read must fail the jobs that use it, not the watch."""

    name: str
    uid: str
    version: int = field(compare=False)
    generation: int
    spec: dict[str, Any]

    @property
    def currency(self) -> str | None:
        """That of its prices, where it has one for GPUs."""
        if _at(self.spec, "prices", "gpuHour") is None:
            return None
        found = _at(self.spec, "prices", "currency")  # the API server fills it in
        return found if isinstance(found, str) else None


def job(raw: dict[str, Any]) -> JobSeen:
    """The facts of a FineTuneJob."""
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    settled = is_settled(status)
    return JobSeen(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        version=version(raw),
        generation=metadata.get("generation", 1),
        created=instant(metadata.get("creationTimestamp")) or 0.0,
        deleting="deletionTimestamp" in metadata,
        settled=settled,
        state=status.get("state") or "Pending",
        observed_generation=status.get("observedGeneration", -1),
        suspend=bool((spec.get("runPolicy") or {}).get("suspend")),
        expires=_expires(spec, status),
        spent=_spent(status),
        spec=b"" if settled else json.dumps(spec).encode(),
        status=b"" if settled else json.dumps(status).encode(),
        goes_on_from=() if settled else _goes_on_from(spec),
    )


def _goes_on_from(spec: dict[str, Any]) -> tuple[str, ...]:
    """Names of the jobs that a spec refers to, each once."""
    references = (("model", "adapterFrom"), ("checkpoint", "resumeFrom"))
    names = [_at(spec, *path, "jobRef", "name") for path in references]
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str) and name))


def _at(raw: Any, *path: str) -> Any:
    """What lies at `path`; None where nothing does, or where a spec of another version holds something else."""
    for name in path:
        raw = raw.get(name) if isinstance(raw, dict) else None
    return raw


@dataclass(frozen=True, slots=True)
class OtherSeen:
    """Another FineTuneJob, as far as one that goes on from it needs to know it."""

    name: str
    uid: str
    ended: str | None
    """`Succeeded` or `Failed`; None while it is on its way."""
    said: str
    """How it ended, as its condition says it."""
    accepted: bool
    """Whether its run was resolved: what was refused has left nothing anywhere."""
    full: bool
    """Whether it trains all weights, and publishes no adapter."""
    output: str
    """URI of its result."""
    work: str
    """URI below which its work in progress lies."""
    secret: str | None
    """The Secret of its output."""
    goes_on_from: tuple[str, ...]
    """The jobs that it waits for itself."""


def other(raw: dict[str, Any]) -> OtherSeen:
    """The facts of a FineTuneJob that another one refers to."""
    spec, status = raw.get("spec") or {}, raw.get("status") or {}
    output = spec.get("output") or {}
    succeeded: dict[str, Any] = next(
        (one for one in status.get("conditions") or () if one.get("type") == "Succeeded"), {}
    )
    return OtherSeen(
        name=raw["metadata"]["name"],
        uid=raw["metadata"]["uid"],
        ended={"True": "Succeeded", "False": "Failed"}.get(succeeded.get("status", "")),
        said=f"{succeeded.get('reason')}: {succeeded.get('message')}",
        accepted=bool(status.get("run")),
        full=(spec.get("tuning") or {}).get("type") == "Full",
        output=output.get("uri") or "",
        work=output.get("workUri") or output.get("uri") or "",
        secret=(output.get("credentialsSecretRef") or {}).get("name"),
        goes_on_from=() if is_settled(status) else _goes_on_from(spec),
    )


def _expires(spec: dict[str, Any], status: dict[str, Any]) -> float | None:
    """`ttlSecondsAfterFinished` after the end, if both are there."""
    ended = instant(status.get("completionTime"))
    seconds = (spec.get("runPolicy") or {}).get("ttlSecondsAfterFinished")
    return None if ended is None or not isinstance(seconds, int) else ended + seconds


def _spent(status: dict[str, Any]) -> Spent:
    """`status.usage`, and how the last attempt ended."""
    usage = status.get("usage") or {}
    ended = [one.get("outcome") for one in status.get("attempts") or () if one.get("stage") == "Train"]
    over = [str(one) for one in ended if one != "Running"]
    return Spent(
        gpu_seconds=usage.get("gpuSeconds") or 0.0,
        wasted_gpu_seconds=usage.get("wastedGpuSeconds") or 0.0,
        cost=usage.get("cost") or 0.0,
        currency=usage.get("currency") or "",
        outcome=over[-1] if over else "",
    )


def profile(raw: dict[str, Any]) -> ProfileSeen:
    """The facts of a FineTuneProfile."""
    metadata = raw["metadata"]
    return ProfileSeen(
        name=metadata["name"],
        uid=metadata["uid"],
        version=version(raw),
        generation=metadata.get("generation", 1),
        spec=raw.get("spec") or {},
    )


def version(raw: dict[str, Any]) -> int:
    """The resourceVersion as a number: newer is larger (KEP-5504)."""
    try:
        return int(raw["metadata"]["resourceVersion"])
    except (KeyError, ValueError):
        return 0


def is_settled(status: dict[str, Any]) -> bool:
    """Whether the job has ended for good: `Succeeded` is True or False; while it runs it is Unknown."""
    conditions = status.get("conditions") or ()
    return any(
        one.get("type") == "Succeeded" and one.get("status") in {"True", "False"} for one in conditions
    )
