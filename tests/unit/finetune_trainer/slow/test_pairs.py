"""Preferences and feedback as tokens: a prompt as the model gets it, answers with their end of turn, cut from their end."""

import json

import pyarrow.parquet as pq
import pytest
from transformers import AutoTokenizer
from trl.trainer.dpo_trainer import DataCollatorForPreference
from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference

import trainer_tiny_model
import trainer_world
from finetune_trainer import errors, not_yet
from finetune_trainer.data import pairs, table
from finetune_trainer.data.chat import Renderer
from finetune_trainer.data.rows import (
    Continuation,
    Conversation,
    Example,
    Feedback,
    Message,
    Place,
    Preference,
)
from finetune_trainer.data.tokenise import Tokeniser
from trainer_world import World

pytestmark = pytest.mark.slow  # imports TRL's trainers

PROMPT = "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def words():
    return AutoTokenizer.from_pretrained(trainer_tiny_model.folder())


def tokeniser(words, template: str | None = None) -> Tokeniser:
    specials = {"eos_token": words.eos_token}
    return Tokeniser(
        words, Renderer(template or words.chat_template, specials, end_tokens=words.all_special_tokens)
    )


def talk(*turns: str) -> Conversation:
    roles = ("user", "assistant")
    return Conversation(tuple(Message(roles[at % 2], said) for at, said in enumerate(turns)), len(turns) - 1)


def row(content) -> Example:
    return Example(Place("a.jsonl", 1), content, "Completion")


def encoded(words, content, template: str | None = None) -> pairs.Compared:
    (made,) = pairs.encode(tokeniser(words, template), [row(content)])
    return made


def test_a_pair_is_one_prompt_and_two_answers_that_end(words):
    made = encoded(words, Preference(talk("Why?", "So."), talk("Why?", "I do not know, and never will.")))

    assert words.decode(made.prompt) == PROMPT
    assert [words.decode(answer) for answer in made.answers] == [
        "So.<|im_end|>",
        "I do not know, and never will.<|im_end|>",
    ]
    whole = words.apply_chat_template(
        [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}], tokenize=False
    )
    assert [*made.prompt, *made.answers[0]] == words(whole.rstrip())["input_ids"]
    assert made.tokens == 2 * len(made.prompt) + len(made.answers[0]) + len(made.answers[1])
    assert made.longest == len(made.prompt) + len(made.answers[1])


def test_earlier_answers_belong_to_the_prompt(words):
    made = encoded(words, Feedback(talk("Hi", "Hello.", "Why?", "So."), desirable=True))

    assert words.decode(made.prompt).endswith("Hello.<|im_end|>\n" + PROMPT)
    assert words.decode(made.answers[0]) == "So.<|im_end|>"


def test_plain_text_ends_with_eos_and_both_sides_share_the_prompts_tokens_where_one_would_merge(words):
    assert len(words("return")["input_ids"]) == 1

    made = encoded(words, Preference(Continuation("ret", "urn"), Continuation("ret", " it")))

    assert made.prompt == words("ret")["input_ids"]
    assert [words.decode(answer) for answer in made.answers] == ["urn<|im_end|>", " it<|im_end|>"]


def test_answers_are_cut_from_their_end_and_the_prompt_never_is(words):
    made = encoded(words, Preference(talk("Why?", "So. " * 9), talk("Why?", "No, " * 9)))
    room = len(made.prompt) + 4

    short = made.cut(room)

    assert short.prompt == made.prompt
    assert [len(answer) for answer in short.answers] == [4, 4]
    assert short.longest == room
    assert made.cut(made.longest) is made
    assert made.cut(len(made.prompt)).supervised == made.cut(3).supervised == 0


def test_answers_that_are_the_same_once_they_are_cut_teach_nothing(words):
    made = encoded(
        words, Preference(talk("Why?", "Because. " * 9 + "Yes"), talk("Why?", "Because. " * 9 + "No"))
    )

    assert made.supervised > 0
    assert made.cut(len(made.prompt) + 4).supervised == 0


def test_a_template_that_thinks_for_one_answer_only_still_gives_one_prompt(words):
    template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n"
        "{% if m.role == 'assistant' and 'hm' in m.content %}<think>\n{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )

    made = encoded(words, Preference(talk("Why?", "So."), talk("Why?", "hm, no")), template)

    assert words.decode(made.prompt) == PROMPT
    assert words.decode(made.answers[1]) == "<think>\nhm, no<|im_end|>"


def test_a_template_that_writes_two_prompts_is_refused(words):
    template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}{{ messages[-1].content | length if loop.first }}\n"
        "{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    with pytest.raises(errors.InvalidChatTemplate, match=r"a\.jsonl line 1: "):
        encoded(words, Preference(talk("Why?", "So."), talk("Why?", "A longer one.")), template)


def test_the_tables_are_what_trls_collators_take(words):
    pair = encoded(words, Preference(talk("Why?", "So."), talk("Why?", "No idea.")))
    liked = encoded(words, Feedback(talk("Why?", "So."), desirable=True))
    disliked = encoded(words, Feedback(talk("Why?", "No idea."), desirable=False))

    compared = table.batch([pair, pair], "DPO").to_pylist()
    judged = table.batch([liked, disliked], "KTO").to_pylist()

    both = DataCollatorForPreference(pad_token_id=0)(compared)
    assert both["input_ids"][0][both["attention_mask"][0] == 1].tolist() == [*pair.prompt, *pair.answers[0]]
    assert both["completion_mask"][2].sum() == len(pair.answers[1])
    assert table.schema("ORPO") == table.schema("DPO")
    one = DataCollatorForUnpairedPreference(pad_token_id=0)(judged)
    assert one["label"].tolist() == [True, False]
    assert one["completion_mask"].sum(axis=1).tolist() == [len(liked.answers[0]), len(disliked.answers[0])]


@pytest.mark.parametrize("method", ["DPO", "ORPO", "KTO"])
def test_prepare_writes_the_methods_table_and_counts_prompts_that_leave_no_room(
    tmp_path, monkeypatch, method
):
    monkeypatch.setattr(not_yet, "check", lambda _: None)
    world = World.at(tmp_path)
    asked = [f"What is {number}?" for number in range(20)] + ["why " * 80]
    if method == "KTO":
        rows = [{"prompt": one, "completion": "It is.", "label": at % 2 == 0} for at, one in enumerate(asked)]
    else:
        rows = [{"prompt": one, "chosen": "It is that.", "rejected": "No."} for one in asked]
    uri = world.put("rows.jsonl", rows)
    run = trainer_world.run(
        method=method,
        dataset={"train": [{"uri": uri}]},
        training={"maxLength": 40, "microBatchSize": 2, "globalBatchSize": 2},
    )

    result = world.prepare(run)

    found = pq.read_table(world.layout.dataset / "train.parquet")
    document = json.loads((world.layout.dataset / "samples.json").read_text())
    assert found.schema.remove_metadata() == table.schema(method)
    assert result.result["dataset"]["dropped"] == {"TooLong": 1}
    assert found.num_rows == 19
    first = found.to_pylist()[0]
    sides = [
        first[name] for name in found.column_names if name in {"chosen_ids", "rejected_ids", "completion_ids"}
    ]
    tokens = [len(first["prompt_ids"]) + len(side) for side in sides]
    assert max(tokens) <= 40
    assert result.result["dataset"]["tokens"] == sum(
        len(one["prompt_ids"]) + len(one[name])
        for one in found.to_pylist()
        for name in one
        if name in {"chosen_ids", "rejected_ids", "completion_ids"}
    )
    assert isinstance(document, list)
