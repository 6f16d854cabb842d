"""What people write without us: a TRL script that reads JSONL and trains a LoRA adapter.

    accelerate launch bench_trainer_plain.py SETTINGS.json

The settings are `Settings` of bench_trainer_runs. With a clock where `clock` is set, and with an upload of every
checkpoint before the next step where there is a `bucket`.
"""

import json
import sys
from pathlib import Path
from typing import Any

import datasets
from peft import LoraConfig
from transformers import AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer


class Uploading(TrainerCallback):
    """Sends each checkpoint while training waits."""

    def __init__(self, bucket: dict[str, str]) -> None:
        import obstore  # noqa: PLC0415 - the library that ours sends with; only here
        from obstore.store import S3Store  # noqa: PLC0415 - same

        self._put = obstore.put
        self._store = S3Store(
            bucket["name"],
            endpoint=bucket["endpoint"],
            access_key_id=bucket["access"],
            secret_access_key=bucket["secret"],
            client_options={"allow_http": True},
        )

    def on_save(self, args: Any, state: Any, control: Any, **given: Any) -> None:  # noqa: ARG002 - transformers' hook
        """The checkpoint lies in its folder."""
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        for path in sorted(folder.iterdir()):
            self._put(self._store, f"plain/{folder.name}/{path.name}", path)


def main() -> None:
    said = json.loads(Path(sys.argv[1]).read_text())
    if said["clock"]:
        import bench_trainer_clock  # noqa: PLC0415 - only here

        bench_trainer_clock.install()
    rows = datasets.load_dataset("json", data_files=said["rows"], split="train", cache_dir=said["cache"])
    trainer = SFTTrainer(
        model=said["model"],
        processing_class=AutoTokenizer.from_pretrained(said["model"]),
        train_dataset=rows,
        peft_config=LoraConfig(
            r=said["rank"], lora_alpha=2 * said["rank"], target_modules="all-linear", task_type="CAUSAL_LM"
        ),
        args=SFTConfig(
            output_dir=said["output"],
            max_steps=said["steps"],
            per_device_train_batch_size=said["micro_batch"],
            gradient_accumulation_steps=said["batch"] // said["micro_batch"],
            learning_rate=said["learning_rate"],
            lr_scheduler_type="cosine",
            warmup_steps=0,
            max_length=said["max_length"],
            assistant_only_loss=True,
            seed=42,
            data_seed=42,
            use_cpu=True,
            bf16=False,
            activation_checkpointing=False,
            model_init_kwargs={"dtype": "float32"},
            logging_steps=1,
            disable_tqdm=True,
            report_to="none",
            save_strategy="steps" if said["save_every"] else "no",
            save_steps=said["save_every"] or said["steps"],
        ),
        callbacks=[Uploading(said["bucket"])] if said["bucket"] else [],
    )
    trainer.train()


if __name__ == "__main__":
    main()
