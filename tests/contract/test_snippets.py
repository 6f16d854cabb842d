"""The operator's snippets over files that the trainer makes: they run word for word, where the base model can be had."""

import os
import pathlib
import subprocess
import sys

import pytest

import hub_standin
import trainer_tiny_model
from finetune_operator.api.status import AdapterSeen
from finetune_operator.status.serving import snippets

pytestmark = pytest.mark.slow  # imports torch, here and in each snippet's process


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> pathlib.Path:
    """A folder that holds `job`: an adapter of the model org/tiny, and the merged weights."""
    from peft import LoraConfig, get_peft_model  # noqa: PLC0415 - torch, which fast tests need not wait for
    from transformers import AutoModelForCausalLM  # noqa: PLC0415

    from finetune_trainer import merged  # noqa: PLC0415

    here, base = tmp_path_factory.mktemp("serving"), trainer_tiny_model.folder()
    model = AutoModelForCausalLM.from_pretrained(base)
    model.name_or_path = "org/tiny"
    lora = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(model, lora).save_pretrained(here / "job")
    merged.add(here / "job", base=base, name="org/tiny", probe=[5, 6, 7, 8], tell=lambda **_: None)
    return here


@pytest.mark.filterwarnings("ignore:Unable to fetch remote file", "ignore:Could not find a config file")
@pytest.mark.parametrize("engine", ["peft", "transformers"])
def test_a_snippet_loads_what_was_published(folder, engine):
    adapter = AdapterSeen(
        uri="s3://b/job", digest="d", type="LoRA", rank=4, base_model="org/tiny", merged=True
    )
    code = snippets(adapter, "job")[engine] + "; print(sum(one.numel() for one in model.parameters()))"
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PYTHON"))}
    with hub_standin.serving(hub_standin.Hub({"org/tiny": trainer_tiny_model.folder()})) as endpoint:
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=folder, check=False, capture_output=True, text=True,
            env={**plain, "HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "hf")},
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0
