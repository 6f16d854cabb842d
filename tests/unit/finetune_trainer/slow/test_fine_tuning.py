"""What a rank does, on the tiny model in this very process: torch and TRL are imported once, a run takes seconds."""

import json
import math
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

import trainer_runs
from finetune_trainer import (
    checkpoint,
    comparing,
    config,
    errors,
    evaluate,
    fine_tuning,
    heldout,
    prepared,
    publish,
    start_adapter,
    task,
    train,
)
from finetune_trainer.interruption import Interruption
from finetune_trainer.task import Task

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Could not find a config file"),
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated"),
]


class StoppedAt(Interruption):
    """SIGTERM comes in the middle of step `step`."""

    def __init__(self, telling: Callable[[], int | None], step: int) -> None:
        self._telling = telling
        self._step = step
        super().__init__()

    @property
    def noted(self) -> bool:
        return (self._telling() or 0) >= self._step

    @noted.setter
    def noted(self, value: bool) -> None:
        pass


def a_task(root: Path, *, resume: Path | None = None, rows: int = 24, **changes: Any) -> Task:
    layout = trainer_runs.pod(root, **changes)
    layout.make_folders()
    trainer_runs.prepare_by_hand(layout.dataset, rows=rows)
    return Task(
        run=layout.run,
        attempt=1,
        dataset=layout.dataset,
        model=layout.claims / "models/tiny",
        progress=layout.progress,
        work=layout.scratch / "ranks",
        resume=resume,
    )


def go(given: Task, interruption: Interruption | None = None, *, world: int = 1) -> None:
    given.work.mkdir(parents=True, exist_ok=True)
    fine_tuning.FineTuning(given, interruption or Interruption(), rank=0, world=world).go()


def stop_at(given: Task, step: int) -> None:
    """Run until SIGTERM in step `step`, counted by the checkpoints' own word."""
    ran = fine_tuning.FineTuning(given, Interruption(), rank=0, world=1)
    assert ran._writer
    writer = ran._writer
    ran._interruption = StoppedAt(lambda: (writer.now.step or 0) + 1, step)
    given.work.mkdir(parents=True, exist_ok=True)
    with pytest.raises(errors.Interrupted, match=f"at step {step} of 6"):
        ran.go()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Task:
    """A run that nobody disturbed."""
    given = a_task(tmp_path_factory.mktemp("whole") / "pod", evaluation={"everySteps": 3})
    go(given)
    return given


def weights(given: Task) -> bytes:
    return (given.artefact / start_adapter.WEIGHTS).read_bytes()


def test_the_result_holds_what_the_contract_says_and_nothing_else(whole: Task):
    assert sorted(path.name for path in whole.artefact.iterdir()) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "chat_template.jinja",
        "metrics.csv",
        "metrics.json",
        "metrics.jsonl",
        "report.html",
        "samples.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert {stat.S_IMODE(path.stat().st_mode) for path in whole.artefact.iterdir()} == {0o644}


def test_the_adapter_names_its_base_by_id_and_no_file_names_a_path_of_the_pod(whole: Task):
    settings = json.loads((whole.artefact / start_adapter.CONFIG).read_text())
    assert settings["base_model_name_or_path"] == "pvc://models/tiny"
    assert settings["target_modules"] == sorted(settings["target_modules"])
    root = str(whole.run.parent.parent)
    for path in whole.artefact.iterdir():
        assert root.encode() not in path.read_bytes(), path.name


def test_a_leaked_path_is_our_bug(whole: Task, tmp_path: Path):
    (tmp_path / "README.md").write_text(f"trained from {whole.model}/config.json")
    with pytest.raises(errors.InternalError, match=r"README.md names the pod's path"):
        publish.check_no_paths(tmp_path, (whole.work, whole.model))


def test_the_adapter_loads_with_peft_alone_and_changes_what_the_base_says(whole: Task):
    base = AutoModelForCausalLM.from_pretrained(whole.model, dtype=torch.float32)
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.inference_mode():
        before = base(input_ids=ids).logits
        tuned = PeftModel.from_pretrained(base, whole.artefact)
        after = tuned(input_ids=ids).logits
        with tuned.disable_adapter():
            again = tuned(input_ids=ids).logits
    assert not torch.equal(before, after)
    assert torch.equal(before, again)


def test_base_and_tuned_are_measured_on_the_same_rows(whole: Task):
    trained = task.Trained.model_validate_json(whole.trained.read_bytes())
    assert (trained.step, trained.total_steps, trained.evaluation.rows) == (6, 6, 6)
    found = trained.evaluation
    assert found.base.perplexity == pytest.approx(math.exp(found.base.loss))
    assert found.base.loss == pytest.approx(math.log(4096), rel=0.05)  # a random model knows nothing
    assert found.tuned.loss != found.base.loss
    samples = json.loads((whole.artefact / "samples.json").read_text())
    assert [sorted(sample) for sample in samples] == [["base", "expected", "messages", "source", "tuned"]]


def test_held_out_loss_is_measured_between_the_steps_when_asked(whole: Task):
    history = json.loads((whole.artefact / "metrics.json").read_text())["history"]
    assert [entry["step"] for entry in history if "eval_loss" in entry] == [3]
    assert [entry["step"] for entry in history if "loss" in entry] == [1, 2, 3, 4, 5, 6]


def test_progress_is_told_from_the_first_step_on(whole: Task):
    told = json.loads(whole.progress.read_text())
    assert (told["stage"], told["step"], told["totalSteps"]) == ("Publish", 6, 6)
    assert told["tokensPerSecond"] > 0
    assert told["loss"] > 0


def test_checkpoints_are_set_apart_whole(whole: Task):
    assert sorted(path.name for path in whole.finished.iterdir()) == ["step-2", "step-4", "step-6"]
    assert not list(whole.output.glob("checkpoint-*"))
    written = {path.name for path in (whole.finished / "step-2").iterdir()}
    sealed = checkpoint.sealed(
        whole.finished / "step-2", step=2, fingerprint="f", time=checkpoint.datetime.now().astimezone()
    )
    assert set(sealed.files) == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "optimizer.pt",
        "rng_state.pth",
        "scheduler.pt",
        "trainer_state.json",
    }
    assert written == {
        *sealed.files,
        "training_args.bin",
    }  # training stands still for no card and no tokenizer


def test_resumed_after_sigterm_the_weights_are_bitwise_those_of_the_undisturbed_run(
    whole: Task, tmp_path: Path
):
    stopped = a_task(tmp_path / "first" / "pod")
    stop_at(stopped, 3)
    assert not stopped.trained.exists()
    resumed = a_task(tmp_path / "second" / "pod", resume=stopped.finished / "step-3")
    go(resumed)
    assert weights(resumed) == weights(whole)


def test_sigterm_while_the_base_is_evaluated_is_heard_at_once(tmp_path: Path):
    given = a_task(tmp_path / "pod", tuning={"type": "Full"})
    ran = fine_tuning.FineTuning(given, Interruption(), rank=0, world=1)
    tell = ran._tell

    def told(**changes: Any) -> None:
        tell(**changes)
        if changes.get("stage") == "EvaluateBase":
            ran._interruption.noted = True

    ran._tell = told
    given.work.mkdir(parents=True)
    with pytest.raises(errors.Interrupted, match="nothing that was saved is lost"):
        ran.go()
    assert not given.finished.exists()


def test_resumed_at_the_last_step_only_the_rest_is_done(whole: Task, tmp_path: Path):
    resumed = a_task(tmp_path / "pod", resume=whole.finished / "step-6")
    go(resumed)
    assert weights(resumed) == weights(whole)
    assert (resumed.work / comparing.BASE).read_bytes() == (whole.work / comparing.BASE).read_bytes()


def test_a_loss_that_is_no_number_stops_the_run_at_its_step(tmp_path: Path):
    given = a_task(
        tmp_path / "pod", training={"learningRate": 0.9, "lrScheduler": "constant", "warmupRatio": 0.0}
    )
    ran = fine_tuning.FineTuning(given, Interruption(), rank=0, world=1)
    ran._prepared = ran._prepared.model_copy(
        update={"resolved": ran._prepared.resolved.model_copy(update={"learning_rate": 1e30})}
    )
    given.work.mkdir(parents=True)
    with pytest.raises(
        errors.NonFiniteLoss,
        match=r"at step [2-6] \(learning rate 1e\+30\); lower spec.training.learningRate",
    ):
        ran.go()
    assert not given.artefact.exists()


def test_a_launcher_that_started_too_few_is_caught_before_training(tmp_path: Path):
    given = a_task(tmp_path / "pod")
    with pytest.raises(errors.InternalError, match=r"1 processes were promised, the launcher reported 2"):
        go(given, world=2)
    assert not given.finished.exists()


def test_the_loss_is_the_mean_over_supervised_tokens_whatever_the_batch():
    model = AutoModelForCausalLM.from_pretrained(
        trainer_runs.trainer_tiny_model.folder(), dtype=torch.float32
    )
    rows = [
        {"input_ids": [5, 6, 7, 8, 9], "labels": [-100, -100, 7, 8, 9]},
        {"input_ids": [9, 8, 7], "labels": [-100, 8, -100]},
    ]
    losses = []
    for row in rows:
        logits = model(input_ids=torch.tensor([row["input_ids"]])).logits[0, :-1].log_softmax(-1)
        losses += [-logits[at, token].item() for at, token in enumerate(row["labels"][1:]) if token != -100]
    for size in (1, 2):
        said = evaluate.said_of(model, rows, batch_size=size, move=lambda _: None)
        assert said.log_probs == pytest.approx([-sum(losses[:3]), -losses[3]], rel=1e-5)
        measured = heldout.Supervised(rows=2, sequences=rows).judged(said.log_probs, None)
        assert measured.loss == pytest.approx(sum(losses) / 4, rel=1e-5)


def test_a_token_is_right_where_none_is_likelier():
    model = AutoModelForCausalLM.from_pretrained(
        trainer_runs.trainer_tiny_model.folder(), dtype=torch.float32
    )
    ids = [5, 6, 7, 8]
    first, second, third, _ = model(input_ids=torch.tensor([ids])).logits[0].argmax(-1).tolist()
    rows = [
        {"input_ids": ids, "labels": [-100, first, second + 1, third]},
        {"input_ids": ids[:3], "labels": [-100, -100, second]},
        {"input_ids": ids[:3], "labels": [-100, first + 1, -100]},
    ]
    assert evaluate.said_of(model, rows, batch_size=3, move=lambda _: None).right == [2, 1, 0]


def test_resumed_at_a_last_step_within_an_epoch_no_step_is_made(tmp_path: Path):
    """32 rows make 8 steps an epoch: after the sixth and last, transformers' own loop would make a seventh."""
    first = a_task(tmp_path / "first" / "pod", rows=32)
    go(first)
    resumed = a_task(tmp_path / "second" / "pod", rows=32, resume=first.finished / "step-6")
    go(resumed)
    assert weights(resumed) == weights(first)
    assert task.Trained.model_validate_json(resumed.trained.read_bytes()).step == 6


def test_a_batch_of_held_out_rows_is_bounded_by_its_logits(monkeypatch: pytest.MonkeyPatch):
    rows = [{"input_ids": [1] * length, "labels": [1] * length} for length in (40, 2, 2, 4, 2)]
    monkeypatch.setattr(evaluate, "MOST_LOGITS", 100)
    found = [
        (done, [len(rows[place]["input_ids"]) for place in batch])
        for done, batch in evaluate._batches(rows, 4, 10)
    ]
    assert found == [(3, [2, 2, 2]), (4, [4]), (5, [40])]


def test_all_linear_beside_other_names_is_what_prepare_made_of_it(whole: Task):
    resolved = prepared.Prepared.model_validate_json(
        (whole.dataset / prepared.DOCUMENT).read_bytes()
    ).resolved
    tuning = config.Tuning(lora=config.Lora(target_modules=("all-linear", "embed_tokens")))
    made = train.lora(tuning, resolved, revision=None)
    assert set(made.target_modules) == set(resolved.target_modules)
    assert "all-linear" not in made.target_modules


def test_a_gradient_norm_that_is_no_number_is_published_as_null():
    assert json.loads(publish.document({"history": [{"grad_norm": float("nan")}]})) == {
        "history": [{"grad_norm": None}]
    }


QUESTIONS = [[3 + (number * 7 + place) % 200 for place in range(3 + number)] for number in range(5)]
"""Prompts of five lengths."""


def test_answers_given_together_are_those_given_one_by_one(whole: Task):
    model = AutoModelForCausalLM.from_pretrained(whole.model, dtype=torch.float32)
    moved = []
    said = []
    for size in (1, 2, 5):
        answering = evaluate.Answering(
            tokenizer=AutoTokenizer.from_pretrained(whole.model),
            facts=prepared.Prepared.model_validate_json((whole.dataset / prepared.DOCUMENT).read_bytes()).identity.tokenizer,
            max_new_tokens=6, batch_size=size, move=moved.append,
        )  # fmt: skip
        said.append(answering.answers(model, QUESTIONS))
    assert said[0] == said[1] == said[2]
    assert len(set(said[0])) > 1
    assert "answering: 4 of 5 done" in moved


def test_a_gate_that_does_not_hold_keeps_the_result_back_with_all_figures(tmp_path: Path):
    given = a_task(
        tmp_path / "pod",
        evaluation={
            "metrics": ["tokenAccuracy", "rouge", "bleu", "chrf", "exactMatch"],
            "gate": ["tuned.loss < 100", "tuned.rougeL > base.rougeL + 1"],
        },
    )
    asked = [
        {
            "source": "held-out",
            "messages": [{"role": "user", "content": "?"}],
            "inputIds": ids,
            "expected": "one two",
        }
        for ids in QUESTIONS
    ]
    (given.dataset / prepared.SAMPLES).write_text(json.dumps(asked))
    with pytest.raises(errors.GateNotMet) as told:
        go(given)
    found = task.Trained.model_validate_json(given.trained.read_bytes()).evaluation
    names = {"tokenAccuracy", "rouge1", "rouge2", "rougeL", "bleu", "chrf", "exactMatch"}
    assert set(found.base.other) == set(found.tuned.other) == names
    assert (found.rows, found.answered) == (6, 5)
    assert f"tuned.rougeL is {found.tuned.other['rougeL']:.5g}" in str(told.value)
    assert "tuned.loss < 100" not in str(told.value)
    assert weights(given)
