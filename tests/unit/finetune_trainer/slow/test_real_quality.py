"""Prepare over real, messy text: what is left out of it at the default settings, what would be, and what is advised."""

import json

import pytest

import real_rows
import trainer_world
from finetune_trainer import outcome
from finetune_trainer.data.data_report import MARKDOWN, MAX_BYTES
from trainer_world import World, run

pytestmark = pytest.mark.slow


def prepared(world: World, uri: str, *, method: str = "SFT", **quality):
    made = run(method=method, dataset={"train": [{"uri": uri}], "quality": quality})
    found = trainer_world.load(outcome.work_area(made, world.layout), world.prepare(made))
    page = world.work() / "dataset" / found.digest.removeprefix("sha256:") / MARKDOWN
    return {reason: one.rows for reason, one in found.dropped.items()}, found, page.read_text()


def pairs_of_turns() -> list[dict[str, str]]:
    """Of each chat what the first person says, and the other's reply: empty where nobody replied."""
    made = []
    for chat in json.loads(real_rows.chats()).values():
        turns = [" ".join(said["text"] for said in turn) for turn in chat["messages"]]
        asked, answered = [*turns, "", ""][:2]
        made.append({"prompt": asked, "completion": answered})
    return made


@pytest.fixture
def world(tmp_path) -> World:
    return World.at(tmp_path)


def test_of_peoples_chats_half_have_no_reply_and_that_is_said_first(world):
    dropped, found, page = prepared(world, world.put("chats.jsonl", pairs_of_turns()))

    assert dropped == {"EmptyAnswer": 3150, "EmptyPrompt": 1, "ExactDuplicate": 124, "TooLong": 2}
    assert found.rows + found.eval_rows == 7168 - 3277
    assert found.advice[0].startswith(
        "3151 of 7168 rows were left out, above all for EmptyAnswer (3150; the first: chats.jsonl line 3)"
    )
    assert "rows have the prompt of another row and answer it differently" in found.advice[1]
    assert len(found.advice) == 2
    assert "- chats.jsonl line 308 (a copy of chats.jsonl line 117)" in page.splitlines()
    assert "- and 3,130 more" in page.splitlines()
    assert len(page.encode()) < MAX_BYTES


def test_near_copies_of_peoples_chats(world):
    dropped, found, _ = prepared(world, world.put("chats.jsonl", pairs_of_turns()), duplicates={"near": 0.8})

    assert dropped["NearDuplicate"] == 122
    assert found.dropped["NearDuplicate"].places[0] == "chats.jsonl line 190 (near to chats.jsonl line 117)"


@pytest.mark.parametrize(
    ("name", "method", "expected", "said"),
    [
        ("alpaca_en_demo.json", "SFT", {"ExactDuplicate": 14}, []),
        (
            "dpo_en_demo.json",
            "DPO",
            {"ExactDuplicate": 5, "TooLong": 83},
            ["159 of 295 rows are longer than spec.training.maxLength"],
        ),
        (
            "kto_en_demo.json",
            "KTO",
            {"TooLong": 54},
            ["123 of 300 rows are longer than spec.training.maxLength"],
        ),
    ],
)
def test_curated_data_keeps_its_rows(world, name, method, expected, said):
    dropped, found, _ = prepared(world, world.put(name, real_rows.demos()[name]), method=method)

    assert dropped == expected
    assert [sentence[: len(start)] for sentence, start in zip(found.advice, said, strict=True)] == said
