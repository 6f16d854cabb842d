"""Every example job of a format gets through Prepare to its data report."""

import json
import pathlib

import pyarrow.parquet
import pytest
import transformers
import yaml

import chat_families
import trainer_world

ROOT = pathlib.Path(__file__).resolve().parents[3]
JOBS = {path.stem: path for path in sorted((ROOT / "examples" / "jobs").glob("format-*.yaml"))}
FORMATS = {
    "format-alpaca": "alpaca",
    "format-kto": "unpaired-preference",
    "format-messages-tools": "messages",
    "format-preference": "preference",
    "format-prompt-completion": "prompt-completion",
    "format-sharegpt": "sharegpt",
    "format-template": "template",
    "format-text": "text",
}
TABLES = {
    "SFT": {"input_ids", "labels"},
    "DPO": {"prompt_ids", "chosen_ids", "rejected_ids"},
    "KTO": {"prompt_ids", "completion_ids", "label"},
}
"""Method: the columns of its prepared table."""


@pytest.fixture
def world(tmp_path):
    return trainer_world.World.at(tmp_path)


@pytest.mark.parametrize("name", JOBS)
def test_an_example_of_a_format_gets_to_its_data_report(name, world):
    given, job = yaml.safe_load_all(JOBS[name].read_text(encoding="utf-8"))
    ((key, content),) = given["data"].items()
    (source,) = job["spec"]["dataset"]["train"]
    method = job["spec"]["method"]
    model = {"uri": "pvc://models/tiny", "chatTemplate": chat_families.BY_NAME["qwen3"].template}
    run = trainer_world.run(
        method=method,
        model=model,
        dataset={"train": [{**source, "uri": world.put(key, content)}], "evalFraction": 0.25},
    )

    report = world.prepare(run).result["dataset"]

    assert report["format"] == FORMATS[name]
    assert report["rowsRead"] == 12
    assert report["rows"] + report["evalRows"] + sum(report["dropped"].values()) == 12
    assert report["evalRows"] == 3
    assert report["supervisedTokens"] > 0
    tables = list(world.work().glob("dataset/*/train.parquet"))
    assert set(pyarrow.parquet.read_schema(tables[0]).names) == TABLES[method]


def test_sources_of_several_formats_are_learned_together(world):
    talk = world.put("talk.jsonl", trainer_world.TALK)
    shared = world.put(
        "shared.jsonl",
        [
            {"conversations": [{"from": "human", "value": f"{n}?"}, {"from": "gpt", "value": f"{n}!"}]}
            for n in range(20)
        ],
    )
    plain = world.put("plain.jsonl", [{"text": f"Number {n} is a number."} for n in range(20)])
    train = [{"uri": talk}, {"uri": shared}, {"uri": plain, "maxSamples": 10}]

    result = world.prepare(trainer_world.run(dataset={"train": train, "evalFraction": 0}))

    report = result.result["dataset"]
    assert report["format"] == "messages, sharegpt, text"
    assert report["rows"] == 40 + 20 + 10


def test_plain_text_before_conversations_does_not_take_the_chat_template_from_prompts(world):
    plain = world.put("plain.jsonl", [{"text": f"Number {n} is a number."} for n in range(20)])
    talk = world.put("talk.jsonl", trainer_world.TALK)

    world.prepare(
        trainer_world.run(
            dataset={"train": [{"uri": plain}, {"uri": talk}]},
            evaluation={"samples": ["What is 1 plus one?"]},
        )
    )

    (work,) = world.work().glob("dataset/*")
    asked = json.loads((work / "samples.json").read_text())[0]["inputIds"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(world.model)
    assert tokenizer.decode(asked).endswith("<|im_start|>assistant\n")
