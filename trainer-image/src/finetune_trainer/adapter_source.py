"""Fetching the adapter that training goes on from, and all that is asked of it before anything is trained."""

import json
import re
from pathlib import Path
from typing import Any

from finetune_trainer import checkpoint, config, errors, inspection, outcome, storage
from finetune_trainer.layout import Layout
from finetune_trainer.prepared import BaseModelFacts, FileFacts
from finetune_trainer.start_adapter import CONFIG, FOLDER, WEIGHTS, applied, folder, lora_of
from finetune_trainer.storage import Reference, Role, Store

FIELD = "spec.model.adapterFrom"
MOST_CONFIG = 1 << 20
"""Bytes of an adapter_config.json."""
COMMIT = re.compile(r"[0-9a-f]{40}")

NOT_SAID = config.Lora()
"""run.json has every default filled in: what is not one of them was said."""
AGAIN = "copy it there again, or train it again"


def fetch(run: config.Run, layout: Layout, base: BaseModelFacts) -> config.Run:
    """Bring the adapter into the prepared dataset's folder, verified; `run` as `applied` makes it.

    Raises `AdapterNotFound`, `UnsupportedAdapter` for what is none or damaged, `AdapterDoesNotFit` for one of another model,
    and `SettingsDoNotFit` where `tuning` contradicts it.
    """
    if run.model.adapter_from is None:
        return run
    store, start = _store(run, layout), layout.dataset / FOLDER
    _check_names(store)
    manifest = _manifest(store, demanded=bool(run.model.adapter_from and run.model.adapter_from.job_ref))
    if manifest:
        _check_base(store, base, manifest["baseModel"]["id"], manifest["baseModel"].get("revision"))
    for name in (CONFIG, WEIGHTS):
        store.get(name, start / name)
    if wrong := checkpoint.damage(start, _promised(manifest)):
        raise _unsupported(store, f"is damaged: {wrong}, according to its {outcome.MANIFEST}; {AGAIN}")
    settings = _settings(store, start / CONFIG)
    revision = settings.get("revision") or ""
    _check_base(
        store, base, settings.get("base_model_name_or_path"), revision if COMMIT.fullmatch(revision) else None
    )
    made = applied(run, layout.dataset)
    _check_agrees(run.tuning.lora, made.tuning.lora)
    return made


def check_fits(run: config.Run, layout: Layout) -> None:
    """Hold the adapter's weights against the model's architecture, which lies in `layout.model`. Imports PEFT: seconds.

    Raises `UnsupportedAdapter`, `AdapterDoesNotFit`.
    """
    start = folder(run, layout.dataset)
    if start is None:
        return
    from finetune_trainer import adapter_shape  # noqa: PLC0415 - see above

    inspection.architecture(layout.model)  # says what is wrong with the model itself
    store = _store(run, layout)
    if strange := adapter_shape.strange_settings(start):
        raise _unsupported(
            store, f"sets {', '.join(strange)} in its {CONFIG}, which this trainer image cannot go on from; train a plain LoRA "
            "adapter first"
        )  # fmt: skip
    if wrong := adapter_shape.misfit(start, layout.model):
        raise errors.AdapterDoesNotFit(
            f"{store.reference.field}: {store.reference.uri} does not fit the model: {wrong}; name the model that it was trained "
            "for as spec.model.uri"
        )


def _store(run: config.Run, layout: Layout) -> Store:
    """The place that the adapter comes from."""
    origin = run.origins.adapter if run.origins else None
    if origin is None:
        raise errors.InvalidRun(f"{FIELD}: run.json does not say where the adapter is; {config.SAME_VERSION}")
    asked, secret = run.model.adapter_from, origin.credentials_secret_ref
    reference = Reference(
        uri=origin.uri,
        field=f"{FIELD}.{'jobRef' if asked and asked.job_ref else 'uri'}",
        role=Role.ADAPTER,
        secret=secret.name if secret else None,
        hub=run.hub,
    )
    return storage.open_store(reference, layout)


def _unsupported(store: Store, sentence: str) -> errors.UnsupportedAdapter:
    return errors.UnsupportedAdapter(f"{store.reference.field}: {store.reference.uri} {sentence}")


def _check_names(store: Store) -> None:
    """Refuse a folder that holds no adapter, with what it holds."""
    found = {item.key for item in store.list() if "/" not in item.key}
    if not found:
        raise store.reference.missing()
    if CONFIG not in found:
        what = "holds a whole model; name it as spec.model.uri, and leave adapterFrom out"
        lacks = f"has no {CONFIG}; an adapter is a folder as PEFT's save_pretrained writes it"
        raise _unsupported(store, what if "config.json" in found else lacks)
    if WEIGHTS not in found:
        pickled = (
            "has its weights only as a pickle, which may run code when it is loaded; save it as safetensors "
            "(PEFT's save_pretrained does)"
        )
        raise _unsupported(
            store, pickled if "adapter_model.bin" in found else f"has no {WEIGHTS}; copy it there again"
        )


def _manifest(store: Store, *, demanded: bool) -> dict[str, Any]:
    """Our own manifest of the adapter; empty where it is somebody else's adapter. Of a job's output it is `demanded`."""
    raw = store.read_if_there(outcome.MANIFEST)
    if raw is None:
        if demanded:
            raise _unsupported(
                store,
                f"has no {outcome.MANIFEST}: the job's result is gone, or another is being written there; run that job again "
                "(kubectl finetune retry)",
            )
        return {}
    try:
        manifest: dict[str, Any] = json.loads(raw)
        _promised(manifest)
        manifest["baseModel"]["id"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unsupported(store, f"has a {outcome.MANIFEST} that cannot be read; {AGAIN}") from error
    return manifest


def _promised(manifest: dict[str, Any]) -> dict[str, FileFacts]:
    """What the two files must be, as far as somebody has said so."""
    files = manifest.get("files", {})
    return {name: FileFacts.model_validate(files[name]) for name in (CONFIG, WEIGHTS) if manifest}


def _check_base(store: Store, base: BaseModelFacts, name: str | None, revision: str | None) -> None:
    """The adapter must belong to this very model. None: nothing is said."""
    if name is not None and name != base.id:
        raise errors.AdapterDoesNotFit(
            f"{store.reference.field}: {store.reference.uri} belongs to the model {name}, and spec.model.uri is {base.uri}; name "
            "the model that it was trained for"
        )
    if revision is not None and revision != base.revision:
        pinned = (
            f"hf://{base.id}@{revision}" if COMMIT.fullmatch(revision) else "the files it was trained for"
        )
        raise errors.AdapterDoesNotFit(
            f"{store.reference.field}: {store.reference.uri} was trained for revision {revision} of {base.id}, and spec.model.uri "
            f"is now {base.revision}; name {pinned} as spec.model.uri"
        )


def _settings(store: Store, path: Path) -> dict[str, Any]:
    """adapter_config.json, as far as it is one of LoRA's."""
    try:
        settings = json.loads(path.read_bytes()[:MOST_CONFIG])
        kind = settings["peft_type"]
        if kind == "LORA":
            lora_of(settings, dropout=0.0)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unsupported(store, f"has an {CONFIG} that cannot be read; {AGAIN}") from error
    if kind != "LORA":
        raise _unsupported(store, f"is an adapter of the kind {kind}; name a LoRA adapter")
    if not isinstance(settings["target_modules"], list):
        raise _unsupported(
            store,
            f"names its modules by a pattern ({settings['target_modules']!r}), and must list them; save it with a "
            "list as target_modules",
        )
    found: dict[str, Any] = settings
    return found


def _check_agrees(said: config.Lora, adapter: config.Lora) -> None:
    """What `tuning.lora` says must be what the adapter is; raises `SettingsDoNotFit`."""
    for name in type(said).model_fields:
        asked, found = getattr(said, name), getattr(adapter, name)
        same = sorted(asked) == sorted(found) if isinstance(asked, tuple) else asked == found
        if asked != getattr(NOT_SAID, name) and not same:
            alias = type(said).model_fields[name].alias or name
            raise errors.SettingsDoNotFit(
                f"spec.tuning.lora.{alias}: {_shown(asked)} is asked for, and the adapter of {FIELD} has {_shown(found)}; leave it "
                "out: training goes on with what the adapter has"
            )


def _shown(value: Any) -> str:
    return ", ".join(value) or "none" if isinstance(value, tuple) else str(value)
