"""What to type to serve what was published. Every value is quoted: they end in somebody's shell."""

import json
import shlex

from finetune_operator.api.status import AdapterSeen

MAX_SNIPPET = 1024  # the field's bound
VLLM_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM takes as --max-lora-rank (its LoRAConfig); anything else ends its start."""


def snippets(adapter: AdapterSeen, name: str) -> dict[str, str]:
    """Download, vLLM, a request to it, and Python; what would not work or not fit is left out."""
    here = f"./{name}"
    question = json.dumps({"model": name, "messages": [{"role": "user", "content": "Hello"}]})
    found = {"vllm": _vllm(adapter, name)}
    if found["vllm"]:
        found["curl"] = (
            "curl http://localhost:8000/v1/chat/completions -H 'Content-Type: application/json' "
            f"-d {shlex.quote(question)}"
        )
    if adapter.type != "Full" and _on_hub(adapter):
        found["peft"] = _python("peft", "AutoPeftModelForCausalLM", here)
    if whole := _whole(adapter, here):
        found["transformers"] = _python("transformers", "AutoModelForCausalLM", whole)
    if adapter.uri.startswith("s3://"):
        found["download"] = f"aws s3 cp --recursive {shlex.quote(adapter.uri)} {shlex.quote(here)}"
    return {engine: text for engine, text in found.items() if text and len(text) <= MAX_SNIPPET}


def _vllm(adapter: AdapterSeen, name: str) -> str:
    """The adapter over its base where vLLM can do that, else whole weights where there are some; empty where neither is."""
    if whole := _whole(adapter, f"./{name}"):
        served = f"vllm serve {shlex.quote(whole)} --served-model-name {shlex.quote(name)}"
    else:
        served = ""
    rank = next((one for one in VLLM_RANKS if one >= (adapter.rank or 1)), None)
    if adapter.type == "Full" or adapter.beyond or rank is None or not _on_hub(adapter):
        return served
    base, module = shlex.quote(adapter.base_model or ""), shlex.quote(f"{name}=./{name}")
    return f"vllm serve {base} --enable-lora --max-lora-rank {rank} --lora-modules {module}"


def _whole(adapter: AdapterSeen, here: str) -> str | None:
    """Where whole weights lie, if any."""
    if adapter.type == "Full":
        return here
    return f"{here}/merged" if adapter.merged else None


def _on_hub(adapter: AdapterSeen) -> bool:
    """Whether the base model has a name that others can load it by; one that lies in a bucket or on a claim has none."""
    return bool(adapter.base_model) and "://" not in (adapter.base_model or "")


def _python(package: str, loader: str, where: str) -> str:
    return f"from {package} import {loader}; model = {loader}.from_pretrained({json.dumps(where)})"
