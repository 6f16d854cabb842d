"""Prepare says which rows share a sequence, and training takes them so: counted in packs, told in packs."""

import json

import pyarrow.parquet as pq
import pytest

import bad_input_run
import trainer_world
from finetune_trainer import config, errors, outcome, prepared
from finetune_trainer.data import packing
from finetune_trainer.prepare import PrepareResult
from finetune_trainer.prepared import Prepared
from trainer_world import TALK, World

PACKING = {"packing": True, "maxLength": 128, "epochs": 2.0, "globalBatchSize": 2}


@pytest.fixture
def world(tmp_path) -> World:
    made = World.at(tmp_path)
    made.put("train.jsonl", TALK)
    return made


def fetched(world: World, run: config.Run, result: PrepareResult) -> Prepared:
    """The document; its files lie in the folder `again`."""
    store = outcome.work_area(run, world.layout)
    found = trainer_world.load(store, result)
    found.fetch(store, world.layout.scratch / "again")
    return found


def test_rows_are_packed_and_steps_are_counted_in_packs(world):
    run = trainer_world.run(training=PACKING)

    result = world.prepare(run)

    found = fetched(world, run, result)
    packs = packing.read(world.layout.scratch / "again" / prepared.PACKS).to_pylist()
    rows = pq.read_table(world.layout.scratch / "again" / prepared.TRAIN).to_pylist()
    lengths = [sum(len(rows[row]["input_ids"]) for row in pack) for pack in packs]
    assert sorted(row for pack in packs for row in pack) == list(range(38))
    assert max(lengths) <= 128
    assert len(packs) < 38 / 3
    assert found.resolved.total_steps == 2 * -(-len(packs) // 2)
    assert found.packed == prepared.Packed(
        packs=len(packs), fill_rate=round(sum(lengths) / (128 * len(packs)), 4)
    )


def test_the_author_hears_of_packs_and_how_full_they_are(world):
    run = trainer_world.run(training=PACKING)

    result = world.prepare(run)

    packed = fetched(world, run, result).packed
    told = result.result["dataset"]
    assert (told["packs"], told["fillRate"]) == (packed.packs, packed.fill_rate)
    assert f"tokens per epoch in {packed.packs} packs, {packed.fill_rate:.0%} full, " in result.message
    folder = world.layout.scratch / "again"
    assert json.loads((folder / "data-report.json").read_text())["packed"] == packed.wire()
    assert (
        f"Packed into {packed.packs} sequences of at most 128 tokens, {packed.fill_rate:.1%} full."
        in (folder / "data-report.md").read_text()
    )


def test_a_row_longer_than_maxlength_is_cut_and_fills_a_pack_of_its_own(world):
    world.put("train.jsonl", [*TALK, {"messages": [
        {"role": "user", "content": "Count."}, {"role": "assistant", "content": "one two three " * 200},
    ]}])  # fmt: skip
    run = trainer_world.run(training=PACKING, dataset={
        "train": [{"uri": "pvc://data/train.jsonl"}], "evalFraction": 0.0, "quality": {"maxRepetition": 1.0},
    })  # fmt: skip

    found = fetched(world, run, world.prepare(run))

    packs = packing.read(world.layout.scratch / "again" / prepared.PACKS).to_pylist()
    assert (found.truncated, found.longest) == (1, 128)
    assert [40] in packs


def test_the_same_rows_have_the_same_packs_and_a_digest_of_their_own(world):
    first, again = (world.prepare(trainer_world.run(training=PACKING)) for _ in range(2))
    single = world.prepare(trainer_world.run(training={**PACKING, "packing": False}))

    digests = [one.result["dataset"]["digest"] for one in (first, again, single)]
    assert digests[0] == digests[1] != digests[2]
    assert "packs" not in single.result["dataset"]


def test_a_model_that_cannot_keep_rows_apart_is_refused(world):
    (world.model / "config.json").write_text(json.dumps(bad_input_run.FALCON))

    with pytest.raises(
        errors.SettingsDoNotFit,
        match=r"^spec\.training\.packing: .* in a model of type falcon: its attention",
    ):
        world.prepare(trainer_world.run(training=PACKING))
