"""TRL's side of `bench_data`: what `SFTTrainer` does to a dataset before it trains, told as one line of JSON.

    python bench_data_trl.py ROWS.jsonl MODEL FOLDER PROCESSES

The rows are in Arrow before the clock starts: parsing JSON is not counted here. The trainer's own method is called with the few
things that it reads from the trainer, so that no model has to be loaded.
"""

import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import trl
from bench_data_memory import cpu_seconds
from transformers import AutoTokenizer


def main() -> None:
    rows, model, folder, processes = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    datasets.disable_progress_bars()
    tokenizer = AutoTokenizer.from_pretrained(model)
    read = datasets.load_dataset("json", data_files=str(rows), split="train", cache_dir=str(folder / "cache"))
    settings = trl.SFTConfig(
        output_dir=str(folder / "out"), use_cpu=True, bf16=False, report_to=[], max_length=1024,
        assistant_only_loss=True, dataset_num_proc=processes,
    )  # fmt: skip
    trainer = SimpleNamespace(_tokenizer=tokenizer, chat_template=None, completion_only_loss=False)
    began, worked = time.monotonic(), cpu_seconds()
    made = trl.SFTTrainer._prepare_dataset(
        trainer, read, tokenizer, settings, packing=False, formatting_func=None, dataset_name="train"
    )
    seconds, work = time.monotonic() - began, cpu_seconds() - worked
    table = folder / "train.parquet"
    ids = pa.list_(pa.int32())  # as ours
    pq.write_table(
        made.select_columns(["input_ids", "labels"])
        .with_format("arrow")[:]
        .cast(pa.schema([("input_ids", ids), ("labels", ids)])),
        table,
    )
    print(json.dumps({"seconds": seconds, "cpu": work, "rows": len(made), "table": str(table)}))


if __name__ == "__main__":
    main()
