"""The model that judges answers (`evaluation.bertScore`), as Prepare looks at it: without its weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from finetune_trainer import base_model, config, cycles, errors
from finetune_trainer.base_model import SCORER, BaseModel
from finetune_trainer.layout import Layout

LAYER = "spec.evaluation.bertScore.layer"
AROUND = 2
"""Tokens that an encoder's tokenizer puts around a text: one before it and one after it. BERTScore leaves out these."""


def look(run: config.Run, layout: Layout, told: Callable[[str], object]) -> BaseModel | None:
    """The scoring model at the revision that stands there now, its config and tokenizer fetched; None where none is asked for.

    Raises `ModelNotFound`, `GatedModel` and the like, `UnsupportedModelFiles` for what is no encoder, and `SettingsDoNotFit`
    for a layer that it lacks.
    """
    asked = base_model.named_scorer(run)
    if asked is None:
        return None
    told(f"looking at the scoring model {asked.uri}")
    found = base_model.locate(run, layout, asked)
    found.fetch(found.small, layout.scorer)
    layers = _layers(asked.uri, layout.scorer)
    _check_tokenizer(asked.uri, layout.scorer)
    said = run.evaluation.bert_score
    if said and said.layer and said.layer > layers:
        raise errors.SettingsDoNotFit(
            f"{LAYER}: {asked.uri} has {layers} layers, and the output of layer {said.layer} is asked for; name one of them"
        )
    return found


def _layers(uri: str, folder: Path) -> int:
    """How many layers the encoder has whose config.json lies in `folder`."""
    with cycles.unsought():
        from transformers import AutoConfig  # noqa: PLC0415 - seconds of import
        from transformers.models.auto import modeling_auto  # noqa: PLC0415 - same

    settings: Any = _understood(
        uri,
        "its config.json",
        lambda: AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False),
    )
    encoder = settings.model_type in modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    layers = getattr(settings, "num_hidden_layers", None)
    if not encoder or settings.is_encoder_decoder or not isinstance(layers, int):
        raise errors.UnsupportedModelFiles(
            f"{SCORER}: {uri} is of type {settings.model_type}, and BERTScore needs an encoder like BERT; name one, for example a "
            "copy of FacebookAI/xlm-roberta-large"
        )
    return layers


def _check_tokenizer(uri: str, folder: Path) -> None:
    """What the metric leaves out at both ends of a text must be special tokens, not words."""
    from transformers import AutoTokenizer  # noqa: PLC0415 - seconds of import

    tokenizer: Any = _understood(
        uri,
        "its tokenizer",
        lambda: AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False),
    )
    alone = tokenizer("")["input_ids"]
    if len(alone) != AROUND or not set(alone) <= set(tokenizer.all_special_ids):
        raise errors.UnsupportedModelFiles(
            f"{SCORER}: the tokenizer of {uri} does not put one special token before and one after each text, as BERT's does; name "
            "an encoder with its own tokenizer"
        )


def _understood(uri: str, what: str, load: Callable[[], Any]) -> Any:
    """What `load` gives. Raises `UnsupportedModelFiles` for whatever is raised."""
    try:
        return load()
    except errors.TrainerError:
        raise
    except Exception as error:
        raise errors.UnsupportedModelFiles(
            f"{SCORER}: {what} cannot be read ({type(error).__name__}); copy {uri} there again, or name another encoder"
        ) from error
