"""Prepare: everything that can be known before a GPU is asked for. See docs/decisions/0004.

Look at the output, fetch the data, pin the model, read every row, render, mask, filter, split, tokenise; then write the
prepared dataset, its document last. Runs in the pod's main thread, where a SIGTERM is raised as `Interrupted`.
"""

import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from finetune_trainer import base_model, config, errors, inspection, not_yet, outcome, resolve
from finetune_trainer.base_model import BaseModel
from finetune_trainer.data import advice, filters, rows, samples, sources, split, table
from finetune_trainer.data.filters import Drops
from finetune_trainer.data.rows import Example
from finetune_trainer.data.sources import Fetched
from finetune_trainer.data.table import Written
from finetune_trainer.data.tokenise import Encoded, Tokeniser
from finetune_trainer.inspection import Architecture, Words
from finetune_trainer.layout import Layout
from finetune_trainer.prepared import (
    EVAL,
    SAMPLES,
    TRAIN,
    FileFacts,
    Identity,
    Prepared,
    TokenizerFacts,
)
from finetune_trainer.report import ProgressWriter

TELL_EVERY = 100
"""Rows between two words about progress; the writer keeps back what comes too soon."""
MOST_ENDS = 4
"""Different tokens that may end an answer."""


@dataclass(frozen=True, kw_only=True)
class PrepareResult:
    """The last word of a Prepare that went well."""

    reason: Literal["Prepared", "AlreadyPublished"]
    message: str
    result: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Model:
    """The base model as far as Prepare needs it."""

    base: BaseModel
    words: Words
    found: Architecture
    targets: tuple[str, ...]
    """Modules that get an adapter."""

    def max_length(self, asked: int) -> int:
        """The longest row (tokens): what is asked for, but no more than the model was made for."""
        return min(asked, self.found.positions or asked)


@dataclass(frozen=True, kw_only=True)
class Data:
    """All rows, those that train and those that are held out."""

    train: list[Example]
    held: list[Example]
    read: int
    formats: tuple[str, ...]
    loss_on: tuple[str, ...]
    drops: Drops


@dataclass(frozen=True, kw_only=True)
class Tables:
    """The written tables."""

    train: Written
    held: Written
    tokeniser: Tokeniser
    folder: Path


def prepare(run: config.Run, layout: Layout, progress: ProgressWriter) -> PrepareResult:
    """Prepare the data of `run` for training. Raises our errors; anything else is a bug."""
    progress.tell(stage="Fetch", message="looking at the output")
    not_yet.check(run)
    if published := outcome.look(run, layout):
        return _already(run, published)
    outcome.probe(run, layout)
    train = sources.fetch(run, layout, "train", lambda name: progress.tell(message=f"fetching {name}"))
    held = sources.fetch(run, layout, "eval", lambda name: progress.tell(message=f"fetching {name}"))
    model = _model(run, layout, progress)
    data = _read(run, (train, held), progress, chat=model.words.chat)
    tables = _tokenise(run, layout, progress, model, data)
    prepared = _document(run, model, data, tables)
    progress.tell(stage="Publish", message="writing the prepared dataset")
    prepared.save(outcome.work_area(run, layout), tables.folder)
    progress.tell(stage="Done", message="prepared")
    return _result(prepared, data)


def _model(run: config.Run, layout: Layout, progress: ProgressWriter) -> Model:
    """Config and tokenizer of the base model, and what they say. The weights are not fetched: they are the GPU pod's."""
    progress.tell(message=f"looking at the model {run.model.uri}")
    base = base_model.locate(run, layout)
    base.fetch(base.small, layout.model, lambda item: progress.tell(message=f"fetching {item.key}"))
    found = inspection.architecture(layout.model)
    names = [item.key for item in base.small if item.key != "config.json"]
    return Model(
        base=base,
        words=inspection.words(layout.model, names, run.model.chat_template),
        found=found,
        targets=inspection.target_modules(run.tuning.lora.target_modules, found),
    )


def _read(
    run: config.Run, fetched: tuple[list[Fetched], list[Fetched]], progress: ProgressWriter, *, chat: bool
) -> Data:
    """Read, understand, filter and split all rows."""
    drops, counted = Drops(), itertools.count(1)
    progress.tell(stage="Read", rows=0, message="reading rows")

    def told(examples: Iterable[Example]) -> Iterator[Example]:
        for example in examples:
            if (number := next(counted)) % TELL_EVERY == 0:
                progress.tell(rows=number, message=f"{number} rows read")
            yield example

    train, held = ([sources.understand(source, run, chat=chat) for source in part] for part in fetched)
    quality = run.dataset.quality
    kept = [
        list(filters.kept(told(itertools.chain.from_iterable(s.examples for s in part)), quality, drops))
        for part in (train, held)
    ]
    read = next(counted) - 1
    if not kept[0]:
        raise _nothing_left(drops, read)
    if held:
        examples = split.without(kept[0], kept[1], drops), kept[1]
    else:
        examples = split.held_out(kept[0], run.dataset.eval_fraction, seed=run.training.seed)
    if not examples[0]:
        raise _nothing_left(drops, read)
    return Data(
        train=examples[0],
        held=examples[1],
        read=read,
        formats=tuple(source.format for source in train),
        loss_on=tuple(source.loss_on for source in train),
        drops=drops,
    )


def _tokenise(run: config.Run, layout: Layout, progress: ProgressWriter, model: Model, data: Data) -> Tables:
    """Write the tables of training and held-out rows."""
    folder = layout.dataset
    folder.mkdir(parents=True, exist_ok=True)
    tokeniser = Tokeniser(model.words.tokenizer, model.words.renderer)
    counted = itertools.count(1)
    progress.tell(stage="Tokenise", rows=0, message="tokenising rows")

    def told(encoded: Iterable[Encoded]) -> Iterator[Encoded]:
        for row in encoded:
            if (number := next(counted)) % TELL_EVERY == 0:
                progress.tell(
                    rows=number, message=f"{number} of {len(data.train) + len(data.held)} rows tokenised"
                )
            yield row

    def written(examples: list[Example], name: str) -> Written:
        return table.write(
            folder / name,
            told(tokeniser.encode(examples)),
            max_length=model.max_length(run.training.max_length),
            quality=run.dataset.quality,
            drops=data.drops,
        )

    tables = Tables(
        train=written(data.train, TRAIN), held=written(data.held, EVAL), tokeniser=tokeniser, folder=folder
    )
    if not tables.train.rows:
        raise _nothing_left(data.drops, data.read, max_length=model.max_length(run.training.max_length))
    _check_vocabulary(model.found, max(tables.train.largest_id, tables.held.largest_id))
    return tables


def _nothing_left(drops: Drops, read: int, *, max_length: int = 0) -> errors.TrainerError:
    """The error where no row is left to train on: the most frequent reason says which."""
    reason = max(drops.rows, key=lambda reason: drops.rows[reason], default="")
    told = ", ".join(f"{name} {number}" for name, number in sorted(drops.rows.items()))
    first = ", ".join(drops.places.get(reason, [])[:3])
    if reason == "TooLong":
        return errors.AllRowsTooLong(
            f"spec.training.maxLength: cut to {max_length} tokens, none of the {read} rows has a learned token left ({told}; the "
            f"first: {first}); raise maxLength, or shorten what comes before the answers"
        )
    if reason in {"EmptyAnswer", "EmptyPrompt", "EmptyText", "NothingLearned"}:
        return errors.NothingToLearn(
            f"spec.dataset.train: there is nothing to learn in any of the {read} rows ({told}; the first: {first}); fill in the "
            "empty turns"
        )
    return errors.EmptyDataset(
        f"spec.dataset: of {read} rows none is left to train on ({told}); loosen dataset.quality, or give other rows"
    )


def _check_vocabulary(found: Architecture, largest: int) -> None:
    """A token beyond the embedding would end training with an index error on the GPU."""
    if largest >= found.vocabulary:
        raise errors.UnsupportedModelFiles(
            f"{base_model.FIELD}: the tokenizer gives token {largest}, but the model's embedding has {found.vocabulary} rows; use "
            "the tokenizer that belongs to the model"
        )


def _document(run: config.Run, model: Model, data: Data, tables: Tables) -> Prepared:
    """prepared.json, and the files it names."""
    max_length = model.max_length(run.training.max_length)
    facts = resolve.Facts(lengths=tables.train.lengths, max_length=max_length, target_modules=model.targets)
    resolved = resolve.resolve(run, facts)
    tokenizer = _tokenizer_facts(model.words, data, tables.tokeniser)
    _write_samples(run, model.words, data, tables.folder / SAMPLES)
    names = [TRAIN, *([EVAL] if tables.held.rows else [])]
    identity = Identity(
        files={name: FileFacts.of(tables.folder / name) for name in names},
        model=model.base.facts,
        tokenizer=tokenizer,
        max_length=max_length,
        loss_on=data.loss_on,
        formats=data.formats,
        seed=run.training.seed,
    )
    seen = advice.Seen(
        rows=tables.train.rows,
        held_out=tables.held.rows,
        truncated=tables.train.truncated,
        too_long=data.drops.rows.get("TooLong", 0),
        duplicates=data.drops.rows.get("ExactDuplicate", 0),
        asked_length=run.training.max_length,
        max_length=max_length,
        endless=model.words.renderer.endless,
        learning_rate=resolved.learning_rate,
        plain=tokenizer.chat_template_source == "Plain",
    )
    return Prepared(
        digest=identity.digest,
        identity=identity,
        samples=FileFacts.of(tables.folder / SAMPLES),
        rows=tables.train.rows,
        eval_rows=tables.held.rows,
        rows_read=data.read,
        dropped=data.drops.report,
        truncated=tables.train.truncated + tables.held.truncated,
        tokens=sum(tables.train.lengths),
        supervised_tokens=tables.train.supervised,
        longest=max(tables.train.lengths),
        advice=tuple(advice.advice(seen)),
        resolved=resolved,
    )


def _tokenizer_facts(words: Words, data: Data, tokeniser: Tokeniser) -> TokenizerFacts:
    """How prompts of this data are rendered, and what ends answers in it."""
    tokenizer = words.tokenizer
    eos = int(tokenizer.eos_token_id)
    special = {eos, *(number for number, token in tokenizer.added_tokens_decoder.items() if token.special)}
    ends = [number for number, _ in tokeniser.ends.most_common() if number in special][:MOST_ENDS]
    chat = isinstance(data.train[0].content, rows.Conversation)
    told = chat or words.chat
    return TokenizerFacts(
        digest=words.digest,
        vocabulary=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=eos,
        pad_token_id=eos if tokenizer.pad_token_id is None else int(tokenizer.pad_token_id),
        end_of_turn_ids=tuple(ends if eos in ends else [*ends, eos]),
        rendering="Chat" if chat else "Raw",
        chat_template=words.renderer.template if told else None,
        chat_template_source=words.source if told else None,
    )


def _write_samples(run: config.Run, words: Words, data: Data, path: Path) -> None:
    """What base and tuned model will be asked."""
    chat = isinstance(data.train[0].content, rows.Conversation)
    prompts = samples.Prompts(tokenizer=words.tokenizer, renderer=words.renderer, chat=chat)
    made = [one.wire() for one in prompts.samples(run.evaluation.samples, data.held)]
    path.write_text(json.dumps(made, ensure_ascii=False, indent=1), encoding="utf-8")


def _result(prepared: Prepared, data: Data) -> PrepareResult:
    """The last word."""
    dropped = {reason: one.rows for reason, one in prepared.dropped.items()}
    formats = ", ".join(dict.fromkeys(data.formats))
    dataset = {
        "digest": prepared.digest,
        "format": formats,
        "rows": prepared.rows,
        "evalRows": prepared.eval_rows,
        "rowsRead": prepared.rows_read,
        "dropped": dropped,
        "truncated": prepared.truncated,
        "tokens": prepared.tokens,
        "supervisedTokens": prepared.supervised_tokens,
        "advice": list(prepared.advice),
    }
    facts = prepared.identity.model
    resolved = prepared.resolved.wire()
    told = ", ".join(f"{number} {reason}" for reason, number in dropped.items())
    return PrepareResult(
        reason="Prepared",
        message=f"{prepared.rows_read} rows of {formats}: {prepared.rows} to train on, {prepared.eval_rows} held out, "
        f"{sum(dropped.values())} dropped{f' ({told})' if told else ''}, {prepared.truncated} cut; "
        f"{prepared.tokens} tokens an epoch, {resolved['totalSteps']} steps",
        result={
            "dataset": dataset,
            "model": {"baseModel": facts.id, "baseRevision": facts.revision},
            "resolved": resolved,
        },
    )


def _already(run: config.Run, published: dict[str, Any]) -> PrepareResult:
    return PrepareResult(
        reason="AlreadyPublished",
        message=f"this job has published to {run.output.uri} already; nothing is left to do",
        result={"published": published},
    )
