"""Mean held-out loss of an answer's token, by transformers and peft alone.

python bench_quality_judge.py MODEL ADAPTER HELD_OUT.jsonl      ADAPTER "": the base model
"""

import json
import sys
from pathlib import Path

import peft
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def main() -> None:
    base, adapter, held_out = sys.argv[1:]
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if adapter:
        model = peft.PeftModel.from_pretrained(model, adapter)
    model.eval()
    losses: list[torch.Tensor] = []
    for line in Path(held_out).read_text().splitlines():
        encoded = tokenizer.apply_chat_template(
            json.loads(line)["messages"],
            return_dict=True,
            return_assistant_tokens_mask=True,
            return_tensors="pt",
        )
        ids = encoded["input_ids"]
        mask = torch.as_tensor(encoded["assistant_masks"]).reshape(-1)[1:].bool()
        with torch.inference_mode():
            logits = model(input_ids=ids).logits[0, :-1]
        losses.append(torch.nn.functional.cross_entropy(logits[mask], ids[0, 1:][mask], reduction="none"))
    print(torch.cat(losses).mean().item())


if __name__ == "__main__":
    main()
