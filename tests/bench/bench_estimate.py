"""The memory estimate against what real training takes. Prints one JSON object as its last line.

Each configuration is a rank program of its own (`finetune_trainer.rank`, as in a pod): it loads, evaluates, trains two steps,
evaluates and puts the result together. What is measured is the peak of its resident memory, as the kernel counted it; what
stands against it is `estimate.memory` of the very same settings, told before.

    python tests/bench/bench_estimate.py [--only NAME ...] [--keep FILE] [--again FILE]

`--keep` writes the object to a file as well: docs/estimate.md is held to the committed one (tests/bench/estimate.json).
`--again` measures nothing: it estimates anew what was measured in that file.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))

import pyarrow as pa  # noqa: E402 - the path above
import pyarrow.parquet as pq  # noqa: E402 - same

import smollm2  # noqa: E402 - same
import trainer_runs  # noqa: E402 - same
import trainer_tiny_model  # noqa: E402 - same
from finetune_trainer import accelerator, config, inspection, prepared  # noqa: E402 - same
from finetune_trainer.estimate import memory, setting  # noqa: E402 - same
from finetune_trainer.task import Task  # noqa: E402 - same

HELD_OUT = 2
STEPS = 2


@dataclass(frozen=True, kw_only=True)
class Case:
    """One configuration."""

    model: str
    tuning: str
    length: int
    rows: int
    method: str = "SFT"
    training: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        more = "".join(f" {key} {value}" for key, value in self.training.items())
        method = "" if self.method == "SFT" else f" {self.method}"
        return f"{self.model} {self.tuning}{method} {self.rows} x {self.length}{more}"


SMOLLM, QWEN, TINY = "SmolLM2-135M", "Qwen3-like-120M", "tiny-0.5M"
QWEN_SIZES: dict[str, Any] = {
    "vocab_size": 16384, "hidden_size": 768, "intermediate_size": 2304, "num_hidden_layers": 14, "num_attention_heads": 12,
    "num_key_value_heads": 4, "head_dim": 64, "tie_word_embeddings": True, "bos_token_id": None, "eos_token_id": 2,
    "pad_token_id": 0,
}  # fmt: skip
CASES = (
    Case(model=SMOLLM, tuning="LoRA", length=256, rows=1),
    Case(model=SMOLLM, tuning="LoRA", length=1024, rows=1),
    Case(model=SMOLLM, tuning="LoRA", length=512, rows=4),
    Case(model=SMOLLM, tuning="LoRA", length=512, rows=4, training={"activationCheckpointing": "On"}),
    Case(model=SMOLLM, tuning="QLoRA", length=512, rows=2),
    Case(model=SMOLLM, tuning="Full", length=256, rows=2),
    Case(model=QWEN, tuning="LoRA", length=512, rows=2),
    Case(model=QWEN, tuning="LoRA", method="DPO", length=384, rows=1),
    Case(model=QWEN, tuning="Full", length=256, rows=1),
    Case(model=QWEN, tuning="Full", length=256, rows=1, training={"optimizer": "adamw_8bit"}),
    Case(model=TINY, tuning="LoRA", length=512, rows=4),
)


def folder(model: str, scratch: Path) -> Path:
    """The model as a Hugging Face folder."""
    if model == SMOLLM:
        return smollm2.folder()
    if model == TINY:
        return trainer_tiny_model.folder()
    into = scratch / "qwen"
    if not into.exists():
        into.mkdir()
        trainer_tiny_model.build_tokenizer(into)
        subprocess.run([sys.executable, __file__, "--build", str(into)], check=True)
    return into


def build(into: Path) -> None:
    """Random weights of a Qwen3 of 120 million, in a process of its own: torch must not sit in the bench's memory."""
    import torch  # noqa: PLC0415 - see above
    from transformers import Qwen3Config, Qwen3ForCausalLM  # noqa: PLC0415 - same

    torch.manual_seed(0)
    Qwen3ForCausalLM(Qwen3Config(**QWEN_SIZES)).to(torch.bfloat16).save_pretrained(into)


def run_of(case: Case) -> config.Run:
    """run.json of `case`."""
    training = {"maxSteps": STEPS, "maxLength": case.length, "learningRate": 1e-4, **case.training}
    return trainer_runs.run(
        method=case.method,
        tuning={"type": case.tuning, "lora": {"rank": 16}},
        training={**training, "globalBatchSize": case.rows, "microBatchSize": case.rows},
        evaluation={"samples": [], "maxNewTokens": 8},
        checkpoint={"everySteps": 1000},
    )


def estimated(case: Case, model: Path) -> memory.Memory:
    """What the trainer would say in Prepare."""
    run = run_of(case)
    found = inspection.architecture(model)
    said = setting.of(
        run,
        accelerator.arithmetic(run, accelerator.Machine()),
        targets=inspection.target_modules(run.tuning.lora.target_modules, found),
        rows=case.rows,
        share=case.rows,
        length=case.length,
        scored=case.length,
    )
    return memory.memory(found.shape, said)


def measured(case: Case, model: Path, scratch: Path) -> int:
    """Peak resident memory of the rank program (bytes)."""
    run, work = run_of(case), Path(tempfile.mkdtemp(dir=scratch))
    (work / "run.json").write_text(json.dumps(run.wire()))
    dataset(case, run, work / "dataset")
    task = Task(
        run=work / "run.json", attempt=1, dataset=work / "dataset", model=model,
        progress=work / "progress.json", work=work / "work",
    )  # fmt: skip
    environ = {
        **os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
        "HOME": str(work), "HF_HOME": str(work / "hf"), "TMPDIR": str(work), "CUDA_VISIBLE_DEVICES": "",
        "TOKENIZERS_PARALLELISM": "false",
    }  # fmt: skip
    command = [sys.executable, "-m", "finetune_trainer.rank", "--task", str(task.save())]
    log = (work / "log").open("w")
    child = subprocess.Popen(["nice", "-n", "5", *command], env=environ, stdout=log, stderr=subprocess.STDOUT)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"bench: {case.name} ended with {status}\n{(work / 'log').read_text()[-3000:]}")
    return usage.ru_maxrss * 1024


def dataset(case: Case, run: config.Run, into: Path) -> None:
    """Rows of the full length but for every second, which is shorter: a batch is padded, as real ones are."""
    into.mkdir()
    for name, count in ((prepared.TRAIN, case.rows * STEPS), (prepared.EVAL, HELD_OUT)):
        rows = [
            [3 + (row * 31 + place * 7) % 4000 for place in range(case.length - row % 2 * case.length // 8)]
            for row in range(count)
        ]
        pq.write_table(pa.table(columns(case, rows)), into / name)
    (into / prepared.SAMPLES).write_text("[]")
    facts = trainer_runs.prepare_by_hand(into.parent / "template")
    resolved = facts.resolved.model_copy(
        update={
            "total_steps": STEPS, "learning_rate": 1e-4, "global_batch_size": case.rows,
            "micro_batch_size": case.rows, "max_length": case.length,
        }
    )  # fmt: skip
    made = facts.model_copy(
        update={
            "rows": case.rows * STEPS,
            "eval_rows": HELD_OUT,
            "resolved": resolved,
            "longest": case.length,
        }
    )
    (into / prepared.DOCUMENT).write_text(made.model_dump_json(by_alias=True))


def columns(case: Case, rows: list[list[int]]) -> dict[str, Any]:
    """The columns of the method's table; everything is learned but the first four tokens of pairs."""
    if case.method == "SFT":
        said = {"input_ids": rows, "labels": rows}
    else:
        answers = [row[4:] for row in rows]
        said = {"prompt_ids": [row[:4] for row in rows], "chosen_ids": answers, "rejected_ids": answers}
    return {name: pa.array(values, pa.list_(pa.int32())) for name, values in said.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[], help="names of configurations, or parts of them")
    parser.add_argument("--keep", type=Path, help="write the object to this file too")
    parser.add_argument("--again", type=Path, help="take what was measured from this file")
    parser.add_argument("--build", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.build:
        build(given.build)
        return
    kept = json.loads(given.again.read_text())["rows"] if given.again else []
    known = {row["name"]: row["measured"] for row in kept}
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench-estimate-") as scratch:
        for case in CASES:
            if given.only and not any(part in case.name for part in given.only):
                continue
            if given.again and case.name not in known:
                continue
            model = folder(case.model, Path(scratch))
            told = estimated(case, model)
            took = known.get(case.name) or measured(case, model, Path(scratch))
            row = {
                "name": case.name, "estimated": told.total, "measured": took,
                "error": round(told.total / took - 1, 3), "moment": told.moment, "parts": told.parts,
            }  # fmt: skip
            print(f"bench: {json.dumps(row)}", file=sys.stderr, flush=True)
            rows.append(row)
    within = sum(abs(row["error"]) <= memory.ERROR for row in rows)
    found = {
        "configurations": len(rows),
        "within_20_percent": within,
        "largest_error": max(abs(row["error"]) for row in rows),
        "rows": rows,
    }
    if given.keep:
        given.keep.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
