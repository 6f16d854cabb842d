"""Real files from a package registry: every one is recognised, and each row of it is understood or refused in a sentence."""

import collections
import json
from pathlib import Path

import pytest
import yaml

import real_rows
from finetune_trainer import config, errors
from finetune_trainer.data import meaning, readers
from finetune_trainer.data.rows import Conversation, Feedback, Preference

pytestmark = pytest.mark.slow

DEMOS = {
    "alpaca_en_demo.json": ("SFT", "alpaca", 999),
    "alpaca_zh_demo.json": ("SFT", "alpaca", 1000),
    "identity.json": ("SFT", "alpaca", 91),
    "c4_demo.jsonl": ("SFT", "text", 300),
    "dpo_en_demo.json": ("DPO", "preference", 300),
    "dpo_zh_demo.json": ("ORPO", "preference", 300),
    "glaive_toolcall_en_demo.json": ("SFT", "sharegpt", 300),
    "glaive_toolcall_zh_demo.json": ("SFT", "sharegpt", 300),
    "kto_en_demo.json": ("KTO", "unpaired-preference", 300),
    "v1_sft_demo.jsonl": ("SFT", "messages", 500),
}
REFUSED = {
    "mllm_demo.json": "has images, but only texts can be learned",
    "mllm_audio_demo.json": "has audios, but only texts can be learned",
    "mllm_video_demo.json": "has videos, but only texts can be learned",
    "mllm_video_audio_demo.json": "has videos, but only texts can be learned",
    "reason_tool_use_demo_50.jsonl": "holds a part of the type 'reasoning'; only texts can be learned",
}
OTHERS = {"dataset_info.json", "v1_dpo_demo.jsonl"}


def read(path: Path, method: str = "SFT", **settings):
    """The format, the rows that are understood, and the sentences for the others."""
    run = config.Run.model_construct(method=method, training=config.Training())
    source = config.DataSource.model_validate({"uri": "s3://b/x", **settings})
    first, *others = readers.read(path, path.name)
    found = meaning.found(first, source, "spec.dataset.train[0]", run, chat=True)
    understood, refused = [], []
    for row in (first, *others):
        try:
            understood.append(found.example(row).content)
        except errors.AuthorError as error:
            refused.append((str(row.place), error))
    assert all(place in str(error) for place, error in refused)
    return found.format, understood, [error for _, error in refused]


@pytest.fixture
def put(tmp_path):
    def written(name: str, content: bytes) -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return written


def test_every_demo_file_is_tried():
    assert set(real_rows.demos()) == {*DEMOS, *REFUSED, *OTHERS}


@pytest.mark.parametrize("name", DEMOS)
def test_a_demo_file_is_understood_whole(name, put):
    method, expected, rows = DEMOS[name]
    found, understood, refused = read(put(name, real_rows.demos()[name]), method)

    assert found == expected
    assert len(understood) == rows
    assert not refused


@pytest.mark.parametrize("name", REFUSED)
def test_pictures_sounds_and_thoughts_are_refused(name, put):
    _, understood, refused = read(put(name, real_rows.demos()[name]))

    assert not understood
    assert all(REFUSED[name] in str(error) for error in refused)


def test_whole_conversations_of_other_names_are_pairs_when_named(put):
    columns = {"chosen": "chosen_messages", "rejected": "rejected_messages"}
    found, understood, refused = read(
        put("v1.jsonl", real_rows.demos()["v1_dpo_demo.jsonl"]), "DPO", columns=columns
    )

    assert (found, len(understood), len(refused)) == ("preference", 10, 0)
    assert all(isinstance(one, Preference) and one.chosen != one.rejected for one in understood)


def test_nothing_of_a_tool_dialogue_is_lost(put):
    name = "glaive_toolcall_en_demo.json"
    rows = json.loads(real_rows.demos()[name])
    _, understood, _ = read(put(name, real_rows.demos()[name]))

    for row, content in zip(rows, understood, strict=True):
        assert isinstance(content, Conversation)
        assert len(content.messages) == len(row["conversations"])
        assert len(content.tools) == len(json.loads(row["tools"] or "[]"))
        calls = [dict(message.more)["tool_calls"] for message in content.messages if message.more]
        given = [
            json.loads(turn["value"]) for turn in row["conversations"] if turn["from"] == "function_call"
        ]
        assert [call["function"] for (call,) in calls] == given


def test_verdicts_keep_their_sides(put):
    name = "kto_en_demo.json"
    rows = json.loads(real_rows.demos()[name])
    _, understood, _ = read(put(name, real_rows.demos()[name]), "KTO")

    assert [one.desirable for one in understood if isinstance(one, Feedback)] == [
        row["label"] for row in rows
    ]


def test_peoples_chats_are_not_rows_as_they_are(put):
    with pytest.raises(errors.InvalidFile, match="one object, not a list of rows"):
        read(put("dataset.json", real_rows.chats()))


def test_people_who_got_no_reply_are_told_by_line(put):
    """Turned into messages: every other turn is the assistant's."""
    lines = []
    for chat in json.loads(real_rows.chats()).values():
        turns = ["\n".join(str(one.get("text", "")) for one in block) for block in chat["messages"]]
        said = [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(turns)]
        lines.append(json.dumps({"messages": said}))

    found, understood, refused = read(put("chats.jsonl", "\n".join(lines).encode()))

    assert (found, len(understood)) == ("messages", 4018)
    assert collections.Counter(error.reason for error in refused) == {"NoAssistantTurn": 3150}


@pytest.mark.parametrize(("language", "rows"), [("korean", 454), ("english", 2026)])
def test_small_talk_is_sharegpt_once_speakers_are_named(language, rows, put):
    lines = [
        json.dumps(
            {
                "conversations": [
                    {"from": ("human", "gpt")[at % 2], "value": str(said)} for at, said in enumerate(talk)
                ]
            },
            ensure_ascii=False,
        )
        for content in real_rows.small_talk(language).values()
        for talk in yaml.safe_load(content)["conversations"]
    ]

    found, understood, refused = read(put("talk.jsonl", "\n".join(lines).encode()))

    assert (found, len(understood), len(refused)) == ("sharegpt", rows, 0)
