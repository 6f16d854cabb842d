"""Which profile a job gets, and what its defaults make of the job's resources."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import pydantic
from pydantic_core import ErrorDetails

from finetune_operator.api.job import FineTuneJobSpec
from finetune_operator.api.profile import FineTuneProfileSpec
from finetune_operator.errors import ProfileNotFound
from finetune_operator.errors.reasons import Reason
from finetune_operator.observe.job import ProfileSeen


class ProfileInvalid(ProfileNotFound):
    """The profile is there, but this version cannot read it."""

    reason = Reason.PROFILE_INVALID


@dataclass(frozen=True)
class Chosen:
    """A profile that was found, or the built-in one (no name)."""

    name: str | None
    generation: int
    spec: FineTuneProfileSpec

    @property
    def label(self) -> str:
        """How a person calls it."""
        return self.name or "built-in"


@dataclass(frozen=True)
class Sizes:
    """What the pods ask for, the job's word before the profile's."""

    nodes: int
    gpus: int
    gpu_resource: str
    cpu: str
    memory: str
    scratch: str
    prepare_cpu: str
    prepare_memory: str


def chosen(name: str | None, profiles: Mapping[str, ProfileSeen]) -> Chosen:
    """The profile named; else the first by name that says `default: true`; else the built-in one."""
    if name is not None and name not in profiles:
        raise ProfileNotFound(
            f"spec.profile: there is no FineTuneProfile {name!r}; ask the cluster's admin for it, or apply the job under a new "
            "name with another one"
        )
    if name is None:
        name = next((one for one in sorted(profiles) if profiles[one].spec.get("default") is True), None)
    if name is None:
        return Chosen(None, 0, FineTuneProfileSpec())
    return Chosen(name, profiles[name].generation, _parsed(profiles[name]))


def _parsed(profile: ProfileSeen) -> FineTuneProfileSpec:
    """The profile's spec. What it says is the admin's: a job waits until it is right."""
    try:
        return FineTuneProfileSpec.model_validate(profile.spec)
    except pydantic.ValidationError as error:
        raise ProfileInvalid(
            f"FineTuneProfile {profile.name!r}: {first_error(error)}; ask the cluster's admin to correct it"
        ) from error


def sizes(spec: FineTuneJobSpec, profile: FineTuneProfileSpec) -> Sizes:
    """Resources with defaults filled in."""
    asked, defaults = spec.resources, profile.defaults
    prepare = asked.prepare
    return Sizes(
        nodes=asked.nodes or defaults.nodes,
        gpus=defaults.gpus_per_node if asked.gpus_per_node is None else asked.gpus_per_node,
        gpu_resource=asked.gpu_resource or profile.gpu.resource,
        cpu=asked.cpu or defaults.cpu,
        memory=asked.memory or defaults.memory,
        scratch=asked.scratch or defaults.scratch,
        prepare_cpu=(prepare.cpu if prepare else None) or defaults.prepare_cpu,
        prepare_memory=(prepare.memory if prepare else None) or defaults.prepare_memory,
    )


def first_error(error: pydantic.ValidationError) -> str:
    """The first thing that is wrong, with its field in the API's own spelling."""
    first = error.errors(include_url=False, include_input=False)[0]
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
    return f"spec{path}: {_plain(first)}"


def _plain(wrong: ErrorDetails) -> str:
    """Pydantic's sentence as one of ours: `must be greater than 0` for `Input should be greater than 0`."""
    if wrong["type"] in PLAIN:
        return PLAIN[wrong["type"]]
    said = SHOULD.sub("must", wrong["msg"]).replace(" after validation", "")
    return said[:1].lower() + said[1:]


PLAIN = {
    "missing": "must be set",
    "extra_forbidden": "there is no such field",
    "model_type": "must be a mapping of fields",
    "list_type": "must be a list",
    "string_type": "must be text",
}
"""By pydantic's word for what is wrong."""
SHOULD = re.compile(r"^[A-Z]\w+ should\b")
"""How pydantic begins: `Input should`, `String should`, `List should`."""
