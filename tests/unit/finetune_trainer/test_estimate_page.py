"""docs/estimate.md says what was measured, and the committed measurements are of today's formulas."""

import json
import sys

import pytest

import estimate_page
import trainer_tiny_model
from finetune_trainer.estimate import memory

sys.path.insert(0, str(estimate_page.ROOT / "tests" / "bench"))
import bench_estimate

FOUND = json.loads(estimate_page.MEASURED.read_text())

CONFIGS = {
    bench_estimate.SMOLLM: {
        "model_type": "llama", "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
        "num_attention_heads": 9, "num_key_value_heads": 3, "tie_word_embeddings": True, "max_position_embeddings": 8192,
    },
    bench_estimate.QWEN: {"model_type": "qwen3", **bench_estimate.QWEN_SIZES},
}  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    made = {bench_estimate.TINY: trainer_tiny_model.folder()}
    for name, config in CONFIGS.items():
        made[name] = tmp_path_factory.mktemp("model")
        (made[name] / "config.json").write_text(json.dumps(config))
    return made


def test_the_tables_are_those_of_the_code():
    text = estimate_page.PAGE.read_text()

    assert text == estimate_page.rendered(text)


@pytest.mark.parametrize("case", bench_estimate.CASES, ids=lambda case: case.name)
def test_what_was_measured_is_estimated_as_the_page_says(case, models):
    row = next(row for row in FOUND["rows"] if row["name"] == case.name)
    told = bench_estimate.estimated(case, models[case.model])

    assert told.total == row["estimated"]
    assert told.parts == row["parts"]
    assert row["error"] == round(told.total / row["measured"] - 1, 3)


def test_at_least_six_configurations_are_within_the_stated_error():
    within = [row for row in FOUND["rows"] if abs(row["error"]) <= memory.ERROR]

    assert len(within) >= 6
    assert FOUND["within_20_percent"] == len(within)
    assert len({row["name"].split()[1] for row in within}) == 3  # LoRA, QLoRA and Full


def test_published_memory_is_met_within_the_stated_error():
    shapes = {model: estimate_page.shape(config) for model, config in estimate_page.CONFIGS.items()}
    for one in estimate_page.PUBLISHED:
        if one.gib:
            total = memory.memory(shapes[one.model], one.setting).total - memory.OVERHEAD["cuda"]
            assert abs(total / 2**30 / one.gib - 1) <= memory.ERROR, one.what
