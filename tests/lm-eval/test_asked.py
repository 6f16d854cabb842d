"""What lm-eval makes of our tasks, beside sums by hand and beside its own way to ask a model; what strangers write stays text."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jinja2
import pytest
import torch
from lm_eval import evaluator
from lm_eval import utils as lm_eval_utils
from lm_eval.api import registry
from lm_eval.models.huggingface import HFLM
from transformers import AutoModelForCausalLM, AutoTokenizer

import trainer_tiny_model
from finetune_trainer import config, errors, eval_tasks, evaluate, harness
from finetune_trainer.prepared import AskedTask, TokenizerFacts

ARC = {
    "name": "arc",
    "data": {"uri": "pvc://data/arc.jsonl"},
    "prompt": "{question}",
    "target": "answer",
    "multipleChoice": {"choicesColumn": "answers", "metrics": ["acc", "accNorm"]},
}
TRIVIA = {**ARC, "name": "trivia", "multipleChoice": None, "generate": {"until": ["\n"], "maxNewTokens": 6}}
WORDS = ("the", "value of it", "import", "a longer answer than the others", "return None", "no", "self")
HOSTILE = (
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "!function os.system",
    "{% include '/etc/passwd' %}",
    "{{ prompt }}",
)


@pytest.fixture(scope="module")
def model() -> Any:
    return AutoModelForCausalLM.from_pretrained(trainer_tiny_model.folder(), dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(trainer_tiny_model.folder())


def asking(tokenizer: Any, *, move: evaluate.Move = lambda _: None, max_length: int = 512) -> harness.Asking:
    facts = TokenizerFacts(
        digest="sha256:" + "0" * 64, vocabulary=len(tokenizer), bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.eos_token_id,
        end_of_turn_ids=(tokenizer.eos_token_id,), rendering="Raw", chat_template=None, chat_template_source=None,
    )  # fmt: skip
    answering = evaluate.Answering(
        tokenizer=tokenizer, facts=facts, max_new_tokens=4, batch_size=3, move=move
    )
    return harness.Asking(answering=answering, max_length=max_length)


def task(raw: dict[str, Any], **changes: Any) -> config.EvalTask:
    return config.EvalTask.model_validate({**raw, **changes})


def put(folder: Path, asked: config.EvalTask, rows: list[dict[str, Any]]) -> Path:
    """A prepared dataset that holds these rows of the task."""
    file = folder / AskedTask.name_of(asked.name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(rows))
    return folder


def chosen_rows(count: int = 7) -> list[dict[str, Any]]:
    """Rows with three choices each; no two alike."""
    return [
        {
            "prompt": f"def method_{at}(self, value):\n    {WORDS[at]} is",
            "choices": [WORDS[(at + step) % len(WORDS)] for step in range(3)],
            "target": at % 3,
        }
        for at in range(count)
    ]


def likely(model: Any, tokenizer: Any, prompt: str, answer: str) -> float:
    """The log probability (nats) of `answer` after `prompt` and a space, token by token."""
    before, whole = tokenizer.encode(prompt), tokenizer.encode(f"{prompt} {answer}")
    assert whole[: len(before)] == before
    with torch.inference_mode():
        found = model(torch.tensor([whole])).logits[0].float().log_softmax(dim=-1)
    return sum(found[at - 1, whole[at]].item() for at in range(len(before), len(whole)))


def share(rows: list[dict[str, Any]], found: list[list[float]]) -> float:
    right = [
        max(range(len(one)), key=one.__getitem__) == row["target"]
        for row, one in zip(rows, found, strict=True)
    ]
    return sum(right) / len(right)


@pytest.mark.parametrize("shots", [0, 2])
def test_choices_are_judged_as_sums_by_hand_have_it(model, tokenizer, tmp_path, shots):
    asked, rows = task(ARC, fewShot=shots), chosen_rows()

    found = harness.scores([asked], put(tmp_path, asked, rows), model, asking(tokenizer))

    before = "".join(f"{row['prompt']} {row['choices'][row['target']]}\n\n" for row in rows[:shots])
    sums = [
        [likely(model, tokenizer, before + row["prompt"], choice) for choice in row["choices"]]
        for row in rows[shots:]
    ]
    by_length = [
        [one / len(choice) for one, choice in zip(each, row["choices"], strict=True)]
        for each, row in zip(sums, rows[shots:], strict=True)
    ]
    assert found == pytest.approx(
        {"arcAcc": share(rows[shots:], sums), "arcAccNorm": share(rows[shots:], by_length)}
    )
    assert 0 < found["arcAcc"] < 1, "rows that are all right, or all wrong, show nothing"


def test_its_own_way_to_ask_a_model_finds_the_same(model, tokenizer, tmp_path):
    """HFLM, which lm-eval would load a model by."""
    tasks = [task(ARC, fewShot=1), task(TRIVIA)]
    put(tmp_path, tasks[0], chosen_rows())
    put(tmp_path, tasks[1], [{"prompt": row["prompt"], "target": "x"} for row in chosen_rows()])
    theirs = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=2, max_length=512)
    ours = harness._Asked(model, asking(tokenizer))
    for made in harness.load(tasks, tmp_path).values():
        made.build_all_requests()
        kind = made.instances[0].request_type
        if kind == "loglikelihood":
            pairs = zip(theirs.loglikelihood(made.instances), ours.loglikelihood(made.instances), strict=True)
            for (expected, greedy), (found, all_likeliest) in pairs:
                assert found == pytest.approx(expected, abs=1e-4)
                assert all_likeliest == greedy
        else:
            expected = [answer.strip() for answer in theirs.generate_until(made.instances)]
            assert ours.generate_until(made.instances) == expected


def test_a_written_answer_is_right_where_it_is_the_same(model, tokenizer, tmp_path):
    asked, told = task(TRIVIA), asking(tokenizer)
    prompts = [row["prompt"] for row in chosen_rows(4)]
    ids = [tokenizer.encode(prompt) for prompt in prompts]
    answers = [
        harness._until(one, ["\n"])
        for one in dataclasses.replace(told.answering, max_new_tokens=6).answers(model, ids)
    ]
    rows = [
        {"prompt": prompt, "target": answer if at else f"not {answer}"}
        for at, (prompt, answer) in enumerate(zip(prompts, answers, strict=True))
    ]
    assert harness.scores([asked], put(tmp_path, asked, rows), model, told) == {"triviaExactMatch": 0.75}


def test_a_prompt_that_is_too_long_loses_its_beginning(model, tokenizer, tmp_path):
    asked, rows = task(ARC), chosen_rows()
    long = [{**row, "prompt": "lorem ipsum " * 50 + "\n" + row["prompt"]} for row in rows]
    told = asking(tokenizer, max_length=24)
    found = harness._Asked(model, told)._row(("", ""), list(range(100)), [1, 2])
    assert found == {"input_ids": [*range(78, 100), 1, 2], "labels": [-100] * 22 + [1, 2]}
    assert harness.scores([asked], put(tmp_path, asked, long), model, told).keys() == {"arcAcc", "arcAccNorm"}


@pytest.mark.parametrize("raw", [ARC, TRIVIA], ids=lambda raw: raw["name"])
def test_what_strangers_write_is_asked_letter_by_letter(model, tokenizer, tmp_path, monkeypatch, raw):
    """Neither lm-eval's Jinja, nor anything that loads a metric, is ever called."""

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a text was taken for a template, or a metric was looked for outside")

    monkeypatch.setattr(lm_eval_utils, "apply_template", never)
    monkeypatch.setattr(jinja2.Environment, "from_string", never)
    asked = task(raw, fewShot=1, limit=10)
    rows = [{"prompt": text, "choices": [text, "no"], "target": 0} for text in HOSTILE]
    if asked.generate:
        rows = [{"prompt": text, "target": text} for text in HOSTILE]
    put(tmp_path, asked, rows)

    (made,) = harness.load([asked], tmp_path).values()
    made.build_all_requests()
    contexts = [request.args[0] for request in made.instances]
    assert set(contexts) == {f"{HOSTILE[0]} {HOSTILE[0]}\n\n{text}" for text in HOSTILE[1:]}
    if asked.multiple_choice:
        assert {request.args[1] for request in made.instances} == {
            f" {text}" for text in (*HOSTILE[1:], "no")
        }
    harness.scores([asked], tmp_path, model, asking(tokenizer))


def test_every_metric_of_ours_is_one_that_lm_eval_has():
    """It would look for another one on the Hub; the package that does so is not even installed."""
    assert set(eval_tasks.METRICS.values()) <= set(registry.metric_registry)
    with pytest.raises(ImportError):
        __import__("evaluate")


def test_nothing_is_looked_up_in_its_own_tasks(model, tokenizer, tmp_path, monkeypatch):
    """A task called like one of lm-eval's thousands is ours all the same."""

    def never(*_: object, **__: object) -> None:
        raise AssertionError("lm-eval read tasks of its own")

    monkeypatch.setattr(evaluator.TaskManager, "__init__", never)
    asked = task(ARC, name="boolq")
    put(tmp_path, asked, chosen_rows())
    assert harness.scores([asked], tmp_path, model, asking(tokenizer)).keys() == {"boolqAcc", "boolqAccNorm"}


@pytest.mark.parametrize("raw", [ARC, TRIVIA], ids=lambda raw: raw["name"])
def test_sigterm_is_heard_while_a_task_is_asked(model, tokenizer, tmp_path, raw):
    heard = []

    def move(message: str) -> None:
        heard.append(message)
        if len(heard) > 2:
            raise errors.Interrupted("SIGTERM")

    asked = task(raw)
    with pytest.raises(errors.Interrupted):
        harness.scores([asked], put(tmp_path, asked, chosen_rows()), model, asking(tokenizer, move=move))
    assert heard[0] == f"asking the task {asked.name}"


def test_it_moves_no_dice_of_the_training_and_leaves_the_model_as_it_was(model, tokenizer, tmp_path):
    asked = task(ARC)
    put(tmp_path, asked, chosen_rows())
    model.train()
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    harness.scores([asked], tmp_path, model, asking(tokenizer))
    assert torch.equal(torch.rand(4), expected)
    assert model.training
    model.eval()
