"""Runs on the tiny model without a cluster: run.json, the pod's tree below a folder, a prepared dataset made by hand."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import trainer_tiny_model
from finetune_trainer import config, prepared, start_adapter
from finetune_trainer.data import packing
from finetune_trainer.layout import Layout

JOB = {"namespace": "team-a", "name": "tiny", "uid": "6f1c9a52-7a53-4f0e-9d55-0c3d5a8b7e10"}

RUN: dict[str, Any] = {
    "version": 1,
    "job": JOB,
    "image": "registry/finetune-trainer:test",
    "profile": None,
    "method": "SFT",
    "model": {"uri": "pvc://models/tiny"},
    "dataset": {"train": [{"uri": "pvc://data/train.jsonl"}], "evalFraction": 0.2},
    "tuning": {"type": "LoRA", "lora": {"rank": 4, "dropout": 0.1}},
    "training": {"maxSteps": 6, "learningRate": 0.01, "globalBatchSize": 4, "microBatchSize": 2, "maxLength": 128},
    "evaluation": {"samples": ["What is the answer?"], "maxNewTokens": 8},
    "checkpoint": {"everySteps": 2},
    "output": {"uri": "pvc://output/tiny"},
    "resources": {
        "nodes": 1, "processesPerNode": 1, "accelerator": "cpu", "cpu": 1.0,
        "memoryBytes": 4 << 30, "scratchBytes": 1 << 30,
    },
    "limits": {"stallTimeoutSeconds": 300, "gracePeriodSeconds": 30},
    "hub": {"offline": True},
}  # fmt: skip

STARTED: dict[str, Any] = {
    "model": {"adapterFrom": {"jobRef": {"name": "sft"}}},
    "origins": {"adapter": {"uri": "pvc://output/sft"}},
}
"""Changes of run.json: training goes on from an adapter."""

TRIVIA: dict[str, Any] = {
    "name": "trivia",
    "data": {"uri": "pvc://data/trivia.jsonl"},
    "prompt": "{question}",
    "target": "answer",
    "generate": {},
}
"""A task of lm-eval that is answered freely."""

BASE = prepared.BaseModelFacts(id="pvc://models/tiny", uri="pvc://models/tiny", revision="sha256:" + "0" * 64)


def document(**changes: Any) -> dict[str, Any]:
    """run.json with `changes`, merged one level deep."""
    made = copy.deepcopy(RUN)
    for name, change in changes.items():
        made[name] = (
            {**made[name], **change}
            if isinstance(change, dict) and isinstance(made.get(name), dict)
            else change
        )
    return made


def run(**changes: Any) -> config.Run:
    """The same as a value."""
    return config.Run.model_validate(document(**changes))


def pod(root: Path, **changes: Any) -> Layout:
    """The pod's tree below `root`: run.json, the tiny model and 30 conversations on claims, an empty output claim."""
    layout = Layout.under(root)
    layout.run.parent.mkdir(parents=True)
    layout.run.write_text(json.dumps(document(**changes)))
    (layout.claims / "output").mkdir(parents=True)
    (layout.claims / "models").mkdir()
    (layout.claims / "models/tiny").symlink_to(trainer_tiny_model.folder())
    (layout.claims / "data").mkdir()
    (layout.claims / "data/train.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in conversations(30))
    )
    return layout


def conversations(count: int) -> list[dict[str, Any]]:
    """Rows of `messages`."""
    return [
        {
            "messages": [
                {
                    "role": "user",
                    "content": f"Which number comes after {number}?" + " Please." * (number % 3),
                },
                {"role": "assistant", "content": f"After {number} comes {number + 1}."},
            ]
        }
        for number in range(count)
    ]


Table = dict[str, list[Any]]
"""A prepared table, by column."""


def prepare_by_hand(
    folder: Path,
    *,
    facts: prepared.BaseModelFacts = BASE,
    rows: int = 24,
    eval_rows: int = 6,
    method: str = "SFT",
    tables: tuple[Table, Table] | None = None,
    max_length: int = 128,
    start: Path | None = None,
    shaping: dict[str, Any] | None = None,
    packed: bool = False,
) -> prepared.Prepared:
    """Write a prepared dataset into `folder`, for tests of what comes after Prepare: `tables`, or invented tokens.

    `start`: the adapter that training goes on from; run.json must have `STARTED`.
    """
    folder.mkdir(parents=True)
    made = tables or (_table(method, range(rows)), _table(method, range(rows, rows + eval_rows)))
    for name, table in zip((prepared.TRAIN, prepared.EVAL), made, strict=True):
        arrays = {
            column: pa.array(values, pa.bool_() if column == "label" else pa.list_(pa.int32()))
            for column, values in table.items()
        }
        pq.write_table(pa.table(arrays), folder / name)
    samples = [{"source": "spec", "messages": [{"role": "user", "content": "Hello?"}], "inputIds": [5, 6, 7]}]
    (folder / prepared.SAMPLES).write_text(json.dumps(samples))
    counts = [len(next(iter(table.values()))) for table in made]
    if start:
        shutil.copytree(start, folder / start_adapter.FOLDER)
    if packed:
        lengths = [len(ids) for ids in made[0]["input_ids"]]
        packing.write(packing.best_fit(lengths, max_length), folder / prepared.PACKS)
    document = _prepared(folder, facts, *counts, max_length).model_copy(update={"shaping": shaping or {}})
    (folder / prepared.DOCUMENT).write_text(document.model_dump_json(by_alias=True))
    return document


def _table(method: str, numbers: range) -> Table:
    """Rows that can be learned, as Prepare leaves them for `method`: good answers count on upwards, bad ones downwards."""
    whole = [_tokens(number) for number in numbers]
    good, prompts = [ids[5:] for ids in whole], [ids[:5] for ids in whole]
    bad = [ids[:4:-1] for ids in whole]
    if method == "SFT":
        return {"input_ids": whole, "labels": [[-100] * 5 + answer for answer in good]}
    if method == "KTO":
        label = [number % 3 != 0 for number in numbers]
        answers = [up if liked else down for up, down, liked in zip(good, bad, label, strict=True)]
        return {"prompt_ids": prompts, "completion_ids": answers, "label": label}
    return {"prompt_ids": prompts, "chosen_ids": good, "rejected_ids": bad}


def _tokens(number: int) -> list[int]:
    """A row that can be learned: it counts upwards from a number of its own."""
    return [3 + (number * 7 + place) % 200 for place in range(10 + number % 9)]


def _prepared(
    folder: Path, facts: prepared.BaseModelFacts, rows: int, eval_rows: int, max_length: int
) -> prepared.Prepared:
    identity = prepared.Identity(
        files={
            path.relative_to(folder).as_posix(): prepared.FileFacts.of(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name != prepared.SAMPLES
        },
        model=facts,
        tokenizer=prepared.TokenizerFacts(
            digest="sha256:" + "0" * 64, vocabulary=4096, bos_token_id=None, eos_token_id=2, pad_token_id=0,
            end_of_turn_ids=(2,), rendering="Chat", chat_template=trainer_tiny_model.CHAT_TEMPLATE,
            chat_template_source="Model",
        ),
        max_length=max_length, loss_on=("Assistant",), formats=("messages",), seed=42,
    )  # fmt: skip
    return prepared.Prepared(
        digest=identity.digest, identity=identity, samples=prepared.FileFacts.of(folder / prepared.SAMPLES),
        rows=rows, eval_rows=eval_rows, rows_read=rows + eval_rows, dropped={}, truncated=0, tokens=14 * rows,
        supervised_tokens=9 * rows, longest=18, advice=(),
        resolved=prepared.Resolved(
            epochs=1.0, total_steps=6, learning_rate=0.01, global_batch_size=4, micro_batch_size=2, max_length=max_length,
            target_modules=("k_proj", "q_proj"),
        ),
    )  # fmt: skip
