"""Which files a source means: splits by name, one file as one split; and what its rows mean, as one value for worker processes."""

import pickle

import pytest

import hub_standin
import trainer_world
from finetune_trainer import config, errors
from finetune_trainer.data import hub_configs, sources, splits
from finetune_trainer.storage import Item

FIELD = "spec.dataset.train[0]"
SHARDS = [
    f"data/{split}-0000{n}-of-00002.parquet"
    for split in ("test_sft", "train_prefs", "train_sft")
    for n in (0, 1)
]
PLAIN = ["README.jsonl", "constraint.jsonl", "dev.jsonl", "test.csv", "train.jsonl"]
CONFIGS = ["en/train.jsonl", "en/validation.jsonl", "ko/train.jsonl", "ko/validation.jsonl"]
FOLDERS = ["test/a.jsonl", "train/a.jsonl", "train/b.jsonl"]


def source(uri: str, split: str | None = None) -> config.DataSource:
    return config.DataSource(uri=uri, split=split)


def chosen(keys: list[str], uri: str, split: str | None) -> list[str]:
    items = [Item(key=key, size=1, tag="") for key in keys]
    return [item.key for item in splits.chosen(items, source(uri, split), FIELD)]


@pytest.mark.parametrize(
    ("keys", "uri", "split", "expected"),
    [
        (PLAIN, "s3://train/data/", None, PLAIN),
        (PLAIN, "s3://b/data/", "train", ["train.jsonl"]),
        (PLAIN, "s3://b/data/", "validation", ["dev.jsonl"]),
        (PLAIN, "pvc://b/data", "test", ["test.csv"]),
        (PLAIN, "hf://datasets/o/n", None, ["train.jsonl"]),
        (["a.jsonl", "b.jsonl"], "hf://datasets/o/n", None, ["a.jsonl", "b.jsonl"]),
        (CONFIGS, "hf://datasets/o/n", None, ["en/train.jsonl", "ko/train.jsonl"]),
        (["train.jsonl", "validation.jsonl"], "hf://datasets/o/n/ko", "validation", ["validation.jsonl"]),
        (FOLDERS, "hf://datasets/o/n", None, ["train/a.jsonl", "train/b.jsonl"]),
        (["a.jsonl", "b.jsonl"], "s3://b/data/train", "train", ["a.jsonl", "b.jsonl"]),
        (SHARDS, "hf://datasets/o/n", "train_sft", SHARDS[4:]),
        (SHARDS, "hf://datasets/o/n", "test_sft", SHARDS[:2]),
        (
            ["data/train-00000-of-00001.parquet", "data/validation-00000-of-00001.parquet"],
            "hf://datasets/o/n@main",
            "dev",
            ["data/validation-00000-of-00001.parquet"],
        ),
    ],
)
def test_the_files_of_a_split_are_found_by_their_names(keys, uri, split, expected):
    assert chosen(keys, uri, split) == expected


@pytest.mark.parametrize(
    ("keys", "uri", "split", "says"),
    [
        (
            PLAIN,
            "s3://b/data/",
            "tra",
            r"train\[0\]\.split: no file of s3://b/data/ .*'tra'; there are README.jsonl, ",
        ),
        (
            SHARDS,
            "hf://datasets/o/n",
            "train",
            "'train'; its splits are test_sft, train_prefs, train_sft; name one",
        ),
        (
            SHARDS,
            "hf://datasets/o/n",
            None,
            "has no split 'train'; its splits are test_sft, train_prefs, train_sft",
        ),
        ([f"{n}.jsonl" for n in range(9)], "s3://train/x", "train", "0.jsonl, .*4.jsonl and 4 more"),
    ],
)
def test_a_split_that_no_file_belongs_to_is_told_with_those_there_are(keys, uri, split, says):
    with pytest.raises(errors.DataFileNotFound, match=says):
        chosen(keys, uri, split)


@pytest.mark.parametrize(
    ("uri", "split"),
    [
        ("s3://b/tickets.jsonl", "train"),
        ("s3://b/tickets.jsonl", None),
        ("s3://b/test.jsonl", None),
        ("s3://b/data/val-2.csv", "validation"),
        ("https://h/data/test.csv?sig=train", "test"),
        ("hf://datasets/o/n/data/train_sft-00000-of-00001.parquet", "train_sft"),
    ],
)
def test_one_file_is_read_where_the_split_is_its_own(uri, split):
    splits.check_file(source(uri, split), FIELD)


@pytest.mark.parametrize(
    ("uri", "split", "says"),
    [
        ("s3://b/train.jsonl", "test", r"train\[0\]\.split: .*of the split 'train' and not of 'test'"),
        (
            "s3://test/tickets.jsonl",
            "test",
            "is one file, and its name does not say that it is the split 'test'; leave split out",
        ),
        ("s3://b/dev.jsonl", "train", "of the split 'validation' and not of 'train'"),
        ("hf://datasets/o/n/train_sft-00000-of-00001.parquet", "train", "of the split 'train_sft'"),
    ],
)
def test_a_split_that_is_not_the_files_own_is_refused(uri, split, says):
    with pytest.raises(errors.DataFileNotFound, match=says):
        splits.check_file(source(uri, split), FIELD)


def readme(configs: str) -> bytes:
    return f"---\nlicense: mit\n{configs}---\n# Talk\n".encode()


LANGUAGES = """configs:
- config_name: ko
  data_files:
  - split: train
    path: ko/*.jsonl
  - split: test
    path: [ko/held/a.jsonl, "ko/held/**/b.jsonl"]
- config_name: en
  data_files: en/*.jsonl
"""
KOREAN = ["en/train.jsonl", "ko/held/a.jsonl", "ko/held/x/b.jsonl", "ko/one.jsonl", "ko/two.jsonl"]


def configured(configs: str, keys: list[str], split: str | None = None) -> list[str]:
    items = [Item(key=key, size=1, tag="") for key in keys]
    found = hub_configs.parse(readme(configs))
    return [item.key for item in hub_configs.chosen(found, items, source("hf://datasets/o/n", split), FIELD)]


@pytest.mark.parametrize(
    ("configs", "split", "expected"),
    [
        (LANGUAGES.replace("ko\n", "ko\n  default: true\n", 1), None, KOREAN[3:]),
        (LANGUAGES.replace("ko\n", "default\n", 1), "test", KOREAN[1:3]),
        ("configs:\n- config_name: x\n  data_files: ko/one.jsonl\n", None, ["ko/one.jsonl"]),
        ("configs:\n- config_name: x\n  data_files: en\n", None, ["en/train.jsonl"]),
        ("configs:\n- config_name: x\n  data_dir: ko\n", None, KOREAN[1:]),
        (
            "configs:\n- config_name: x\n  data_dir: ko/held\n  data_files: a.jsonl\n",
            None,
            ["ko/held/a.jsonl"],
        ),
    ],
)
def test_the_readme_of_a_hub_dataset_says_which_files_belong_together(configs, split, expected):
    assert configured(configs, KOREAN, split) == expected


@pytest.mark.parametrize(
    ("configs", "split", "says"),
    [
        (LANGUAGES, None, r"train\[0\]\.uri: .* has 2 configurations.*: ko \(ko/\*.jsonl\), en \(en/"),
        (
            LANGUAGES.replace("ko\n", "default\n", 1),
            "validation",
            r"train\[0\]\.split: .*no split 'validation'; its splits are train, test; name one",
        ),
    ],
)
def test_configurations_are_not_mixed_in_silence(configs, split, says):
    with pytest.raises(errors.DataFileNotFound, match=says):
        configured(configs, KOREAN, split)


@pytest.mark.parametrize(
    "configs",
    [
        "",
        "configs: 3\n",
        "configs: [1, {config_name: 2}]\n",
        "configs:\n- config_name: default\n",
        "a: [\n",
        "a: b: c\n",
    ],
)
def test_a_readme_without_configurations_says_nothing(configs):
    assert hub_configs.parse(readme(configs)) == ()


def test_a_readme_that_is_no_text_says_nothing():
    assert hub_configs.parse(b"\xff\xfe---") == ()


@pytest.fixture
def world(tmp_path):
    return trainer_world.World.at(tmp_path / "pod")


def fetched(world, **changes):
    run = trainer_world.run(**changes)
    return run, sources.fetch(run, world.layout, "train", lambda _: None)


def test_a_folder_on_a_claim_is_read_by_split(world):
    for name in ("train.jsonl", "validation.jsonl"):
        world.put(f"talk/{name}", [{"text": name}])

    _, (one,) = fetched(world, dataset={"train": [{"uri": "pvc://data/talk", "split": "validation"}]})

    assert [row.values for row in one.rows()] == [{"text": "validation.jsonl"}]


def test_a_file_of_another_split_is_refused_where_it_is_fetched(world):
    uri = world.put("train.jsonl", [{"text": "x"}])

    with pytest.raises(errors.DataFileNotFound, match=r"^spec\.dataset\.train\[0\]\.split: "):
        fetched(world, dataset={"train": [{"uri": uri, "split": "test"}]})


def test_a_dataset_of_the_hub_is_read_by_shards_of_a_split(world, tmp_path):
    folder = tmp_path / "dataset"
    for split in ("train", "test"):
        for n in (0, 1):
            file = folder / f"data/{split}-0000{n}-of-00002.jsonl"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f'{{"text": "{split} {n}"}}\n')
    with hub_standin.serving(hub_standin.Hub({"org/talk": folder})) as endpoint:
        train = [
            {"uri": "hf://datasets/org/talk"},
            {"uri": "hf://datasets/org/talk", "split": "test", "maxSamples": 1},
        ]
        _, found = fetched(world, dataset={"train": train}, hub={"endpoint": endpoint})

    assert [[row.values["text"] for row in one.rows()] for one in found] == [
        ["train 0", "train 1"],
        ["test 0"],
    ]


def test_configurations_of_a_hub_dataset_are_told_or_chosen_by_their_folder(world, tmp_path):
    folder = tmp_path / "dataset"
    for name in KOREAN:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f'{{"text": "{name}"}}\n')
    (folder / "README.md").write_bytes(readme(LANGUAGES))
    with hub_standin.serving(hub_standin.Hub({"org/talk": folder})) as endpoint:
        hub = {"endpoint": endpoint}
        with pytest.raises(errors.DataFileNotFound, match="has 2 configurations"):
            fetched(world, dataset={"train": [{"uri": "hf://datasets/org/talk"}]}, hub=hub)
        _, (one,) = fetched(world, dataset={"train": [{"uri": "hf://datasets/org/talk@main/en"}]}, hub=hub)

    assert [row.values for row in one.rows()] == [{"text": "en/train.jsonl"}]


def test_what_rows_mean_goes_to_another_process_and_says_the_same(world):
    world.put("a.jsonl", [{"question": f"{n}?", "answer": str(n)} for n in range(20)])
    templates = [{"prompt": f"{{question}} {n}", "completion": "{answer}"} for n in range(4)]
    train = [{"uri": "pvc://data/a.jsonl", "template": templates}, {"uri": "pvc://data/b.jsonl"}]
    world.put("b.jsonl", [{"prompt": "a", "completion": "b"}])
    run, found = fetched(world, dataset={"train": train})

    for one in found:
        meaning = sources.meaning(one, run, chat=True)
        again = pickle.loads(pickle.dumps(meaning))  # noqa: S301 - our own bytes

        assert [again.example(row) for row in one.rows()] == [meaning.example(row) for row in one.rows()]
        assert len(pickle.dumps(meaning)) < 8_192


def test_a_template_is_for_supervised_training_only(world):
    uri = world.put("a.jsonl", [{"question": "1?", "answer": "1"}])
    template = [{"prompt": "{question}", "completion": "{answer}"}]
    run, (one,) = fetched(world, method="DPO", dataset={"train": [{"uri": uri, "template": template}]})

    with pytest.raises(
        errors.FormatDoesNotFitMethod, match=r"template: spec\.method DPO wants .*; set spec.method to SFT"
    ):
        sources.meaning(one, run, chat=True)
