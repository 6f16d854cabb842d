"""What the profile forbids: an ordered table of rules. The first that is broken is told, with the rule that did it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from finetune_operator.api.job import FineTuneJobSpec
from finetune_operator.api.profile import FineTuneProfileSpec
from finetune_operator.errors import PolicyDenied, SpecInvalid
from finetune_operator.plan import quantities, uris
from finetune_operator.plan.origins import NONE, Origins
from finetune_operator.plan.resolve import Sizes


@dataclass(frozen=True)
class Asked:
    """What a rule looks at."""

    spec: FineTuneJobSpec
    profile: FineTuneProfileSpec
    sizes: Sizes
    namespace: str
    origins: Origins = NONE


Rule = Callable[[Asked], Iterator[str]]
CURE = "change that and apply the job under a new name, or ask the cluster's admin for another profile"


def check(asked: Asked, profile_name: str) -> None:
    """PolicyDenied with the first broken rule; SpecInvalid where a size slips below all of them."""
    _more_than_nothing(asked.sizes)
    for rule in RULES:
        for sentence in rule(asked):
            raise PolicyDenied(f"{sentence} (FineTuneProfile {profile_name!r}); {CURE}")


def _amounts(sizes: Sizes) -> tuple[tuple[str, str, str], ...]:
    """Field below spec.resources, what the pods would ask for, and the field of `maximum` that bounds it."""
    return (
        ("cpu", sizes.cpu, "cpu"),
        ("memory", sizes.memory, "memory"),
        ("scratch", sizes.scratch, "scratch"),
        ("prepare.cpu", sizes.prepare_cpu, "cpu"),
        ("prepare.memory", sizes.prepare_memory, "memory"),
    )


def _more_than_nothing(sizes: Sizes) -> None:
    """A limit of zero is none to Kubernetes, so zero would be more than any maximum."""
    for field, found, _ in _amounts(sizes):
        if quantities.number(found) <= 0:
            raise SpecInvalid(
                f"spec.resources.{field}: {found} would mean no limit at all; ask for more than zero and apply the "
                "job under a new name"
            )


def _counts(asked: Asked) -> Iterator[str]:
    maximum, sizes = asked.profile.maximum, asked.sizes
    for field, found, most in (
        ("nodes", sizes.nodes, maximum.nodes),
        ("gpusPerNode", sizes.gpus, maximum.gpus_per_node),
    ):
        if most is not None and found > most:
            yield f"spec.resources.{field}: {found} is more than maximum.{field}, {most}"


def _quantities(asked: Asked) -> Iterator[str]:
    maximum = asked.profile.maximum
    bounds = {"cpu": maximum.cpu, "memory": maximum.memory, "scratch": maximum.scratch}
    for field, found, rule in _amounts(asked.sizes):
        most = bounds[rule]
        if most is not None and quantities.number(found) > quantities.number(most):
            yield f"spec.resources.{field}: {found} is more than maximum.{rule}, {most}"


def _active_deadline(asked: Asked) -> Iterator[str]:
    most, found = asked.profile.maximum.active_deadline_seconds, asked.spec.run_policy.active_deadline_seconds
    if most is not None and (found is None or found > most):
        yield f"spec.runPolicy.activeDeadlineSeconds: must be set, and be at most maximum.activeDeadlineSeconds, {most}"


def _prefixes(asked: Asked) -> Iterator[str]:
    spec, allowed = asked.spec, asked.profile.allowed
    checked = [
        ("spec.model.uri", spec.model.uri, "models", allowed.models),
        ("spec.output.uri", spec.output.uri, "outputs", allowed.outputs),
        ("spec.output.workUri", spec.output.work_uri, "outputs", allowed.outputs),
    ]
    if spec.evaluation.bert_score:
        scorer = spec.evaluation.bert_score.model
        checked.append((uris.SCORER, scorer.uri, "models", allowed.models))
    if spec.output.hub:
        checked.append(("spec.output.hub.repo", f"hf://{spec.output.hub.repo}", "outputs", allowed.outputs))
    for part, sources in (("train", spec.dataset.train), ("eval", spec.dataset.eval)):
        checked += [
            (f"spec.dataset.{part}[{at}].uri", source.uri, "datasets", allowed.datasets)
            for at, source in enumerate(sources)
        ]
    checked += [
        (uris.task(at), task.data.uri, "datasets", allowed.datasets)
        for at, task in enumerate(spec.evaluation.tasks or ())
    ]
    for origin in asked.origins.places:
        # Where a job's result and its work in progress lie is an output, of whichever job.
        rule = "outputs" if origin.field.endswith("jobRef") else "models"
        checked.append((origin.field, origin.uri, rule, getattr(allowed, rule)))
    for field, uri, rule, prefixes in checked:
        if uri is None or not prefixes:
            continue
        found = uris.place(uri, field)
        if not any(uris.within(found, prefix, namespace=asked.namespace) for prefix in prefixes):
            listed = ", ".join(prefix.replace("{namespace}", asked.namespace) for prefix in prefixes)
            yield f"{field}: {uri!r} is below none of allowed.{rule}: {listed}"


def _endpoints(asked: Asked) -> Iterator[str]:
    tracking, allowed = asked.spec.tracking, asked.profile.allowed.endpoints
    if tracking is None or not allowed:
        return
    for field, found in (
        ("wandb.baseUrl", tracking.wandb.base_url if tracking.wandb else None),
        ("mlflow.trackingUri", tracking.mlflow.tracking_uri if tracking.mlflow else None),
    ):
        if found is not None and found.rstrip("/") not in {one.rstrip("/") for one in allowed}:
            yield f"spec.tracking.{field}: {found!r} is not one of allowed.endpoints: {', '.join(allowed)}"


def _service_account(asked: Asked) -> Iterator[str]:
    name, allowed = asked.spec.service_account_name, asked.profile.allowed.service_accounts
    if name is not None and name not in allowed:
        listed = ", ".join(allowed) or "none"
        yield f"spec.serviceAccountName: {name!r} is not one of allowed.serviceAccounts: {listed}"


def _remote_code(asked: Asked) -> Iterator[str]:
    if asked.spec.model.trust_remote_code and not asked.profile.allowed.trust_remote_code:
        yield "spec.model.trustRemoteCode: code of the model's authors may not run here (allowed.trustRemoteCode is false)"


def _cpu(asked: Asked) -> Iterator[str]:
    if asked.sizes.gpus == 0 and not asked.profile.allowed.cpu:
        yield "spec.resources.gpusPerNode: 0 trains on CPU, which is switched off (allowed.cpu is false)"


RULES: tuple[Rule, ...] = (
    _counts,
    _quantities,
    _active_deadline,
    _prefixes,
    _endpoints,
    _service_account,
    _remote_code,
    _cpu,
)
