"""What a job goes on from: an adapter, another job's checkpoints. Of its own namespace, always: a `jobRef` cannot name another.

Where it lies is resolved once, at Accept, and written into run.json: the other job may be deleted afterwards.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from finetune_operator.api.base import SecretRef
from finetune_operator.api.job import FineTuneJobSpec
from finetune_operator.errors import JobNotFound, ReferencedJobFailed, SpecInvalid, WaitingForJob
from finetune_operator.observe.job import OtherSeen

ADAPTER = "spec.model.adapterFrom"
CHECKPOINT = "spec.checkpoint.resumeFrom.jobRef"


@dataclass(frozen=True)
class Origin:
    """Something that is read at the start."""

    field: str
    """Of the spec."""
    uri: str
    credentials_secret_ref: SecretRef | None

    def wire(self) -> dict[str, Any]:
        """As run.json has it."""
        secret = self.credentials_secret_ref
        return {"uri": self.uri, **({"credentialsSecretRef": secret.wire()} if secret else {})}


@dataclass(frozen=True)
class Origins:
    """Everything that a job goes on from; mostly nothing."""

    adapter: Origin | None = None
    work: Origin | None = None
    """The work area of the job whose checkpoint is taken."""

    @property
    def places(self) -> tuple[Origin, ...]:
        """Those that there are."""
        return tuple(one for one in (self.adapter, self.work) if one is not None)

    def wire(self) -> dict[str, Any]:
        """As run.json has it."""
        named = {"adapter": self.adapter, "work": self.work}
        return {name: origin.wire() for name, origin in named.items() if origin is not None}


NONE = Origins()


def origins(name: str, spec: FineTuneJobSpec, others: Mapping[str, OtherSeen]) -> Origins:
    """Where everything lies that the job `name` goes on from; `others` holds the jobs that were found, by name.

    Raises `JobNotFound` and `WaitingForJob` where there is something to wait for, a `Refused` where waiting cannot help.
    """
    return Origins(adapter=_adapter(name, spec, others), work=_work(name, spec, others))


def _adapter(name: str, spec: FineTuneJobSpec, others: Mapping[str, OtherSeen]) -> Origin | None:
    asked = spec.model.adapter_from
    if asked is None:
        return None
    if asked.uri is not None:
        return Origin(f"{ADAPTER}.uri", asked.uri, asked.credentials_secret_ref)
    if asked.job_ref is None:
        raise SpecInvalid(
            f"{ADAPTER}: says two places, or none; set exactly one of jobRef and uri, and apply the job under a new name"
        )
    field = f"{ADAPTER}.jobRef"
    other = _found(field, asked.job_ref.name, name, others)
    if other.full:
        raise SpecInvalid(
            f"{field}: FineTuneJob {other.name!r} trains all weights and publishes no adapter; name its output as "
            "spec.model.uri, and apply the job under a new name"
        )
    if other.ended is None:
        raise WaitingForJob(
            f"{field}: FineTuneJob {other.name!r}, whose adapter is needed, has not ended yet"
        )
    if other.ended == "Failed":
        raise ReferencedJobFailed(
            f"{field}: FineTuneJob {other.name!r} has failed, and left no adapter ({other.said}); run it again, and this "
            "one too, under new names"
        )
    return Origin(field, other.output, _secret(other))


def _work(name: str, spec: FineTuneJobSpec, others: Mapping[str, OtherSeen]) -> Origin | None:
    asked = spec.checkpoint.resume_from
    if asked is None:
        return None
    other = _found(CHECKPOINT, asked.job_ref.name, name, others)
    if other.ended is None:
        raise WaitingForJob(
            f"{CHECKPOINT}: FineTuneJob {other.name!r} has not ended yet, and goes on from its checkpoints by itself"
        )
    if other.ended == "Succeeded":
        raise ReferencedJobFailed(
            f"{CHECKPOINT}: FineTuneJob {other.name!r} has succeeded, and its checkpoints are removed; go on from its adapter "
            f"with {ADAPTER}, and apply the job under a new name"
        )
    if not other.accepted:
        raise ReferencedJobFailed(
            f"{CHECKPOINT}: FineTuneJob {other.name!r} was refused before it could train ({other.said}), so there is no "
            "checkpoint; leave resumeFrom out, and apply the job under a new name"
        )
    return Origin(CHECKPOINT, f"{other.work.rstrip('/')}/.finetune/{other.uid}", _secret(other))


def _found(field: str, wanted: str, name: str, others: Mapping[str, OtherSeen]) -> OtherSeen:
    """The job `wanted`. SpecInvalid where it waits, in the end, for the very job that asks."""
    circle = _circle(wanted, name, others)
    if circle:
        told = " waits for ".join([name, *circle])
        raise SpecInvalid(
            f"{field}: {told}, so none of them could ever start; correct one of them and apply it under a new name"
        )
    if wanted not in others:
        raise JobNotFound(
            f"{field}: there is no FineTuneJob {wanted!r} in this namespace; create it, or apply this job under a new name with "
            "the right jobRef"
        )
    return others[wanted]


def _circle(wanted: str, name: str, others: Mapping[str, OtherSeen]) -> list[str]:
    """The way from the job `wanted` back to `name`, along what they wait for; empty where there is none."""
    ways, seen = [[wanted]], {wanted}
    while ways:
        way = ways.pop()
        if way[-1] == name:
            return way
        for one in others[way[-1]].goes_on_from if way[-1] in others else ():
            if one not in seen:
                seen.add(one)
                ways.append([*way, one])
    return []


def _secret(other: OtherSeen) -> SecretRef | None:
    return SecretRef(name=other.secret) if other.secret else None
