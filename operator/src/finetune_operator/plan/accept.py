"""Accept: may this job run as it stands, and what exactly is it? The answer is written down once."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import pydantic

from finetune_operator.api.job import FineTuneJobSpec
from finetune_operator.errors import SpecInvalid
from finetune_operator.observe.job import JobSeen, OtherSeen, ProfileSeen
from finetune_operator.plan import mounts, not_yet, policy, resolve
from finetune_operator.plan import origins as origins_of
from finetune_operator.plan.origins import Origins
from finetune_operator.plan.resolve import Chosen, Sizes
from finetune_operator.plan.run_config import run_config, with_credentials
from finetune_operator.plan.run_plan import PodPlan, RunPlan

NOBODY: Mapping[str, OtherSeen] = {}


@dataclass(frozen=True)
class Installed:
    """The installer's choices that a run depends on."""

    trainer_image: str
    stall_timeout: int = 900
    pending_deadline: float = 86400.0
    start_grace: float = 10.0
    retry_base: float = 15.0
    retry_cap: float = 300.0
    keep_attempts: int = 3
    progress_interval: float = 30.0


def spec_of(job: JobSeen) -> FineTuneJobSpec:
    """The parsed spec. The API server has checked it; another version's CRD may let through what this one cannot read."""
    return _parsed(job.spec)


@functools.lru_cache(maxsize=512)
def _parsed(spec: bytes) -> FineTuneJobSpec:
    """One pass asks for the spec several times."""
    try:
        return FineTuneJobSpec.model_validate_json(spec)
    except pydantic.ValidationError as error:
        raise SpecInvalid(
            f"{resolve.first_error(error)}; correct it and apply the job under a new name"
        ) from error


def accept(
    job: JobSeen,
    profiles: Mapping[str, ProfileSeen],
    installed: Installed,
    others: Mapping[str, OtherSeen] = NOBODY,
) -> RunPlan:
    """The resolved run, or the FineTuneError that tells why there is none. `others`: the jobs that this one refers to."""
    spec = spec_of(job)
    chosen = resolve.chosen(spec.profile, profiles)
    sizes = resolve.sizes(spec, chosen.spec)
    not_yet.check(spec, chosen.spec, chosen.label)  # first: a policy may demand a field that is not there yet
    policy.check(policy.Asked(spec, chosen.spec, sizes, job.namespace), chosen.label)
    spec = with_credentials(spec)
    origins = origins_of.origins(job.name, spec, others)
    policy.check(policy.Asked(spec, chosen.spec, sizes, job.namespace, origins), chosen.label)
    image = chosen.spec.image or installed.trainer_image
    timeout = installed.stall_timeout
    run = run_config(job.owner, spec, chosen, sizes, origins, image=image, stall_timeout=timeout)
    return RunPlan(run=run, pods=_pods(spec, chosen, sizes, origins, image))


def _pods(spec: FineTuneJobSpec, chosen: Chosen, sizes: Sizes, origins: Origins, image: str) -> PodPlan:
    """What the pods need beside run.json."""
    profile = chosen.spec
    return PodPlan(
        image=image,
        image_pull_secrets=[one.name for one in profile.image_pull_secrets],
        service_account=spec.service_account_name,
        secrets=mounts.secrets(spec, origins),
        tracker_secrets=mounts.tracker_secrets(spec, origins),
        config_maps=mounts.config_maps(spec),
        claims=mounts.claims(spec, origins),
        extra_ca=profile.extra_ca.name if profile.extra_ca else None,
        model_cache=mounts.model_cache(spec, profile),
        nodes=sizes.nodes,
        gpus=sizes.gpus,
        gpu_resource=sizes.gpu_resource,
        cpu=sizes.cpu,
        memory=sizes.memory,
        scratch=sizes.scratch,
        prepare_cpu=sizes.prepare_cpu,
        prepare_memory=sizes.prepare_memory,
        node_selector=profile.placement.node_selector,
        tolerations=profile.placement.tolerations,
        runtime_class=profile.placement.runtime_class_name,
        scheduler_name=profile.placement.scheduler_name,
        queue_name=profile.queues.queue_name,
        prepare_queue_name=profile.queues.prepare_queue_name,
        fs_group=profile.fs_group,
        grace_period_seconds=profile.grace_period_seconds,
        env=profile.env,
        max_active_seconds=profile.maximum.active_deadline_seconds,
        currency=profile.prices.currency if profile.prices.gpu_hour is not None else None,
        gpu_hour=profile.prices.gpu_hour,
    )
