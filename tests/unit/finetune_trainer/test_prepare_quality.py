"""Prepare over data of doubtful quality, with everything real: what is left out, what is told, where it can be read."""

import functools
import json

import pytest

import trainer_world
from finetune_trainer import errors, outcome
from finetune_trainer.data import gathering
from finetune_trainer.data.data_report import JSON, MARKDOWN, DataReport
from trainer_world import World, run

pytestmark = pytest.mark.slow  # Prepare with and without worker processes

STORY = "Write down how the pump of the third garden is started in spring, and what to look at before that."


@pytest.fixture
def world(tmp_path) -> World:
    return World.at(tmp_path)


def talk(asked: str, answered: str) -> dict:
    return {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]}


def messy() -> list[dict]:
    """40 good rows, and one of each kind of bad ones behind them."""
    return [
        *trainer_world.TALK,
        talk("What is 3 plus one?", "It is 4."),  # line 41, a copy of line 4
        talk("Anything?", " "),
        talk("", "Something."),
        talk("Say it!", "so it is " * 30),
        talk("A secret?", "The password is swordfish, mind you."),
        talk(STORY, "Open the valve, then turn the key to the left."),
        talk(STORY + " Please.", "Open the valve, then turn the key to the left!"),  # line 47, nearly line 46
    ]


QUALITY = {"duplicates": {"near": 0.8}, "maxRepetition": 0.5, "blocklist": ["swordfish"]}


def prepared(world: World, rows: list[dict], **dataset):
    made = run(dataset={"train": [{"uri": world.put("train.jsonl", rows)}], **dataset})
    result = world.prepare(made)
    return result, trainer_world.load(outcome.work_area(made, world.layout), result), world.work()


def test_each_bad_row_is_left_out_and_told_with_its_line(world):
    result, found, _ = prepared(world, messy(), quality=QUALITY)

    assert {reason: one.places for reason, one in found.dropped.items()} == {
        "Blocklisted": ("train.jsonl line 45",),
        "EmptyAnswer": ("train.jsonl line 42",),
        "EmptyPrompt": ("train.jsonl line 43",),
        "ExactDuplicate": ("train.jsonl line 41 (a copy of train.jsonl line 4)",),
        "NearDuplicate": ("train.jsonl line 47 (near to train.jsonl line 46)",),
        "Repetitive": ("train.jsonl line 44",),
    }
    assert (found.rows + found.eval_rows, found.rows_read) == (41, 47)
    assert result.result["dataset"]["dropped"]["NearDuplicate"] == 1


def test_by_default_only_copies_and_rows_without_words_go(world):
    _, found, _ = prepared(world, messy())

    assert {reason: one.rows for reason, one in found.dropped.items()} == {
        "EmptyAnswer": 1,
        "EmptyPrompt": 1,
        "ExactDuplicate": 1,
    }


def test_the_report_lies_beside_the_rows_and_the_message_says_where(world):
    result, found, work = prepared(world, messy(), quality=QUALITY)
    folder = work / "dataset" / found.digest.removeprefix("sha256:")

    page = (folder / MARKDOWN).read_text()
    told = DataReport.model_validate_json((folder / JSON).read_text())

    where = f"pvc://out/result/.finetune/uid-1/dataset/{folder.name}/data-report.md"
    assert result.message.endswith(f"; which rows, and why: {where}")
    assert "- train.jsonl line 47 (near to train.jsonl line 46)" in page.splitlines()
    assert told.advice == found.advice
    assert {name: one.rows for name, one in told.dropped.items()} == result.result["dataset"]["dropped"]
    assert [(one.uri, one.rows_read, one.rows) for one in told.sources] == [
        ("pvc://data/train.jsonl", 47, 41)
    ]
    assert set(found.report) == {JSON, MARKDOWN}


def test_of_clean_data_the_message_names_no_report(world):
    result, _, _ = prepared(world, trainer_world.TALK)

    assert "data-report" not in result.message


def test_cut_rows_are_told_with_their_tokens(world):
    long = talk("What is long?", "word " * 2000)

    result, _, work = prepared(world, [*trainer_world.TALK, long], evalFraction=0.0)

    report = next(work.rglob(JSON))
    told = json.loads(report.read_text())
    assert result.result["dataset"]["truncated"] == told["cut"]["rows"] == 1
    assert told["cut"]["places"][0].startswith("train.jsonl line 41 (")
    assert "data-report.md" in result.message


@pytest.mark.parametrize("helpers", [1, 2])
def test_the_number_of_processes_changes_nothing(world, tmp_path, monkeypatch, helpers):
    rows = messy() * 20
    alone, _, _ = prepared(world, rows, quality=QUALITY)
    monkeypatch.setattr(gathering, "helpers", lambda _sources: helpers)
    monkeypatch.setattr(gathering, "gather", functools.partial(gathering.gather, size=4096))
    (tmp_path / "other").mkdir()

    together, _, _ = prepared(World.at(tmp_path / "other"), rows, quality=QUALITY)

    assert together.result["dataset"] == alone.result["dataset"]


def test_pairs_without_a_difference_teach_nothing(world):
    same = [
        {"prompt": f"What is {number}?", "chosen": "A number.", "rejected": "A number. "}
        for number in range(5)
    ]

    with pytest.raises(
        errors.NothingToLearn,
        match=r"IdenticalAnswers 5.*line 1.*the better \(chosen\) and the worse \(rejected\) answer must differ",
    ):
        world.prepare(run(method="DPO", dataset={"train": [{"uri": world.put("train.jsonl", same)}]}))
