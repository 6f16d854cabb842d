"""The base model as files: which revision, which files, and fetching them. Nothing here loads weights.

A model that judges answers (`scoring_model`) is one like it, named by another field.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from finetune_trainer import config, errors, storage
from finetune_trainer.layout import Layout
from finetune_trainer.prepared import BaseModelFacts
from finetune_trainer.storage import Item, Moving, Reference, Role, Store
from finetune_trainer.storage.hub import HubStore

FIELD = "spec.model.uri"
SCORER = "spec.evaluation.bertScore.model.uri"
CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
WEIGHTS = re.compile(r"^(?!adapter_model|consolidated).*\.safetensors$")
"""Mistral's `consolidated.safetensors` is the same weights once more, in another layout."""
PICKLES = re.compile(r"\.(bin|pt|pth|ckpt|pkl|msgpack|h5)$")
TOKENIZERS = frozenset({"tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model"})
SMALL = re.compile(
    r"^(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|chat_template)\.json$"
    r"|^(merges|vocab)\.txt$|^(tokenizer|spiece|sentencepiece\.bpe)\.model$|\.jinja$"
)
"""Config and tokenizer: what Prepare needs, and what a published adapter takes along."""
GOING_ON = "the adapter in spec.model.adapterFrom.uri if training is to go on from it"
COPIED = "copy them there, or save the model with transformers' save_pretrained"


@dataclass(frozen=True, kw_only=True)
class Named:
    """A model as the spec names it."""

    field: str
    uri: str
    """May pin a revision."""
    secret: config.SecretRef | None


@dataclass(frozen=True, kw_only=True)
class BaseModel:
    """A model's files at one revision."""

    store: Store
    facts: BaseModelFacts
    files: tuple[Item, ...]

    @property
    def small(self) -> tuple[Item, ...]:
        """Config and tokenizer."""
        return tuple(filter(_is_small, self.files))

    @property
    def weights(self) -> tuple[Item, ...]:
        """The safetensors files and, if they are several, their index."""
        return tuple(filter(_is_weights, self.files))

    def fetch(
        self,
        items: Iterable[Item],
        to: Path,
        told: Callable[[Item], object] = lambda _: None,
        moved: Callable[[str], object] = lambda _: None,
    ) -> None:
        """Download `items` into the folder `to`. What is there in full size stays.

        `told` hears of each item first, `moved` of its bytes in words: "model.safetensors 1.2 of 4.9 GiB".
        """
        for item in items:
            told(item)
            file = to / item.key
            if not file.is_file() or file.stat().st_size != item.size:
                self.store.get(item.key, file, Moving(item.key, item.size, moved).more)


def named(run: config.Run) -> Named:
    """The base model of `run`."""
    return Named(field=FIELD, uri=run.model.uri, secret=run.model.credentials_secret_ref)


def named_scorer(run: config.Run) -> Named | None:
    """The model that judges the answers of `run`; None where no metric asks for one."""
    said = run.evaluation.bert_score
    if said is None:
        return None
    return Named(field=SCORER, uri=said.model.uri, secret=said.model.credentials_secret_ref)


def locate(run: config.Run, layout: Layout, model: Named | None = None) -> BaseModel:
    """The model that the spec names, at the revision that stands there now. `model`: another than the base model.

    Raises `ModelNotFound`, `GatedModel` and the like, and `UnsupportedModelFiles` where files are missing.
    """
    model = model or named(run)
    return _opened(_store(run, layout, model, model.uri), model.uri)


def pinned(run: config.Run, layout: Layout, facts: BaseModelFacts, model: Named | None = None) -> BaseModel:
    """The model at the revision of `facts`. Raises `ModelChanged` where the files are others by now."""
    model = model or named(run)
    uri = f"hf://{facts.id}@{facts.revision}" if model.uri.startswith("hf://") else model.uri
    found = _opened(_store(run, layout, model, uri), model.uri)
    if found.facts.revision != facts.revision:
        raise errors.ModelChanged(
            f"{model.field}: the files at {model.uri} have changed since the data was prepared for them; {config.AGAIN}, "
            "which prepares the data for the new files"
        )
    return found


def _store(run: config.Run, layout: Layout, model: Named, uri: str) -> Store:
    """The place of `model`, with `uri` instead of its own (which may pin a revision)."""
    secret = model.secret.name if model.secret else None
    asked = Reference(uri=uri, field=model.field, role=Role.MODEL, secret=secret, hub=run.hub)
    return storage.open_store(asked, layout)


def _opened(store: Store, uri: str) -> BaseModel:
    field = store.reference.field
    if isinstance(store, HubStore) and store.folder:
        raise errors.InvalidRun(
            f"{field}: {uri} names {store.folder!r} inside a repository, but a model on the Hub must be a whole repository; write "
            "hf://org/name or hf://org/name@revision, or copy the folder to a bucket or a claim"
        )
    files = tuple(item for item in store.list() if "/" not in item.key)
    if not files:
        raise store.reference.missing(uri)
    _check(uri, {item.key for item in files}, store)
    if isinstance(store, HubStore):
        facts = BaseModelFacts(id=store.repo, uri=uri, revision=store.commit)
    else:
        facts = BaseModelFacts(id=uri, uri=uri, revision=_revision(files))
    return BaseModel(store=store, facts=facts, files=files)


def _is_small(item: Item) -> bool:
    return bool(SMALL.search(item.key))


def _is_weights(item: Item) -> bool:
    return bool(WEIGHTS.match(item.key)) or item.key == INDEX


def _revision(files: Iterable[Item]) -> str:
    """A digest of the listing: changes when a file does that is read. A README may be corrected at any time."""
    listing = [[item.key, item.size, item.tag] for item in files if _is_small(item) or _is_weights(item)]
    return "sha256:" + hashlib.sha256(json.dumps(listing).encode()).hexdigest()


def _check(uri: str, names: set[str], store: Store) -> None:
    """Refuse a folder that holds no model, with what is wrong with it."""
    field = store.reference.field
    for wrong, sentence in (
        (
            CONFIG not in names and "adapter_config.json" in names,
            f"is an adapter, not a base model; name the model it belongs to, and {GOING_ON}",
        ),
        (
            CONFIG not in names,
            f"has no {CONFIG}; a model is a folder as transformers' save_pretrained writes it",
        ),
        (not names & TOKENIZERS, "has no tokenizer; put tokenizer.json beside the weights"),
        (not any(map(WEIGHTS.match, names)) and any(map(PICKLES.search, names)), _pickled()),
        (
            not any(map(WEIGHTS.match, names)),
            f"has no safetensors weights (model.safetensors, or shards with an index); {COPIED}",
        ),
    ):
        if wrong:
            raise errors.UnsupportedModelFiles(f"{field}: {uri} {sentence}")
    if INDEX in names and (lost := _shards(store, uri) - names):
        raise errors.UnsupportedModelFiles(
            f"{field}: {uri} lacks {len(lost)} of the files that {INDEX} names, {min(lost)} among them; copy them there"
        )


def _shards(store: Store, uri: str) -> set[str]:
    try:
        return set(json.loads(store.read(INDEX))["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise errors.UnsupportedModelFiles(
            f"{store.reference.field}: {INDEX} of {uri} cannot be read; copy it there again"
        ) from error


def _pickled() -> str:
    return (
        "has its weights only as pickles, which may run code when they are loaded; convert them to safetensors "
        "(transformers' save_pretrained writes those)"
    )
