"""SFT, DPO, ORPO and KTO on prepared rows: what TRL alone does with the text they were made of, to the last bit."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.kto_config import KTOConfig
from trl.trainer.kto_trainer import KTOTrainer
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

import trainer_adapters
import trainer_runs
import trainer_tiny_model
from finetune_trainer import errors, fine_tuning, heldout, tables
from finetune_trainer.interruption import Interruption
from finetune_trainer.task import Task

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Could not find a config file"),
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated"),
]

STEPS = 6
PLAIN: dict[str, Any] = {
    "SFT": (SFTTrainer, SFTConfig),
    "DPO": (DPOTrainer, DPOConfig),
    "ORPO": (ORPOTrainer, ORPOConfig),
    "KTO": (KTOTrainer, KTOConfig),
}
MAX_LENGTH = 26
"""Tokens. About half of the rows are longer, and are cut."""
TRAINING: dict[str, Any] = {
    "maxSteps": STEPS, "learningRate": 0.01, "globalBatchSize": 4, "microBatchSize": 2, "maxLength": MAX_LENGTH,
}  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(trainer_tiny_model.folder())


def raw(method: str, count: int = 24) -> list[dict[str, Any]]:
    """Rows of text as TRL takes them. KTO's come as they often lie in files: first all of one kind."""
    made = []
    for number in range(count):
        prompt = f"Which number comes after {number}?{' Please.' * (number % 3)}\n"
        good, bad = f"After {number} comes {number + 1}.", "No idea" + " at all" * (number % 4) + "."
        if method == "SFT":
            made.append({"prompt": prompt, "completion": good})
        elif method == "KTO":
            liked = number < count // 2
            made.append({"prompt": prompt, "completion": good if liked else bad, "label": liked})
        else:
            made.append({"prompt": prompt, "chosen": good, "rejected": bad})
    return made


def fits(row: dict[str, Any], tokenizer: Any) -> bool:
    """Whether nothing of one of KTO's rows is cut."""
    return len(tokenizer(row["prompt"] + row["completion"] + tokenizer.eos_token)["input_ids"]) <= MAX_LENGTH


def longest_mismatch(table: trainer_runs.Table) -> int:
    """The longest sequence (tokens) of a question with another row's answer."""
    made = tables.mismatched(tables.shuffled(Dataset.from_dict(table).data.table, 42), 2).to_pylist()
    return max(len(row["prompt_ids"]) + len(row["KL_completion_ids"]) for row in made)


def tokenised(method: str, rows: list[dict[str, Any]], tokenizer: Any) -> trainer_runs.Table:
    """The same rows as Prepare leaves them."""

    def answer(row: dict[str, Any], name: str) -> list[int]:
        prompt = tokenizer(row["prompt"])["input_ids"]
        whole = tokenizer(row["prompt"] + row[name] + tokenizer.eos_token)["input_ids"]
        assert whole[: len(prompt)] == prompt
        return whole[len(prompt) : MAX_LENGTH]

    prompts = [tokenizer(row["prompt"])["input_ids"] for row in rows]
    if method == "SFT":
        answers = [answer(row, "completion") for row in rows]
        return {
            "input_ids": [[*ids, *said] for ids, said in zip(prompts, answers, strict=True)],
            "labels": [[-100] * len(ids) + said for ids, said in zip(prompts, answers, strict=True)],
        }
    if method == "KTO":
        said = [answer(row, "completion") for row in rows]
        return {"prompt_ids": prompts, "completion_ids": said, "label": [row["label"] for row in rows]}
    sides = {f"{side}_ids": [answer(row, side) for row in rows] for side in ("chosen", "rejected")}
    return {"prompt_ids": prompts, **sides}


def plain(
    method: str, rows: list[dict[str, Any]], output: Path, tokenizer: Any, start: Path | None = None
) -> list[dict[str, Any]]:
    """The log of the script that anybody would write with TRL: the same settings, text instead of tokens.

    `start`: the adapter that it goes on from.
    """
    trainer_class, config_class = PLAIN[method]
    dataset = Dataset.from_list(rows)
    args = config_class(
        output_dir=str(output),
        max_steps=STEPS,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
        learning_rate=0.01,
        lr_scheduler_type="cosine",
        seed=42,
        data_seed=42,
        max_length=MAX_LENGTH,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        **({"train_sampling_strategy": "sequential"} if method == "KTO" else {}),
    )
    model: Any = AutoModelForCausalLM.from_pretrained(trainer_tiny_model.folder(), dtype=torch.float32)
    new = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    trainer = trainer_class(
        model=PeftModel.from_pretrained(model, start, is_trainable=True) if start else model,
        args=args,
        processing_class=tokenizer,
        train_dataset=dataset.shuffle(seed=42) if method == "KTO" else dataset,
        peft_config=None if start else new,
    )
    trainer.train()
    return trainer.state.log_history


def a_task(
    root: Path,
    method: str,
    made: tuple[trainer_runs.Table, trainer_runs.Table] | None,
    start: Path | None = None,
    **changes: Any,
) -> Task:
    layout = trainer_runs.pod(root, method=method, **changes)
    layout.make_folders()
    trainer_runs.prepare_by_hand(
        layout.dataset, method=method, tables=made, max_length=MAX_LENGTH, start=start
    )
    given = Task(
        run=layout.run,
        attempt=1,
        dataset=layout.dataset,
        model=layout.claims / "models/tiny",
        progress=layout.progress,
        work=layout.scratch / "ranks",
    )
    given.work.mkdir(parents=True)
    return given


def history(given: Task) -> list[dict[str, Any]]:
    return json.loads((given.artefact / "metrics.json").read_text())["history"]


def steps(log: list[dict[str, Any]]) -> list[tuple[float, float]]:
    return [(entry["loss"], entry["grad_norm"]) for entry in log if "loss" in entry]


@pytest.mark.parametrize("begins", ["anew", "from an adapter"])
@pytest.mark.parametrize("method", PLAIN)
def test_every_loss_is_bitwise_that_of_trl_on_the_text(
    method: str, begins: str, tmp_path: Path, tokenizer: Any
):
    rows = raw(method)
    if (
        method == "KTO"
    ):  # TRL would cut a question with another's answer anew, from what Prepare has cut already
        rows = [row for row in rows if fits(row, tokenizer)]
    table = tokenised(method, rows, tokenizer)
    if method == "KTO":
        assert longest_mismatch(table) > MAX_LENGTH
    going_on = begins == "from an adapter"
    start = trainer_adapters.make(tmp_path / "start") if going_on else None
    given = a_task(
        tmp_path / "pod", method, (table, table), start, training={**TRAINING, "warmupRatio": 0.0},
        tuning={"type": "LoRA", "lora": {} if going_on else {"rank": 4}}, **(trainer_runs.STARTED if going_on else {}),
    )  # fmt: skip
    fine_tuning.FineTuning(given, Interruption(), rank=0, world=1).go()

    found, expected = steps(history(given)), steps(plain(method, rows, tmp_path / "plain", tokenizer, start))
    assert len(found) == STEPS
    assert found == expected
    assert found[0][0] != found[-1][0]


@pytest.mark.parametrize("method", ["DPO", "ORPO", "KTO"])
def test_a_loss_that_is_no_number_stops_every_method_at_its_step(method: str, tmp_path: Path):
    given = a_task(tmp_path / "pod", method, None, training={"warmupRatio": 0.0, "lrScheduler": "constant"})
    ran = fine_tuning.FineTuning(given, Interruption(), rank=0, world=1)
    ran._prepared = ran._prepared.model_copy(
        update={"resolved": ran._prepared.resolved.model_copy(update={"learning_rate": 1e30})}
    )
    with pytest.raises(errors.NonFiniteLoss, match=r"at step [2-6] \(learning rate 1e\+30\)"):
        ran.go()
    assert not given.artefact.exists()


def test_pairs_for_orpo_have_the_columns_that_trl_makes_of_text(tokenizer: Any, tmp_path: Path):
    rows = raw("ORPO", 5)
    trainer = ORPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(trainer_tiny_model.folder(), dtype=torch.float32),
        args=ORPOConfig(
            output_dir=str(tmp_path), use_cpu=True, bf16=False, report_to="none", max_length=MAX_LENGTH
        ),
        processing_class=tokenizer,
        train_dataset=Dataset.from_list(rows),
    )
    expected = trainer.train_dataset.remove_columns(["prompt", "chosen", "rejected"]).to_dict()
    assert tables.orpo_columns(tokenised("ORPO", rows, tokenizer)) == expected


def test_for_kto_each_question_of_a_pass_meets_the_answer_before_it():
    dataset = Dataset.from_dict(
        {
            "prompt_ids": [[n] for n in range(5)],
            "completion_ids": [[10 * n] for n in range(5)],
            "label": [True] * 5,
        }
    )
    made = tables.mismatched(dataset.data.table, 2)
    assert made.column("KL_completion_ids").to_pylist() == [[10], [0], [30], [20], [40]]


def test_for_kto_the_rows_are_shuffled_once_by_the_seed():
    dataset = Dataset.from_dict({"completion_ids": [[n] for n in range(50)]})
    expected = dataset.shuffle(seed=7)["completion_ids"]
    assert tables.shuffled(dataset.data.table, 7).column("completion_ids").to_pylist() == list(expected)


def test_of_the_answers_to_other_questions_only_what_fits_is_asked():
    found = heldout.held_out(
        "KTO",
        {"prompt_ids": [[1, 2], [3]], "completion_ids": [[4], [5, 6, 7]], "label": [True, False]},
        beta=0.1,
        max_length=4,
    )
    assert [row["input_ids"] for row in found.sequences] == [[1, 2, 4], [3, 5, 6, 7], [1, 2, 5, 6], [3, 4]]
