import hashlib
import json

import pyarrow.parquet as pq
import pytest
from transformers import AutoTokenizer

import hub_standin
import trainer_tiny_model
import trainer_world
from finetune_trainer import base_model, errors, outcome, prepared, report
from finetune_trainer.data import sources
from finetune_trainer.prepared import Prepared
from finetune_trainer.report import LastWord
from trainer_world import TALK, World


@pytest.fixture
def world(tmp_path) -> World:
    made = World.at(tmp_path)
    made.put("train.jsonl", TALK)
    return made


def tables(world: World, run, result) -> tuple[Prepared, list, list]:
    """The document, and the rows of both tables."""
    store = outcome.work_area(run, world.layout)
    found = trainer_world.load(store, result)
    found.fetch(store, world.layout.scratch / "again")
    read = {
        name: pq.read_table(world.layout.scratch / "again" / name).to_pylist()
        for name in found.identity.files
    }
    return found, read["train.parquet"], read.get("eval.parquet", [])


def test_a_run_is_prepared_from_its_sources_to_its_document(world):
    run = trainer_world.run(evaluation={"samples": ["Hello?"]})

    result = world.prepare(run)

    found, train, held = tables(world, run, result)
    words = AutoTokenizer.from_pretrained(world.model)
    assert result.reason == "Prepared"
    assert result.message.startswith("40 rows of messages: 38 to train on, 2 held out, 0 left out")
    assert (len(train), len(held)) == (38, 2)
    assert words.decode([label for label in train[0]["labels"] if label != -100]) == "It is 1.<|im_end|>"
    assert found.tokens == sum(len(row["input_ids"]) for row in train)
    assert found.supervised_tokens == sum(label != -100 for row in train for label in row["labels"])
    assert result.result["model"]["baseModel"] == "pvc://models/tiny"
    assert result.result["resolved"]["targetModules"] == sorted(result.result["resolved"]["targetModules"])
    asked = json.loads((world.layout.scratch / "again/samples.json").read_text())[0]
    assert words.decode(asked["inputIds"]) == "<|im_start|>user\nHello?<|im_end|>\n<|im_start|>assistant\n"
    assert report.read_progress(world.layout.progress).stage == "Done"


def test_metrics_of_answers_ask_a_sample_that_the_seed_draws(world):
    def asked(seed: int) -> list[str]:
        run = trainer_world.run(
            dataset={"train": [{"uri": "pvc://data/train.jsonl"}], "evalFraction": 0.5},
            evaluation={"metrics": ["rouge"], "maxAnswers": 6},
            training={"seed": seed},
        )
        tables(world, run, world.prepare(run))
        said = json.loads((world.layout.scratch / "again/samples.json").read_text())
        assert {one["source"] for one in said} == {"held-out"}
        for one in said:
            number = int(one["messages"][0]["content"].split()[2])
            assert one["expected"] == f"It is {number + 1}."
        return [one["messages"][0]["content"] for one in said]

    assert len(set(asked(1))) == 6
    assert asked(1) == asked(1) != asked(2)


def test_the_last_word_fits_and_holds_what_the_status_wants(world):
    result = world.prepare(trainer_world.run())

    word = LastWord(stage="Prepare", reason=result.reason, message=result.message, result=result.result)

    assert json.loads(report.encode_last_word(word))["result"].keys() == {
        "dataset",
        "model",
        "resolved",
        "estimate",
    }


def test_the_same_input_has_the_same_digest_and_another_one_another(world):
    first = world.prepare(trainer_world.run())
    again = world.prepare(trainer_world.run(job={"namespace": "b", "name": "other", "uid": "uid-2"}))
    seeded = world.prepare(trainer_world.run(training={"seed": 7}))
    world.put("train.jsonl", TALK[1:])
    fewer = world.prepare(trainer_world.run())

    digests = [one.result["dataset"]["digest"] for one in (first, again, seeded, fewer)]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_a_changed_dataset_is_noticed_when_it_is_read(world):
    run = trainer_world.run()
    result = world.prepare(run)
    store = outcome.work_area(run, world.layout)
    found = trainer_world.load(store, result)
    folder = prepared.key_of(found.digest)

    store.put(f"{folder}/train.parquet", b"changed")
    with pytest.raises(errors.InternalError, match=r"train\.parquet is not the file"):
        found.fetch(store, world.layout.scratch / "again")

    document = json.loads(store.read(f"{folder}/prepared.json"))
    document["identity"]["seed"] = 7
    store.put(f"{folder}/prepared.json", json.dumps(document).encode())
    with pytest.raises(errors.InternalError, match="was changed"):
        Prepared.load(store, found.digest)

    store.delete_below("")
    with pytest.raises(errors.InternalError, match="is gone"):
        Prepared.load(store, found.digest)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.csv", "instruction,input,output\nAdd,1 2,3\nAdd,2 2,4\nSay hi,,hi\n"),
        (
            "rows.json",
            '[{"prompt": "a", "completion": "b"}, {"prompt": "c", "completion": "d"}, {"prompt": "e", "completion": "f"}]',
        ),
        ("rows.jsonl", '{"text": "one"}\n{"text": "two"}\n{"text": "three"}\n'),
    ],
)
def test_every_format_becomes_rows(world, name, content):
    uri = world.put(name, content)

    result = world.prepare(trainer_world.run(dataset={"train": [{"uri": uri}]}))

    assert (result.result["dataset"]["rows"], result.result["dataset"]["evalRows"]) == (2, 1)


def test_several_sources_of_several_formats_are_one_dataset(world):
    more = world.put(
        "more/titles.jsonl", [{"document": f"text {number}", "title": f"t{number}"} for number in range(10)]
    )
    world.put("more/README.md", "no data")
    sources = [
        {"uri": "pvc://data/train.jsonl", "maxSamples": 10},
        {
            "uri": more.replace("titles", "*"),
            "template": [{"prompt": "Title:\n{document}", "completion": "{title}"}],
        },
    ]

    result = world.prepare(trainer_world.run(dataset={"train": sources, "evalFraction": 0}))

    dataset = result.result["dataset"]
    assert (dataset["format"], dataset["rows"], dataset["evalRows"], dataset["rowsRead"]) == (
        "messages, template",
        20,
        0,
        20,
    )


def test_held_out_sources_are_never_trained_on(world):
    world.put("held.jsonl", TALK[5:10])
    dataset = {"train": [{"uri": "pvc://data/train.jsonl"}], "eval": [{"uri": "pvc://data/held.jsonl"}]}

    result = world.prepare(trainer_world.run(dataset=dataset))

    seen = result.result["dataset"]
    assert (seen["rows"], seen["evalRows"], seen["dropped"]) == (35, 5, {"InEval": 5})


def test_long_rows_are_cut_and_counted_and_useless_ones_dropped(world):
    long = {"messages": [{"role": "user", "content": "why " * 200}, {"role": "assistant", "content": "So."}]}
    wordy = {"messages": [{"role": "user", "content": "why"}, {"role": "assistant", "content": "so " * 200}]}
    world.put("train.jsonl", [*TALK, long, wordy])
    run = trainer_world.run(
        training={"maxLength": 64}, dataset={"train": [{"uri": "pvc://data/train.jsonl"}], "evalFraction": 0}
    )

    result = world.prepare(run)

    _, train, _ = tables(world, run, result)
    seen = result.result["dataset"]
    assert (seen["rows"], seen["truncated"], seen["dropped"]) == (41, 1, {"TooLong": 1})
    assert max(len(row["input_ids"]) for row in train) == 64


def test_no_row_is_longer_than_the_model_was_made_for(world):
    settings = json.loads((world.model / "config.json").read_text())
    (world.model / "config.json").write_text(json.dumps({**settings, "max_position_embeddings": 28}))

    result = world.prepare(trainer_world.run())

    assert result.result["resolved"]["maxLength"] == 28
    assert any(
        "more than the model was made for" in sentence for sentence in result.result["dataset"]["advice"]
    )


def test_a_model_without_a_chat_template_gets_a_plain_one(world):
    (world.model / "chat_template.jinja").unlink()
    run = trainer_world.run(evaluation={"samples": ["Hello?"]})

    result = world.prepare(run)

    found, train, _ = tables(world, run, result)
    words = AutoTokenizer.from_pretrained(world.model)
    assert found.identity.tokenizer.chat_template_source == "Plain"
    assert (
        words.decode(train[0]["input_ids"])
        == "### User:\nWhat is 0 plus one?\n\n### Assistant:\nIt is 1.<|im_end|>\n\n"
    )


@pytest.mark.parametrize("prompt", ["Why?", [{"role": "user", "content": "Why?"}]], ids=["text", "turns"])
def test_preferences_for_a_model_without_a_chat_template_are_advised_against(world, prompt):
    (world.model / "chat_template.jinja").unlink()
    world.put("train.jsonl", [{"prompt": prompt, "chosen": f"a{at}", "rejected": "b"} for at in range(8)])

    advice = world.prepare(trainer_world.run(method="DPO")).result["dataset"]["advice"]

    assert [one for one in advice if one.startswith("DPO refines a model that already answers")] != []


def test_plain_text_that_a_chat_template_has_rendered_is_advised_on(world):
    rendered = "<|im_start|>user\nHello?<|im_end|>\n<|im_start|>assistant\nHello {}!<|im_end|>\n"
    world.put("train.jsonl", [{"text": rendered.format(at)} for at in range(8)])

    advice = world.prepare(trainer_world.run()).result["dataset"]["advice"]

    assert [one for one in advice if "as if a chat template had written them" in one] != []
    assert [one for one in advice if one.startswith("rows are plain text, and this model has a chat")] != []


def test_the_template_of_the_spec_replaces_the_models(world):
    turns = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{{ eos_token }}{% endfor %}"
    template = turns + "{% if add_generation_prompt %}[assistant]{% endif %}"
    run = trainer_world.run(model={"uri": "pvc://models/tiny", "chatTemplate": template})

    result = world.prepare(run)

    found, train, _ = tables(world, run, result)
    words = AutoTokenizer.from_pretrained(world.model)
    assert (found.identity.tokenizer.chat_template, found.identity.tokenizer.chat_template_source) == (
        template,
        "Spec",
    )
    assert words.decode([label for label in train[0]["labels"] if label != -100]) == "It is 1.<|im_end|>"


def test_the_weights_are_not_fetched(world):
    world.prepare(trainer_world.run())

    assert (world.layout.model / "tokenizer.json").is_file()
    assert not list(world.layout.model.glob("*.safetensors"))


def test_a_model_of_the_hub_is_pinned_to_its_commit(world):
    with hub_standin.serving(hub_standin.Hub({"org/tiny": trainer_tiny_model.folder()})) as endpoint:
        run = trainer_world.run(model={"uri": "hf://org/tiny"}, hub={"endpoint": endpoint})
        result = world.prepare(run)
        found = trainer_world.load(outcome.work_area(run, world.layout), result)
        again = base_model.pinned(run, world.layout, found.identity.model)

    assert result.result["model"] == {"baseModel": "org/tiny", "baseRevision": hub_standin.COMMIT}
    assert again.facts == found.identity.model


def test_a_model_that_changed_since_is_noticed(world):
    run = trainer_world.run()
    found = trainer_world.load(outcome.work_area(run, world.layout), world.prepare(run))
    (world.model / "config.json").write_text("{}")

    with pytest.raises(errors.ModelChanged, match=r"spec\.model\.uri"):
        base_model.pinned(run, world.layout, found.identity.model)


@pytest.mark.parametrize("name", ["README.md", "notes.txt", "consolidated.safetensors"])
def test_files_that_training_does_not_read_may_change(world, name):
    run = trainer_world.run()
    before = base_model.locate(run, world.layout).facts
    (world.model / name).write_text("other words")

    assert base_model.pinned(run, world.layout, before).facts == before


@pytest.mark.parametrize("uri", ["hf://org/tiny/sub/folder", "hf://org/tiny@main/sub"])
def test_a_folder_of_a_hub_model_is_refused_before_the_hub_is_asked(world, uri):
    run = trainer_world.run(model={"uri": uri}, hub={"endpoint": "http://127.0.0.1:9"})

    with pytest.raises(errors.InvalidRun, match=r"^spec\.model\.uri: .*'sub") as told:
        base_model.locate(run, world.layout)

    assert uri in str(told.value)


def test_a_split_that_no_file_belongs_to_is_told_with_the_files(world, tmp_path):
    folder = tmp_path / "dataset"
    for name in ("README.md", "train.jsonl", "validation.jsonl"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("{}")
    with hub_standin.serving(hub_standin.Hub({"org/talk": folder})) as endpoint:
        source = {"uri": "hf://datasets/org/talk", "split": "test"}
        run = trainer_world.run(dataset={"train": [source]}, hub={"endpoint": endpoint})

        with pytest.raises(errors.DataFileNotFound) as told:
            sources.fetch(run, world.layout, "train", lambda _: None)

    assert str(told.value).startswith("spec.dataset.train[0].split: no file of hf://datasets/org/talk")
    assert "'test'" in str(told.value)
    assert "train.jsonl, validation.jsonl" in str(told.value)


def manifest(uid: str) -> bytes:
    job = {"namespace": "team-a", "name": "earlier", "uid": uid}
    return json.dumps({"version": 1, "job": job, "result": {"adapter": {"uri": "pvc://out/result"}}}).encode()


def test_what_this_job_has_published_is_told_again(world):
    run = trainer_world.run()
    outcome.output(run, world.layout).put(outcome.MANIFEST, manifest("uid-1"))

    result = world.prepare(run)

    digest = "sha256:" + hashlib.sha256(manifest("uid-1")).hexdigest()
    assert result.reason == "AlreadyPublished"
    assert result.result == {"published": {"adapter": {"uri": "pvc://out/result", "digest": digest}}}
    assert not world.work().exists()


def test_another_jobs_result_is_in_the_way_unless_it_may_be_replaced(world):
    run = trainer_world.run()
    outcome.output(run, world.layout).put(outcome.MANIFEST, manifest("uid-0"))

    with pytest.raises(errors.OutputExists, match=r"spec\.output\.uri: .*team-a/earlier.*overwrite"):
        world.prepare(run)

    over = trainer_world.run(output={"uri": "pvc://out/result", "overwrite": True})
    assert world.prepare(over).reason == "Prepared"
    assert outcome.output(run, world.layout).read(outcome.MANIFEST) == manifest("uid-0")


def test_a_final_failure_is_told_again_word_for_word(world):
    run = trainer_world.run()
    word = LastWord(stage="Prepare", reason="EmptyDataset", message="no rows")

    kept = outcome.record_failure(run, world.layout, exit_code=64, word=word)

    assert kept
    with pytest.raises(errors.EarlierFailure, match="no rows") as again:
        world.prepare(run)
    assert again.value.last_word == word.wire()


def test_a_passing_failure_is_not_kept(world):
    run = trainer_world.run()
    word = LastWord(stage="Prepare", reason="EndpointUnreachable", message="later")

    assert not outcome.record_failure(run, world.layout, exit_code=69, word=word)
    assert world.prepare(run).reason == "Prepared"


def test_work_may_lie_elsewhere(world):
    (world.layout.claims / "scratchy").mkdir()

    world.prepare(trainer_world.run(output={"uri": "pvc://out/result", "workUri": "pvc://scratchy/work"}))

    assert list((world.layout.claims / "scratchy/work/.finetune/uid-1/dataset").iterdir())
    assert not [path for path in (world.layout.claims / "out").rglob("*") if path.is_file()]


def test_everything_works_from_and_to_a_real_bucket(world, s3):
    bucket = s3.bucket("finetune")
    (bucket / "models").mkdir()
    for file in trainer_tiny_model.folder().iterdir():
        (bucket / "models" / file.name).write_bytes(file.read_bytes())
    (bucket / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in TALK))
    world.secret("bucket", **s3.keys)
    reference = {"credentialsSecretRef": {"name": "bucket"}}
    run = trainer_world.run(
        model={"uri": "s3://finetune/models", **reference},
        dataset={"train": [{"uri": "s3://finetune/rows.jsonl", **reference}]},
        output={"uri": "s3://finetune/adapters/a", **reference},
    )

    result = world.prepare(run)

    found, train, _ = tables(world, run, result)
    assert found.rows == len(train) == 38
