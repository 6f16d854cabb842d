"""The prepared rows as TRL's trainers take them: tokenised, masked and cut by Prepare, and by nobody else.

SFT takes ready rows by a setting. The trainers of DPO, KTO and ORPO insist on tokenising text themselves, so they are made
with a placeholder of one row, and get the prepared rows before the first step: as their own preparation would have left
them, to the last token (a test compares).
"""

from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from finetune_trainer import config, prepared
from finetune_trainer.data import packing

Columns = dict[str, list[Any]]

COLUMNS = {
    "SFT": ("input_ids", "labels"),
    "DPO": ("prompt_ids", "chosen_ids", "rejected_ids"),
    "ORPO": ("prompt_ids", "chosen_ids", "rejected_ids"),
    "KTO": ("prompt_ids", "completion_ids", "label"),
}
"""Of the prepared tables, by method. Token ids, but for KTO's `label`: true where the answer is one to give."""

IGNORED = -100
"""Label of a token that is not learned."""

_TEXT = {"prompt": "Question:", "chosen": " yes", "rejected": " no"}
PLACEHOLDERS = {
    "DPO": _TEXT,
    "ORPO": _TEXT,
    "KTO": {"prompt": _TEXT["prompt"], "completion": _TEXT["chosen"], "label": True},
}
"""A row that is tokenised where a trainer is made, and never trained on."""


def rows(file: Path, run: config.Run) -> datasets.Dataset:
    """The rows of a prepared Parquet file, in its order, with the columns of the run's method."""
    return datasets.Dataset(pyarrow.parquet.read_table(file, columns=list(COLUMNS[run.method])))


def first_sequence(file: Path, run: config.Run) -> list[int]:
    """A row's tokens as the model sees them: of a pair, the question with the chosen answer."""
    row = rows(file, run)[0]
    return [
        token for column in COLUMNS[run.method][: 1 if run.method == "SFT" else 2] for token in row[column]
    ]


def first_shared(folder: Path, run: config.Run) -> list[list[int]]:
    """The tokens of the rows of the first pack that holds several; empty where none does."""
    shared = (pack for pack in packing.read(folder / prepared.PACKS).to_pylist() if len(pack) > 1)
    found = rows(folder / prepared.TRAIN, run)
    return [list(found[row]["input_ids"]) for row in next(shared, [])]


def placeholder(run: config.Run) -> datasets.Dataset:
    """What a trainer that insists on tokenising is made with."""
    return datasets.Dataset.from_list([PLACEHOLDERS[run.method]])


def training_rows(file: Path, run: config.Run, *, micro: int) -> datasets.Dataset:
    """The rows as the trainer's collator wants them; `micro` is the number of rows per forward pass."""
    found = rows(file, run)
    if run.method == "KTO":
        return datasets.Dataset(mismatched(shuffled(found.data.table, run.training.seed), micro))
    if run.training.packing:
        return datasets.Dataset(packed(found.data.table, packing.read(file.with_name(prepared.PACKS))))
    return found.with_transform(orpo_columns) if run.method == "ORPO" else found


def packed(table: pa.Table, rows_of: pa.ListArray) -> pa.Table:
    """The sequences of packs: the rows that `rows_of` names for each, one behind the other, and `seq_lengths`, their tokens.

    By those lengths TRL's collator lets positions begin anew with each row, and takes its first token's label away.
    """
    bounds = rows_of.offsets.to_numpy()
    columns = {
        name: table.column(name).cast(pa.large_list(pa.int32())).take(rows_of.flatten()).combine_chunks()
        for name in COLUMNS["SFT"]
    }
    lengths = pc.list_value_length(columns["input_ids"]).cast(pa.int32())
    ends = np.concatenate([[0], np.cumsum(lengths.to_numpy(), dtype=np.int64)])
    made = {
        name: pa.LargeListArray.from_arrays(ends[bounds], column.flatten())
        for name, column in columns.items()
    }
    return pa.table({**made, "seq_lengths": pa.ListArray.from_arrays(rows_of.offsets, lengths)})


def shuffled(table: pa.Table, seed: int) -> pa.Table:
    """The rows in the order of `datasets.Dataset.shuffle(seed)`.

    TRL reads KTO's rows in their order, in every epoch, for the sake of `mismatched`. Files often hold all good answers
    first: the passes would see one kind only.
    """
    return table.take(np.random.default_rng(seed).permutation(table.num_rows))


def mismatched(table: pa.Table, micro: int) -> pa.Table:
    """`table` with KTO's column `KL_completion_ids`: of each `micro` rows every one has the answer of the one before it.

    How likely the model finds answers to other questions is what KTO estimates its distance from the reference by.
    """
    place = np.arange(table.num_rows)
    first = place - place % micro
    last = np.minimum(first + micro, table.num_rows) - 1
    before = np.where(place == first, last, place - 1)
    return table.append_column("KL_completion_ids", table.column("completion_ids").take(before))


def orpo_columns(batch: Columns) -> Columns:
    """Pairs in the columns that TRL's ORPO makes of text (`ORPOTrainer.tokenize_row`)."""
    made: Columns = {}
    prompts = batch["prompt_ids"]
    for side in ("chosen", "rejected"):
        answers = batch[f"{side}_ids"]
        whole = [[*prompt, *answer] for prompt, answer in zip(prompts, answers, strict=True)]
        made[f"{side}_input_ids"] = whole
        made[f"{side}_attention_mask"] = [[1] * len(ids) for ids in whole]
        made[f"{side}_labels"] = [
            [IGNORED] * len(prompt) + list(answer) for prompt, answer in zip(prompts, answers, strict=True)
        ]
    made["prompt_input_ids"] = [list(prompt) for prompt in prompts]
    made["prompt_attention_mask"] = [[1] * len(prompt) for prompt in prompts]
    return made
