"""What a job's sources need mounted: Secrets, ConfigMaps, claims. All of the job's own namespace: a source cannot name another."""

from collections.abc import Iterable, Iterator

from finetune_operator.api.base import SecretRef
from finetune_operator.api.job import FineTuneJobSpec
from finetune_operator.api.profile import FineTuneProfileSpec
from finetune_operator.plan import uris
from finetune_operator.plan.origins import Origins
from finetune_operator.plan.run_plan import ClaimMount


def secrets(spec: FineTuneJobSpec, origins: Origins) -> list[str]:
    """Names of the Secrets that the job cannot do without, each once."""
    found: list[SecretRef | None] = [
        spec.output.credentials_secret_ref,
        spec.model.credentials_secret_ref,
        *(origin.credentials_secret_ref for origin in origins.places),
        *(source.credentials_secret_ref for source in (*spec.dataset.train, *spec.dataset.eval)),
        spec.evaluation.bert_score.model.credentials_secret_ref if spec.evaluation.bert_score else None,
        *(task.data.credentials_secret_ref for task in spec.evaluation.tasks or ()),
        spec.output.hub.credentials_secret_ref if spec.output.hub else None,
    ]
    return _names(found)


def tracker_secrets(spec: FineTuneJobSpec, origins: Origins) -> list[str]:
    """Names of the others: a job whose tracker's Secret is missing runs all the same."""
    tracking = spec.tracking
    found = [
        tracking.wandb.credentials_secret_ref if tracking and tracking.wandb else None,
        tracking.mlflow.credentials_secret_ref if tracking and tracking.mlflow else None,
    ]
    return [name for name in _names(found) if name not in secrets(spec, origins)]


def _names(found: Iterable[SecretRef | None]) -> list[str]:
    return sorted({one.name for one in found if one is not None})


def config_maps(spec: FineTuneJobSpec) -> list[str]:
    """Names of all ConfigMaps that hold data."""
    return sorted({place.authority for place, _ in _places(spec) if place.scheme == "configmap"})


def claims(spec: FineTuneJobSpec, origins: Origins) -> list[ClaimMount]:
    """All claims; writable where one is the output or the work area."""
    mounted = [(place.authority, is_output) for place, is_output in _places(spec) if place.scheme == "pvc"]
    writable = {name for name, is_output in mounted if is_output}
    left = [uris.place(origin.uri, origin.field) for origin in origins.places]
    all_of_them = {name for name, _ in mounted} | {one.authority for one in left if one.scheme == "pvc"}
    return [ClaimMount(name=name, writable=name in writable) for name in sorted(all_of_them)]


def model_cache(spec: FineTuneJobSpec, profile: FineTuneProfileSpec) -> str | None:
    """The claim that keeps downloaded models; None where there is none, and where no model is downloaded."""
    downloaded = any(place.scheme in {"hf", *uris.BUCKETS} for place in _models(spec))
    return profile.model_cache.claim_name if profile.model_cache and downloaded else None


def _models(spec: FineTuneJobSpec) -> Iterator[uris.Place]:
    """The base model, and the one that judges answers."""
    yield uris.place(spec.model.uri, "spec.model.uri")
    if spec.evaluation.bert_score:
        yield uris.place(spec.evaluation.bert_score.model.uri, uris.SCORER)


def _places(spec: FineTuneJobSpec) -> Iterator[tuple[uris.Place, bool]]:
    """Every place that the job reads from or writes to; whether it writes there."""
    for model in _models(spec):
        yield model, False
    for part, sources in (("train", spec.dataset.train), ("eval", spec.dataset.eval)):
        for at, source in enumerate(sources):
            yield uris.place(source.uri, f"spec.dataset.{part}[{at}].uri"), False
    for at, task in enumerate(spec.evaluation.tasks or ()):
        yield uris.place(task.data.uri, uris.task(at)), False
    yield uris.place(spec.output.uri, "spec.output.uri"), True
    if spec.output.work_uri:
        yield uris.place(spec.output.work_uri, "spec.output.workUri"), True
