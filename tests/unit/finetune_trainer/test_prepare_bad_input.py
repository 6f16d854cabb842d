"""Bad input and the sentence it gets: what a person reads in the job's condition."""

import dataclasses
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

import trainer_world
from finetune_trainer import errors
from trainer_world import TALK, World


def nothing(_: World) -> None:
    """The world stays as it is."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """One way to get it wrong."""

    name: str
    error: type[errors.TrainerError]
    says: str
    rows: bytes | str | list[Any] | None = dataclasses.field(default_factory=lambda: TALK)
    """What lies at pvc://data/train.jsonl."""
    spec: dict[str, Any] = dataclasses.field(default_factory=dict)
    break_it: Callable[[World], object] = nothing


def source(**settings: Any) -> dict[str, Any]:
    return {"dataset": {"train": [{"uri": "pvc://data/train.jsonl", **settings}]}}


def talk(asked: str, answered: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]}


def without(*names: str) -> Callable[[World], object]:
    return lambda world: [(world.model / name).unlink() for name in names]


def settings(**changes: Any) -> Callable[[World], object]:
    def change(world: World) -> None:
        path = world.model / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


def locked(world: World) -> None:
    (world.layout.claims / "out" / "result").write_text("a file where a folder must be")


CASES = [
    Case(
        name="no file",
        rows=None,
        error=errors.DataFileNotFound,
        says=r"^spec\.dataset\.train\[0\]\.uri: .*train\.jsonl",
    ),
    Case(
        name="no file fits the pattern",
        spec={"dataset": {"train": [{"uri": "pvc://data/*.parquet"}]}},
        error=errors.DataFileNotFound,
        says=r"\*\.parquet: nothing lies there",
    ),
    Case(name="empty file", rows=b"", error=errors.EmptyDataset, says=r"train\.jsonl: the file is empty"),
    Case(name="blank file", rows=b"\n \n", error=errors.EmptyDataset, says="no rows"),
    Case(
        name="broken line",
        rows="".join(json.dumps(row) + "\n" for row in TALK)
        + '{"messages": [{"role": "user", "content": "unfinished}\n',
        error=errors.InvalidRow,
        says=r"train\.jsonl line 41: is no valid JSON .*unfinished",
    ),
    Case(
        name="no assistant turn",
        rows=[*TALK, {"messages": [{"role": "user", "content": "Anybody?"}]}],
        error=errors.NoAssistantTurn,
        says=r"train\.jsonl line 41: has no assistant turn",
    ),
    Case(
        name="content null",
        rows=[*TALK, talk("x", None)],
        error=errors.InvalidRow,
        says=r"line 41: messages\[1\]\.content is null",
    ),
    Case(
        name="unknown columns",
        rows=[{"foo": 1, "bar": 2}],
        error=errors.UnknownFormat,
        says=r"line 1 .*foo, bar",
    ),
    Case(
        name="a key is missing later",
        rows=[{"prompt": "a", "completion": "b"}, {"prompt": "a"}],
        error=errors.ColumnMissing,
        says=r"line 2: has no column 'completion'; it has prompt",
    ),
    Case(
        name="template names a column that is not there",
        rows=[{"document": "x", "headline": "y"}],
        spec=source(template=[{"prompt": "{document}", "completion": "{title}"}]),
        error=errors.TemplateColumnMissing,
        says=r"^spec\.dataset\.train\[0\]\.template\[0\]: .*'title'.*it has document, headline",
    ),
    Case(
        name="only empty answers",
        rows=[talk(f"q{number}", " ") for number in range(3)],
        error=errors.NothingToLearn,
        says=r"nothing to learn in any of the 3 rows \(EmptyAnswer 3; the first: train\.jsonl line 1",
    ),
    Case(
        name="turns asked of plain text",
        rows=[{"text": "x"}],
        spec={"training": {"lossOn": "Assistant"}},
        error=errors.NothingToLearn,
        says=r"spec\.training\.lossOn",
    ),
    Case(
        name="all rows too long",
        rows=[talk(f"{number} " * 400, "Yes.") for number in range(4)],
        spec={"training": {"maxLength": 32}},
        error=errors.AllRowsTooLong,
        says=r"^spec\.training\.maxLength: cut to 32 tokens, none of the 4 rows",
    ),
    Case(
        name="everything blocked",
        spec={"dataset": {"train": [{"uri": "pvc://data/train.jsonl"}], "quality": {"blocklist": ["is"]}}},
        error=errors.EmptyDataset,
        says=r"of 40 rows none is left to train on \(Blocklisted 40\)",
    ),
    Case(
        name="everything examined",
        spec={
            "dataset": {
                "train": [{"uri": "pvc://data/train.jsonl"}],
                "eval": [{"uri": "pvc://data/train.jsonl"}],
            }
        },
        error=errors.EmptyDataset,
        says="InEval 40",
    ),
    Case(
        name="the template refuses",
        spec={"model": {"uri": "pvc://models/tiny", "chatTemplate": "{{ raise_exception('no') }}"}},
        error=errors.InvalidRow,
        says=r"line 1: the chat template refuses this conversation \(no\)",
    ),
    Case(
        name="no model",
        spec={"model": {"uri": "pvc://models/nothing-here"}},
        error=errors.ModelNotFound,
        says=r"^spec\.model\.uri: .*nothing-here",
    ),
    Case(
        name="no config",
        break_it=without("config.json"),
        error=errors.UnsupportedModelFiles,
        says=r"has no config\.json",
    ),
    Case(
        name="no tokenizer",
        break_it=without("tokenizer.json"),
        error=errors.UnsupportedModelFiles,
        says="has no tokenizer",
    ),
    Case(
        name="no weights",
        break_it=without("model.safetensors"),
        error=errors.UnsupportedModelFiles,
        says="no safetensors",
    ),
    Case(
        name="pickled weights",
        break_it=lambda world: (world.model / "model.safetensors").rename(world.model / "pytorch_model.bin"),
        error=errors.UnsupportedModelFiles,
        says="pickles only",
    ),
    Case(
        name="a shard is missing",
        break_it=lambda world: (world.model / "model.safetensors.index.json").write_text(
            json.dumps({"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}})
        ),
        error=errors.UnsupportedModelFiles,
        says=r"lacks 1 of the files .*model-00002-of-00002",
    ),
    Case(
        name="an adapter for a model",
        break_it=lambda world: (world.model / "config.json").rename(world.model / "adapter_config.json"),
        error=errors.UnsupportedModelFiles,
        says="is an adapter",
    ),
    Case(
        name="unknown architecture",
        break_it=settings(model_type="nobody-knows", architectures=["Nobody"]),
        error=errors.UnsupportedModelFiles,
        says="describes no language model.*nobody-knows",
    ),
    Case(
        name="vocabulary too small",
        break_it=settings(vocab_size=8),
        error=errors.UnsupportedModelFiles,
        says="has 8 rows",
    ),
    Case(
        name="broken tokenizer",
        break_it=lambda world: (world.model / "tokenizer.json").write_text("{"),
        error=errors.UnsupportedModelFiles,
        says="tokenizer cannot be loaded",
    ),
    Case(
        name="no such target modules",
        spec={"tuning": {"lora": {"targetModules": ["query_key_value"]}}},
        error=errors.TargetModulesNotFound,
        says=r"^spec\.tuning\.lora\.targetModules: .*'query_key_value'.*down_proj, gate_proj, k_proj, o_proj, q_proj",
    ),
    Case(
        name="the head",
        spec={"tuning": {"lora": {"targetModules": ["q_proj", "lm_head"]}}},
        error=errors.TargetModulesNotFound,
        says="lm_head is the model's head",
    ),
    Case(
        name="output not writable", break_it=locked, error=errors.AccessDenied, says=r"^spec\.output\.uri: "
    ),
    Case(
        name="output's Secret missing",
        spec={"output": {"uri": "s3://bucket/a", "credentialsSecretRef": {"name": "not-made-yet"}}},
        error=errors.SecretMissing,
        says=r"^spec\.output\.uri: the Secret 'not-made-yet'",
    ),
    Case(
        name="settings of another method",
        spec={"training": {"dpo": {"beta": 0.1}}},
        error=errors.SettingsDoNotFit,
        says=r"^spec\.training\.dpo: SFT has no such settings",
    ),
    Case(
        name="packing",
        spec={"training": {"packing": True}},
        error=errors.NotYetSupported,
        says=r"^spec\.training\.packing ",
    ),
    Case(
        name="a format of another method",
        rows=[{"prompt": "a", "chosen": "b", "rejected": "c"}],
        error=errors.FormatDoesNotFitMethod,
        says="use DPO or ORPO",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_told_in_a_sentence(case, tmp_path):
    world = World.at(tmp_path)
    (world.layout.claims / "data").mkdir()
    if case.rows is not None:
        world.put("train.jsonl", case.rows)
    case.break_it(world)

    with pytest.raises(case.error) as told:
        world.prepare(trainer_world.run(**case.spec))

    sentence = str(told.value)
    assert type(told.value) is case.error
    assert re.search(case.says, sentence), sentence
    assert str(tmp_path) not in sentence
    assert len(sentence) < 700
    assert not list(world.layout.claims.rglob("prepared.json"))


def test_interruption_passes_through(tmp_path, monkeypatch):
    world = World.at(tmp_path)
    world.put("train.jsonl", TALK)

    def stop(*_: object) -> None:
        raise errors.Interrupted("stopped")

    monkeypatch.setattr("finetune_trainer.data.filters._empty", stop)

    with pytest.raises(errors.Interrupted):
        world.prepare(trainer_world.run())
