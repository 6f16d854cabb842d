"""What to type to serve an adapter. Every value is quoted: they end in somebody's shell."""

import json
import shlex

from finetune_operator.api.status import AdapterSeen

MAX_SNIPPET = 1024  # the field's bound


def snippets(adapter: AdapterSeen, name: str) -> dict[str, str]:
    """Download, vLLM, a request to it, and PEFT; what would not fit is left out."""
    if adapter.type == "Full" or not adapter.base_model:
        return {}
    here, base = shlex.quote(f"./{name}"), shlex.quote(adapter.base_model)
    question = json.dumps({"model": name, "messages": [{"role": "user", "content": "Hello"}]})
    rank = f" --max-lora-rank {adapter.rank}" if adapter.rank else ""
    found = {
        "vllm": f"vllm serve {base} --enable-lora{rank} --lora-modules {shlex.quote(f'{name}=./{name}')}",
        "curl": f"curl http://localhost:8000/v1/chat/completions -H 'Content-Type: application/json' -d {shlex.quote(question)}",
        "peft": (
            "from peft import AutoPeftModelForCausalLM; "
            f"model = AutoPeftModelForCausalLM.from_pretrained({json.dumps(f'./{name}')})"
        ),
    }
    if adapter.uri.startswith("s3://"):
        found["download"] = f"aws s3 cp --recursive {shlex.quote(adapter.uri)} {here}"
    return {engine: text for engine, text in found.items() if len(text) <= MAX_SNIPPET}
