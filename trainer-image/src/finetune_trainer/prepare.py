"""Prepare: everything that can be known before a GPU is asked for. See docs/decisions/0004.

Look at the output, fetch the data, pin the model, read every row, render, mask, filter, split, tokenise; then write the
prepared dataset, its document last. Runs in the pod's main thread, where a SIGTERM is raised as `Interrupted`.
"""

import json
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from finetune_trainer import (
    adapter_source,
    base_model,
    checkpoint,
    combinations,
    config,
    errors,
    eval_tasks,
    gate,
    hub_copy,
    inspection,
    looking,
    metrics,
    model_cache,
    not_yet,
    outcome,
    resolve,
    scoring_model,
    start_adapter,
)
from finetune_trainer.base_model import BaseModel
from finetune_trainer.data import (
    advice,
    data_report,
    deciding,
    figures,
    gathering,
    left_out,
    packing,
    samples,
    sources,
    spool,
    table,
)
from finetune_trainer.data.data_report import DataReport
from finetune_trainer.data.deciding import Decision, Rules
from finetune_trainer.data.facts import KINDS, Facts, Indexes
from finetune_trainer.data.filters import Drops
from finetune_trainer.data.gathering import Gathered
from finetune_trainer.data.meaning import Meaning
from finetune_trainer.data.reading import Recipe
from finetune_trainer.data.rows import Conversation, Example, Text
from finetune_trainer.data.sources import Fetched
from finetune_trainer.data.vocabulary import Vocabulary
from finetune_trainer.estimate import verdict
from finetune_trainer.estimate.verdict import Estimate
from finetune_trainer.estimate.work import Work
from finetune_trainer.inspection import Architecture, Words
from finetune_trainer.layout import Layout
from finetune_trainer.looking import Looked, Looking
from finetune_trainer.plural import counted
from finetune_trainer.prepared import (
    EVAL,
    PACKS,
    SAMPLES,
    TRAIN,
    FileFacts,
    Identity,
    Packed,
    Prepared,
    Resolved,
    Sample,
    TokenizerFacts,
    key_of,
)
from finetune_trainer.report import ProgressWriter

if TYPE_CHECKING:
    import pyarrow as pa

MOST_ENDS = 4
"""Different tokens that may end an answer."""
LOOKED_AT = 8
"""Held-out rows that are looked at beyond those that are asked again: not every one can be."""


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
    looked: Looked

    @property
    def found(self) -> Architecture:
        """What it is."""
        return self.looked.found


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The fetched files, and what their rows mean."""

    train: list[Fetched]
    held: list[Fetched]
    recipe: Recipe

    @property
    def every(self) -> list[Fetched]:
        """All of them, in the order of reading."""
        return [*self.train, *self.held]

    @property
    def meanings(self) -> tuple[Meaning, ...]:
        """What the rows of the training sources mean."""
        return self.recipe.meanings[: len(self.train)]


@dataclass(frozen=True, kw_only=True)
class Table:
    """What stands in a written table."""

    rows: int
    """One that is seen more than once in an epoch counts as often."""
    lengths: "array[int]"
    """Tokens of the longest sequence of each row, in order."""
    tokens: int
    supervised: int
    """Learned tokens."""
    truncated: int
    """Rows of the sources that were cut."""

    @classmethod
    def of(cls, facts: Facts, rows: Indexes) -> "Table":
        """The table of `rows`."""
        lengths: array[int] = array("i")
        lengths.frombytes(facts.longest[rows].astype(np.intc).tobytes())
        return cls(
            rows=len(rows),
            lengths=lengths,
            tokens=int(facts.tokens[rows].sum(dtype=np.int64)),
            supervised=int(facts.supervised[rows].sum(dtype=np.int64)),
            truncated=int(facts.cut[np.unique(rows)].sum()),
        )


@dataclass(frozen=True, kw_only=True)
class Data:
    """All rows, those that train and those that are held out, and their tables."""

    facts: Facts
    decision: Decision
    train: Table
    held: Table
    packs: list[packing.Pack] | None
    """Which training rows share a sequence; None: none do."""
    folder: Path

    @property
    def sequences(self) -> Sequence[int]:
        """Tokens of each training sequence: a row, or a pack."""
        if self.packs is None:
            return self.train.lengths
        return [sum(self.train.lengths[row] for row in pack) for pack in self.packs]

    def packed(self, max_length: int) -> Packed | None:
        """How full the packs are."""
        if self.packs is None:
            return None
        count = len(self.packs)
        return Packed(packs=count, fill_rate=round(self.train.tokens / (count * max_length), 4))

    @property
    def used(self) -> Indexes:
        """Rows of both tables."""
        return np.union1d(self.decision.train, self.decision.held)

    @property
    def chat(self) -> bool:
        """Whether training rows go through the chat template; plain text may stand beside them."""
        return bool((self.facts.kind[self.decision.train] == KINDS.index(Conversation.__name__)).any())


def prepare(run: config.Run, layout: Layout, progress: ProgressWriter) -> PrepareResult:
    """Prepare the data of `run` for training. Raises our errors; anything else is a bug."""
    progress.tell(stage="Fetch", message="looking at the output")
    not_yet.check(run)
    combinations.check(run)
    eval_tasks.check(run)
    gate.check(run)
    if run.training.extra:
        from finetune_trainer import extra  # noqa: PLC0415 - imports TRL: 10 s that nobody else should wait for

        extra.check(run)
    if published := outcome.look(run, layout):
        return _already(run, published)
    outcome.probe(run, layout)
    hub_copy.probe(run, layout)
    fetched = [
        sources.fetch(run, layout, part, lambda name: progress.tell(message=f"fetching {name}"))
        for part in ("train", "eval")
    ]
    tasks = eval_tasks.fetch(run, layout, lambda name: progress.tell(message=f"fetching {name}"))
    base = _base(run, layout, progress)
    scorer = scoring_model.look(run, layout, lambda told: progress.tell(message=told))
    asked, run = run, adapter_source.fetch(run, layout, base.facts)
    adapter_source.check_fits(run, layout)
    with looking.beside(run, layout.model) as look:
        words = _words(run, layout, base)
        read = _sources(run, fetched[0], fetched[1], words, inspection.positions(layout.model))
        data = _tables(run, layout, progress, look, read)
        model = Model(base=base, words=words, looked=look.result)
    made = _samples(run, model.words, read, data)
    answered = sum(one.expected is not None for one in made)
    combinations.check_held_out(run, rows=data.held.rows, answered=answered)
    prepared = _document(run, model, read, data, made).model_copy(
        update={
            "shaping": checkpoint.shaping(asked),
            "scorer": scorer.facts if scorer else None,
            "tasks": tasks,
        }
    )
    progress.tell(stage="Fetch")
    for one in filter(None, (model.base, scorer)):
        model_cache.fill(one, layout, lambda message: progress.tell(message=message))
    progress.tell(stage="Publish", message="writing the prepared dataset")
    area = outcome.work_area(run, layout)
    prepared.save(area, data.folder)
    progress.tell(stage="Done", message="prepared")
    return _result(prepared, area.uri_of(f"{key_of(prepared.digest)}/{data_report.MARKDOWN}"))


def _base(run: config.Run, layout: Layout, progress: ProgressWriter) -> BaseModel:
    """The base model, its config and tokenizer fetched. The weights are the GPU pod's, or go to the model cache."""
    progress.tell(message=f"looking at the model {run.model.uri}")
    base = base_model.locate(run, layout)
    base.fetch(base.small, layout.model, lambda item: progress.tell(message=f"fetching {item.key}"))
    return base


def _words(run: config.Run, layout: Layout, base: BaseModel) -> Words:
    """The tokenizer, and the chat template in force."""
    names = [item.key for item in base.small if item.key != "config.json"]
    return inspection.words(layout.model, names, run.model.chat_template)


def _sources(
    run: config.Run, train: list[Fetched], held: list[Fetched], words: Words, positions: int | None
) -> Sources:
    """What the rows mean, by the first one of each source. `positions`: what the model was made for; None: any length."""
    meanings = [sources.meaning(source, run, chat=words.chat) for source in (*train, *held)]
    asked = run.training.max_length
    max_length = min(asked, positions or asked)
    combinations.check_room(run, max_length=max_length)
    recipe = Recipe(
        meanings=tuple(meanings),
        quality=run.dataset.quality,
        vocabulary=Vocabulary.of(words.tokenizer),
        renderer=words.renderer,
        method=run.method,
        max_length=max_length,
    )
    return Sources(train=train, held=held, recipe=recipe)


def _tables(run: config.Run, layout: Layout, progress: ProgressWriter, look: Looking, read: Sources) -> Data:
    """Read and tokenise all rows, decide which go where, and write the tables."""
    progress.tell(stage="Read", rows=0, message="reading rows")
    helpers = gathering.helpers(read.every)

    def told(rows: int) -> None:
        look.check()
        progress.tell(stage="Tokenise", rows=rows, message=f"{counted(rows, 'row')} read and tokenised")

    with gathering.place(layout.spool) as spool:
        found = gathering.gather(read.every, read.recipe, spool, told, helpers=helpers)
        decision = deciding.decide(found.facts, Rules.of(run))
        if not len(decision.train):
            given = int((found.facts.source < len(read.train)).sum())
            raise _nothing_left(run.method, decision.drops, given, max_length=read.recipe.max_length)
        train = Table.of(found.facts, decision.train)
        data = Data(
            facts=found.facts,
            decision=decision,
            train=train,
            held=Table.of(found.facts, decision.held),
            packs=packing.best_fit(train.lengths, read.recipe.max_length) if run.training.packing else None,
            folder=layout.dataset,
        )
        _check_vocabulary(look.result.found, int(found.facts.largest[data.used].max()))
        progress.tell(stage="Tokenise", message=f"writing {counted(data.train.rows + data.held.rows, 'row')}")
        _write(found, data, table.schema(run.method))
    return data


def _write(found: Gathered, data: Data, schema: "pa.Schema") -> None:
    """The tables."""
    data.folder.mkdir(parents=True, exist_ok=True)
    for rows, name in ((data.decision.train, TRAIN), (data.decision.held, EVAL)):
        spool.copy(found.spots, found.facts, rows, data.folder / name, schema)
    if data.packs is not None:
        packing.write(data.packs, data.folder / PACKS)


def _nothing_left(method: str, drops: Drops, read: int, *, max_length: int) -> errors.TrainerError:
    """The error where none of the `read` rows is left to train on: the most frequent reason says which."""
    reason = max(drops.rows, key=lambda reason: drops.rows[reason], default="")
    told = ", ".join(f"{name} {number}" for name, number in sorted(drops.rows.items()))
    first = ", ".join(drops.places.get(reason, [])[:3])
    every = "the only row" if read == 1 else f"any of the {read} rows"
    if reason == "TooLong":
        return errors.AllRowsTooLong(
            f"spec.training.maxLength: cut to {max_length} tokens, no learned token is left in {every} ({told}; the first: "
            f"{first}); raise spec.training.maxLength, or shorten what comes before the answers"
        )
    if cure := left_out.cure(reason, method):
        return errors.NothingToLearn(
            f"spec.dataset.train: there is nothing to learn in {every} ({told}; the first: {first}); {cure}"
        )
    since = ""
    if reason in left_out.EXAMINED:
        since = ", since spec.dataset.eval holds them too"
        cure = "take other rows for spec.dataset.eval, or leave it out and set spec.dataset.evalFraction"
    elif reason == "NotDrawn":
        cure = "raise spec.dataset.train[0].weight"
    else:
        cure = "loosen spec.dataset.quality, or give other rows"
    none = "the only row is not" if read == 1 else f"none of the {read} rows is"
    return errors.EmptyDataset(f"spec.dataset: {none} left to train on ({told}){since}; {cure}")


def _check_vocabulary(found: Architecture, largest: int) -> None:
    """A token beyond the embedding would end training with an index error on the GPU."""
    if largest >= found.vocabulary:
        raise errors.UnsupportedModelFiles(
            f"{base_model.FIELD}: the tokenizer gives token {largest}, but the model's embedding has {found.vocabulary} rows; use "
            "the tokenizer that belongs to the model"
        )


def _document(run: config.Run, model: Model, read: Sources, data: Data, asked: list[Sample]) -> Prepared:
    """prepared.json, and the files it names."""
    max_length = read.recipe.max_length
    facts = resolve.Facts(
        lengths=data.sequences,
        packed=None if data.packs is None else data.train.rows,
        max_length=max_length,
        target_modules=model.looked.targets,
        shape=model.found.shape,
        scored=int(data.facts.supervised[data.decision.held].max(initial=0)),
    )
    resolved = resolve.resolve(run, facts)
    needed = _estimate(run, model, facts, resolved, data, answers=len(asked))
    tokenizer = _tokenizer_facts(model.words, data)
    (data.folder / SAMPLES).write_text(
        json.dumps([one.wire() for one in asked], ensure_ascii=False, indent=1), encoding="utf-8"
    )
    packs_file = [] if data.packs is None else [PACKS]
    names = [TRAIN, *([EVAL] if data.held.rows else []), *packs_file, *start_adapter.names(run)]
    identity = Identity(
        method=run.method,
        files={name: FileFacts.of(data.folder / name) for name in names},
        model=model.base.facts,
        tokenizer=tokenizer,
        max_length=max_length,
        loss_on=tuple(one.loss_on for one in read.meanings),
        formats=tuple(one.format for one in read.meanings),
        seed=run.training.seed,
    )
    packed = data.packed(max_length)
    found = figures.figures(data.facts, data.decision, _listed(run, read))
    seen = advice.Seen(
        figures=found,
        run=run,
        resolved=resolved,
        usual_rate=resolve.usual_rate(run),
        usual_epochs=resolve.usual_epochs(facts.rows),
        positions=model.found.positions,
        chat=model.words.chat,
        plain=tokenizer.chat_template_source == "Plain",
        packed=packed,
    )
    said = (*needed.advice, *advice.advice(seen))[: advice.MOST]
    report = DataReport.of(
        found, data.decision.drops.report, max_length=max_length, advice=said, packed=packed
    )
    return Prepared(
        digest=identity.digest,
        identity=identity,
        samples=FileFacts.of(data.folder / SAMPLES),
        report={name: FileFacts.of(data.folder / name) for name in report.write(data.folder)},
        rows=data.train.rows,
        eval_rows=data.held.rows,
        rows_read=len(data.facts),
        dropped=data.decision.drops.report,
        truncated=data.train.truncated + data.held.truncated,
        tokens=data.train.tokens,
        supervised_tokens=data.train.supervised,
        longest=max(data.train.lengths),
        packed=packed,
        advice=said,
        resolved=resolved,
        estimate=needed.estimated,
    )


def _estimate(
    run: config.Run, model: Model, facts: resolve.Facts, resolved: Resolved, data: Data, *, answers: int
) -> Estimate:
    """What training will need. Raises `ModelDoesNotFit`."""
    work = Work(
        lengths=facts.lengths,
        steps=resolved.total_steps,
        epochs=resolved.epochs,
        held_out_tokens=data.held.tokens,
        answers=answers,
    )
    needs = resolve.needs(run, facts, resolved.micro_batch_size)
    return verdict.estimate(run, model.found.shape, needs, work)


def _listed(run: config.Run, read: Sources) -> list[figures.Source]:
    """The sources, before their rows are counted."""
    parts = ["train"] * len(run.dataset.train) + ["eval"] * len(run.dataset.eval)
    return [
        figures.Source(
            part=part,
            uri=source.source.uri,
            format=one.format,
            loss_on=one.loss_on,
            rows_read=0,
            rows=0,
            seen=0,
        )
        for part, source, one in zip(parts, read.every, read.recipe.meanings, strict=True)
    ]


def _tokenizer_facts(words: Words, data: Data) -> TokenizerFacts:
    """How prompts of this data are rendered, and what ends answers in it."""
    tokenizer = words.tokenizer
    eos = int(tokenizer.eos_token_id)
    special = {eos, *(number for number, token in tokenizer.added_tokens_decoder.items() if token.special)}
    ends = [number for number in _most_common(data.facts.end[data.used]) if number in special][:MOST_ENDS]
    told = data.chat or words.chat
    return TokenizerFacts(
        digest=words.digest,
        vocabulary=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=eos,
        pad_token_id=eos if tokenizer.pad_token_id is None else int(tokenizer.pad_token_id),
        end_of_turn_ids=tuple(ends if eos in ends else [*ends, eos]),
        rendering="Chat" if data.chat else "Raw",
        chat_template=words.renderer.template if told else None,
        chat_template_source=words.source if told else None,
    )


def _most_common(ends: npt.NDArray[np.int32]) -> list[int]:
    """Different values, the most frequent first."""
    values, counts = np.unique(ends, return_counts=True)
    found: list[int] = values[np.argsort(-counts, kind="stable")].tolist()
    return found


def _samples(run: config.Run, words: Words, read: Sources, data: Data) -> list[Sample]:
    """What base and tuned model will be asked: the first few held-out rows, or a drawn sample where metrics compare answers."""
    prompts = samples.Prompts(tokenizer=words.tokenizer, renderer=words.renderer, chat=data.chat)
    held = data.decision.held
    asking = np.unique(held[data.facts.kind[held] != KINDS.index(Text.__name__)])

    def rows(wanted: Indexes) -> Iterator[Example]:
        return gathering.again(read.every, read.recipe, data.facts, wanted)

    if not metrics.generates(run.evaluation.metrics):
        return prompts.samples(run.evaluation.samples, rows(asking[: samples.HELD_OUT + LOOKED_AT]))
    most, dice = run.evaluation.max_answers, np.random.default_rng(run.training.seed)
    found = list(rows(np.sort(dice.permutation(asking)[: 2 * most + LOOKED_AT])))
    drawn = (found[place] for place in dice.permutation(len(found)))
    return prompts.samples(run.evaluation.samples, drawn, most=most)


def _result(prepared: Prepared, report: str) -> PrepareResult:
    """The last word. `report`: where a person can read why rows were left out."""
    dropped = {reason: one.rows for reason, one in prepared.dropped.items()}
    formats = ", ".join(dict.fromkeys(prepared.identity.formats))
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
        **(prepared.packed.wire() if prepared.packed else {}),
        "advice": list(prepared.advice),
    }
    facts = prepared.identity.model
    resolved = prepared.resolved.wire()
    told = ", ".join(f"{number} {reason}" for reason, number in dropped.items())
    shared = (
        f" in {prepared.packed.packs} packs, {prepared.packed.fill_rate:.0%} full" if prepared.packed else ""
    )
    where = f"; which rows, and why: {report}" if dropped or prepared.truncated else ""
    return PrepareResult(
        reason="Prepared",
        message=f"{counted(prepared.rows_read, 'row')} of {formats}: {prepared.rows} to train on, {prepared.eval_rows} held out, "
        f"{sum(dropped.values())} left out{f' ({told})' if told else ''}, {prepared.truncated} cut to maxLength; "
        f"{prepared.tokens} tokens per epoch{shared}, {counted(resolved['totalSteps'], 'step')}{where}",
        result={
            "dataset": dataset,
            "model": {"baseModel": facts.id, "baseRevision": facts.revision},
            "resolved": resolved,
            **({"estimate": prepared.estimate.wire()} if prepared.estimate else {}),
        },
    )


def _already(run: config.Run, published: dict[str, Any]) -> PrepareResult:
    return PrepareResult(
        reason="AlreadyPublished",
        message=f"this job has published to {run.output.uri} already; nothing is left to do",
        result={"published": published},
    )
