"""The published folder is used as its card says, by programs that know nothing of us: each snippet runs word for word."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import fine_tuned
import hub_standin
import trainer_runs
import trainer_tiny_model
from finetune_trainer import prepared

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Could not find a config file"),
    pytest.mark.filterwarnings("ignore:Unable to fetch remote file"),
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated"),
]
USE = """
import torch
ids = tokenizer.apply_chat_template(
    [{"role": "user", "content": "Hello"}], add_generation_prompt=True, return_tensors="pt", return_dict=True
)
assert torch.isfinite(model(**ids).logits).all()
assert "finetune_trainer" not in __import__("sys").modules
print(model.generate(**ids, max_new_tokens=2, do_sample=False)[0, -2:].tolist())
"""
"""What a person does next."""

ON_HUB = prepared.BaseModelFacts(id="org/tiny", uri="hf://org/tiny", revision=hub_standin.COMMIT)


def published(root: Path, facts: prepared.BaseModelFacts, **changes: Any) -> Path:
    """The files of a run whose base model has these `facts`."""
    layout = trainer_runs.pod(root / "pod", model={"uri": facts.uri}, **changes)
    layout.make_folders()
    trainer_runs.prepare_by_hand(layout.dataset, facts=facts)
    return fine_tuned.go(layout).artefact


def python_of(card: str) -> str:
    """The card's snippet."""
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    return str(code)


def ran(code: str, here: Path, **environment: str) -> str:
    """What the program prints, started in the folder `here` with nothing of ours on its path."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=here, env={**plain, "HF_HOME": str(here / "hf"), **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def hub():
    with hub_standin.serving(hub_standin.Hub({"org/tiny": trainer_tiny_model.folder()})) as endpoint:
        yield endpoint


def test_an_adapter_over_a_base_of_the_hub(tmp_path, hub):
    (tmp_path / "this folder").symlink_to(published(tmp_path, ON_HUB))
    code = python_of((tmp_path / "this folder/README.md").read_text())
    assert f'from_pretrained("org/tiny", revision="{hub_standin.COMMIT}")' in code
    by_the_card = ran(code + USE, tmp_path, HF_ENDPOINT=hub)
    alone = (
        "from peft import AutoPeftModelForCausalLM\n"
        "from transformers import AutoTokenizer\n"
        "model = AutoPeftModelForCausalLM.from_pretrained('this folder')\n"
        "tokenizer = AutoTokenizer.from_pretrained('this folder')\n"
    )
    assert ran(alone + USE, tmp_path, HF_ENDPOINT=hub) == by_the_card


def test_an_adapter_over_a_base_that_lies_elsewhere_and_its_merged_weights(tmp_path):
    folder = published(tmp_path, trainer_runs.BASE, output={"merged": True})
    (tmp_path / "this folder").symlink_to(folder)
    base = tmp_path / "a local copy of pvc:/models"
    base.mkdir(parents=True)
    (base / "tiny").symlink_to(trainer_tiny_model.folder())
    card = (folder / "README.md").read_text()
    by_adapter = ran(python_of(card) + USE, tmp_path, HF_HUB_OFFLINE="1")
    (line,) = re.findall(r"`(AutoModelForCausalLM\.from_pretrained\(.*merged\"\))`", card)
    merged = (
        "import sys\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n"
        f'model = {line}\ntokenizer = AutoTokenizer.from_pretrained("this folder/merged")\n'
    )
    assert (
        ran(merged + USE + "assert 'peft' not in sys.modules\n", tmp_path, HF_HUB_OFFLINE="1") == by_adapter
    )


def test_all_weights(tmp_path):
    (tmp_path / "this folder").symlink_to(published(tmp_path, trainer_runs.BASE, tuning={"type": "Full"}))
    code = python_of((tmp_path / "this folder/README.md").read_text())
    assert "peft" not in code
    assert ran(code + USE, tmp_path, HF_HUB_OFFLINE="1")
