"""Packed rows: each is read as if it were alone, nothing that is learned gets lost, and every loss is TRL's own."""

import json
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AttentionInterface, AutoConfig, AutoModelForCausalLM, AutoTokenizer
from trl.data_utils import pack_dataset
from trl.kernels import chunked_logprob
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling, SFTTrainer

import golden_losses
import trainer_runs
import trainer_tiny_model
from finetune_trainer import config, prepared, row_attention, tables, tiles
from finetune_trainer.data import packing
from finetune_trainer.estimate.memory import TOKENS_AT_ONCE
from finetune_trainer.task import Task

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


def by_row() -> Any:
    """The model with the attention that training chooses where there is no flash attention."""
    model = tiny()
    model.set_attn_implementation(row_attention.NAME)
    return model


def alone(pack: dict[str, Any], name: str = "input_ids") -> tuple[torch.Tensor, ...]:
    """The rows of a pack."""
    return torch.tensor(pack[name]).split(pack["seq_lengths"])


@pytest.mark.parametrize("attention", ["sdpa", "eager", row_attention.NAME])
def test_a_row_in_a_pack_is_read_as_if_it_were_alone(attention: str, folder: Path, run: config.Run):
    model = tiny(attention)
    packs = [sequences(folder, run)[number] for number in (0, 1)]  # two packs in one forward pass
    batch = collate(packs)
    batch.pop("labels")
    with torch.inference_mode():
        packed = model(**batch, use_cache=False).logits[0]
        rows = [
            model(input_ids=ids[None], use_cache=False).logits[0] for pack in packs for ids in alone(pack)
        ]
    assert len(rows) >= 4
    assert torch.allclose(packed, torch.cat(rows), rtol=0, atol=TOLERANCE)


def gradients(model: Any) -> dict[str, torch.Tensor]:
    """Those of all weights, taken away from the model."""
    found = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()
    return found


def test_a_row_in_a_pack_is_learned_as_if_it_were_alone(folder: Path, run: config.Run):
    """Rows one by one: what each adds to the gradients is what it gives alone."""
    model, pack = by_row(), sequences(folder, run)[0]
    learned = [int((labels[1:] != -100).sum()) for labels in alone(pack, "labels")]

    model(**collate([pack]), use_cache=False).loss.backward()
    packed = gradients(model)
    for ids, labels, share in zip(alone(pack), alone(pack, "labels"), learned, strict=True):
        loss = model(input_ids=ids[None], labels=labels[None], use_cache=False).loss
        (loss * share / sum(learned)).backward()  # gradients of all rows are added up
    expected = gradients(model)

    assert len(learned) > 1
    assert packed.keys() == expected.keys() > {"model.layers.0.self_attn.q_proj.weight"}
    for name, gradient in packed.items():
        assert torch.allclose(gradient, expected[name], rtol=1e-4, atol=1e-6), name


def test_a_pack_is_attended_row_by_row_and_never_whole(
    folder: Path, run: config.Run, monkeypatch: pytest.MonkeyPatch
):
    """What attention costs: no call is longer than a row, none gets a mask."""
    model, pack = by_row(), sequences(folder, run)[0]
    attended, calls = torch.nn.functional.scaled_dot_product_attention, []

    def noted(query: Any, key: Any, value: Any, **said: Any) -> Any:
        calls.append((query.shape[2], key.shape[2], said["attn_mask"]))
        return attended(query, key, value, **said)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", noted)
    model(**collate([pack]), use_cache=False)

    assert (
        calls == [(length, length, None) for length in pack["seq_lengths"]] * model.config.num_hidden_layers
    )


def a_window(width: int) -> Any:
    """A model of two kinds of layers: one sees all of a row, the other `width` tokens back."""
    torch.manual_seed(0)
    settings = AutoConfig.for_model(
        "qwen3", vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, use_sliding_window=True, sliding_window=width, max_window_layers=1,
    )  # fmt: skip
    return AutoModelForCausalLM.from_config(settings, attn_implementation="sdpa").eval()


@pytest.mark.parametrize("width", [4, 24, 32])
def test_a_window_is_kept_within_each_row(width: int):
    model, rows = a_window(width), [list(range(5, 25)), list(range(30, 42))]
    batch = collate([{"input_ids": [*rows[0], *rows[1]], "seq_lengths": [20, 12]}])
    with torch.inference_mode():
        dense = model(**batch, use_cache=False).logits
        model.set_attn_implementation(row_attention.NAME)
        assert torch.allclose(model(**batch, use_cache=False).logits, dense, rtol=0, atol=TOLERANCE)


def fails(*_: Any, **__: Any) -> Any:
    """An attention function that does not know what it is given."""
    raise TypeError


def differs(*said: Any, **named: Any) -> Any:
    """One that leaves out what it is given: rows see each other."""
    named.pop("cu_seq_lens_q")
    return row_attention.forward(*said, **named)


@pytest.mark.parametrize("trouble", [fails, differs])
def test_a_model_that_says_something_else_by_row_stays_as_it_was(
    trouble: Any, folder: Path, run: config.Run, monkeypatch: pytest.MonkeyPatch
):
    model, pack = tiny(), sequences(folder, run)[0]
    monkeypatch.setitem(AttentionInterface._global_mapping, row_attention.NAME, trouble)

    assert not row_attention.take(model, collate, [ids.tolist() for ids in alone(pack)], sixteen=False)
    assert row_attention.attention(model) == "sdpa"


@pytest.mark.parametrize(("asked", "found"), [("Auto", row_attention.NAME), ("sdpa", "sdpa")])
def test_what_is_chosen_is_told_in_the_log(
    asked: str, found: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    given = golden_losses.a_task(tmp_path / "pod", CASE)
    said_to(given, attention=asked)
    golden_losses.go(given)
    assert f"attention {found}," in capsys.readouterr().out


@pytest.mark.parametrize(
    ("case", "attention", "tokens"),
    [
        (CASE, "Auto", tiles.FEW),
        (CASE, "sdpa", TOKENS_AT_ONCE),
        (replace(CASE, training={}), "Auto", TOKENS_AT_ONCE),
    ],
)
def test_the_head_scores_few_tokens_at_once_where_packs_are_attended_row_by_row(
    case: golden_losses.Case, attention: str, tokens: int, tmp_path: Path
):
    given = golden_losses.a_task(tmp_path / "pod", case)
    said_to(given, attention=attention)
    golden_losses.go(given)
    assert tokens == chunked_logprob.TOKEN_CHUNK_SIZE


@pytest.mark.parametrize("tokens", [1, tiles.FEW, 2 * tiles.FEW + 1])
def test_the_head_says_the_same_whatever_it_scores_at_once(tokens: int):
    torch.manual_seed(0)
    hidden, words = torch.randn(tokens, 16, requires_grad=True), torch.randn(50, 16)
    wanted = torch.randint(0, 50, (tokens,))
    said = []
    for few in (False, True):
        tiles.cut(few=few)
        found = chunked_logprob.ChunkedLogProbFunction.apply(hidden, words, None, wanted, 1.0, 50)
        (gradient,) = torch.autograd.grad(found[0].sum(), hidden)
        said.append([*found[:2], gradient])
    torch.testing.assert_close(said[0], said[1], rtol=1e-5, atol=1e-6)


def said_to(given: Task, **model: str) -> None:
    """Settings of `spec.model` in the run of a task."""
    document = json.loads(given.run.read_text())
    document["model"] |= model
    given.run.write_text(json.dumps(document))


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


@pytest.mark.parametrize(("attention", "tolerance"), [("sdpa", 0.0), ("Auto", 1e-5)])
def test_every_loss_is_that_of_trls_own_packing(attention: str, tolerance: float, tmp_path: Path):
    """To the last bit with the attention that TRL has, else but for the order in which numbers are added up."""
    given = golden_losses.a_task(tmp_path / "pod", CASE)
    said_to(given, attention=attention)
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
    assert list(chain(*found)) == pytest.approx(list(chain(*expected)), rel=tolerance, abs=0)
