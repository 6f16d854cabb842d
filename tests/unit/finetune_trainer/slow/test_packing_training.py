"""Packed rows: each is read as if it were alone, nothing that is learned gets lost, and every loss is TRL's own."""

import json
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl.data_utils import pack_dataset
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling, SFTTrainer

import golden_losses
import trainer_runs
import trainer_tiny_model
from finetune_trainer import config, prepared, tables
from finetune_trainer.data import packing

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Could not find a config file"),
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated"),
]

CASE = golden_losses.Case("packed", "SFT", golden_losses.LORA, {"packing": True, "warmupRatio": 0.0})
TOLERANCE = 2e-5
"""Of logits around 1, float32 on CPU: sums over masked positions are added up in another order."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared dataset with packs."""
    made = tmp_path_factory.mktemp("packed") / "dataset"
    trainer_runs.prepare_by_hand(made, max_length=golden_losses.SHORT, packed=True)
    return made


@pytest.fixture(scope="module")
def run() -> config.Run:
    return trainer_runs.run(training={"packing": True})


def sequences(folder: Path, run: config.Run) -> Dataset:
    return tables.training_rows(folder / prepared.TRAIN, run, micro=1)


def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)(rows)


def tiny(attention: str = "sdpa") -> Any:
    return AutoModelForCausalLM.from_pretrained(
        trainer_tiny_model.folder(), dtype=torch.float32, attn_implementation=attention
    ).eval()


@pytest.mark.parametrize("lengths", [[5, 9, 32, 1, 1, 17, 20, 8, 12], [3] * 40, [32, 31, 30], [7]])
def test_packs_are_those_of_trl(lengths: list[int]):
    rows = [[100 * row + place for place in range(length)] for row, length in enumerate(lengths)]
    theirs = pack_dataset(Dataset.from_dict({"input_ids": rows}), 32, "bfd")

    packs = packing.best_fit(lengths, 32)
    table = pa.table({name: pa.array(rows, pa.list_(pa.int32())) for name in ("input_ids", "labels")})
    ours = tables.packed(table, pa.array(packs, pa.list_(pa.int32()))).to_pydict()
    assert ours["input_ids"] == list(theirs["input_ids"])
    assert ours["seq_lengths"] == list(theirs["seq_lengths"])


def test_nothing_that_is_learned_is_lost(folder: Path, run: config.Run):
    rows = tables.rows(folder / prepared.TRAIN, run)
    found = sequences(folder, run)

    assert len(found) < len(rows) / 2
    assert max(len(ids) for ids in found["input_ids"]) <= golden_losses.SHORT
    for name in ("input_ids", "labels"):
        assert sorted(chain(*found[name])) == sorted(chain(*rows[name]))
    cut = [
        tuple(ids[sum(lengths[:at]) : sum(lengths[: at + 1])])
        for ids, lengths in zip(found["input_ids"], found["seq_lengths"], strict=True)
        for at in range(len(lengths))
    ]
    assert sorted(cut) == sorted(map(tuple, rows["input_ids"]))


def test_the_first_token_of_a_row_is_not_learned_from_the_row_before_it():
    row = {"input_ids": [5, 6, 7, 8, 9], "labels": [5, 6, 7, 8, 9], "seq_lengths": [3, 2]}

    batch = collate([row])

    assert batch["labels"].tolist() == [[-100, 6, 7, -100, 9]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 1]]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_row_in_a_pack_is_read_as_if_it_were_alone(attention: str, folder: Path, run: config.Run):
    model = tiny(attention)
    packs = [sequences(folder, run)[number] for number in (0, 1)]  # two packs in one forward pass
    batch = collate(packs)
    batch.pop("labels")
    with torch.inference_mode():
        packed = model(**batch, use_cache=False).logits[0]
        alone = [
            model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
            for pack in packs
            for ids in torch.tensor(pack["input_ids"]).split(pack["seq_lengths"])
            for ids in [ids.tolist()]
        ]
    assert len(alone) >= 4
    assert torch.allclose(packed, torch.cat(alone), rtol=0, atol=TOLERANCE)


def test_the_loss_of_a_pack_is_the_mean_over_the_tokens_of_its_rows_alone(folder: Path, run: config.Run):
    model, pack = tiny(), sequences(folder, run)[0]
    lengths = pack["seq_lengths"]
    ids, labels = (torch.tensor(pack[name]).split(lengths) for name in ("input_ids", "labels"))
    with torch.inference_mode():
        whole = model(**collate([pack]), use_cache=False).loss
        losses = [
            torch.nn.functional.cross_entropy(
                model(input_ids=row[None], use_cache=False).logits[0, :-1], wanted[1:], reduction="sum"
            )
            for row, wanted in zip(ids, labels, strict=True)
        ]
    assert len(lengths) > 1
    learned = sum(int((wanted[1:] != -100).sum()) for wanted in labels)
    assert whole.item() == pytest.approx(sum(losses).item() / learned, rel=1e-6)


def test_every_loss_is_bitwise_that_of_trls_own_packing(tmp_path: Path):
    given = golden_losses.a_task(tmp_path / "pod", CASE)
    golden_losses.go(given)
    history = json.loads((given.artefact / "metrics.json").read_text())["history"]
    found = [(entry["loss"], entry["grad_norm"]) for entry in history if "loss" in entry]

    rows = tables.rows(given.dataset / prepared.TRAIN, config.load(given.run))
    args = SFTConfig(
        output_dir=str(tmp_path / "plain"), max_steps=6, per_device_train_batch_size=2,
        gradient_accumulation_steps=2, learning_rate=0.01, lr_scheduler_type="cosine", seed=42, data_seed=42,
        max_length=golden_losses.SHORT, packing=True, use_cpu=True, bf16=False, gradient_checkpointing=False,
        logging_steps=1, save_strategy="no", report_to="none",
    )  # fmt: skip
    trainer = SFTTrainer(
        model=tiny(),
        args=args,
        processing_class=AutoTokenizer.from_pretrained(trainer_tiny_model.folder()),
        train_dataset=Dataset.from_dict(rows.to_dict()),
        peft_config=LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    trainer.train()
    expected = [(e["loss"], e["grad_norm"]) for e in trainer.state.log_history if "loss" in e]
    assert len(found) == 6
    assert found == expected
