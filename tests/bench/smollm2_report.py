"""SmolLM2 on real text, from a YAML to its report: is the tuned model better than the base model on held-out rows?

    PYTHONPATH=tests/support python tests/bench/smollm2_report.py [--steps 24] [--answers 24] [--keep FOLDER]

The demo's job as `kubectl finetune run --local` runs it, on CPU; its answers are measured too. The last line is one JSON
object, and the exit code is 1 where loss or ROUGE-L of the tuned model is not better than the base model's.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

import docstrings
import smollm2

ROOT = Path(__file__).parents[2]
JOB = ROOT / "examples" / "demo" / "finetunejob.yaml"
TRAIN, HELD_OUT = 400, 40
SEED = 42
"""The demo's rows."""
FIGURES = ("loss", "perplexity", "rougeL")


def main() -> int:
    given = arguments()
    with tempfile.TemporaryDirectory(prefix="smollm2-report-") as folder:
        result = given.keep.absolute() if given.keep else Path(folder) / "result"
        began = time.monotonic()
        trained(Path(folder), result, steps=given.steps, answers=given.answers)
        evaluation = json.loads((result / "metrics.json").read_bytes())["evaluation"]
    base, tuned = (figures(evaluation[side]) for side in ("base", "tuned"))
    better = tuned["loss"] < base["loss"] and tuned["rougeL"] > base["rougeL"]
    print(
        json.dumps(
            {
                "base": base,
                "tuned": tuned,
                "better": better,
                "rows": evaluation["rows"],
                "answered": evaluation["answered"],
                "steps": given.steps,
                "seconds": round(time.monotonic() - began),
                "model": "SmolLM2-135M-Instruct",
                "cpus": len(os.sched_getaffinity(0)),
                "python": platform.python_version(),
            }
        )
    )
    return 0 if better else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=24, help="of four rows each (%(default)s)")
    parser.add_argument("--answers", type=int, default=24, help="held-out rows to answer (%(default)s)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave the result there, report.html too")
    return parser.parse_args()


def trained(folder: Path, result: Path, *, steps: int, answers: int) -> None:
    """Publish into `result`. Raises SystemExit with the exit code of a run that fails."""
    (folder / "models").mkdir()
    (folder / "models" / "SmolLM2-135M-Instruct").symlink_to(smollm2.folder())
    docstrings.write(folder / "text", train=TRAIN, held_out=HELD_OUT, seed=SEED)
    made = folder / "job.yaml"
    made.write_text(yaml.safe_dump(job(steps=steps, answers=answers)))
    command = [
        *(sys.executable, "-m", "kubectl_finetune", "run", "--local", str(made)),
        *("--dir", str(folder / "work"), "--to", str(result)),
        *("--claim", f"models={folder / 'models'}", "--claim", f"text={folder / 'text'}"),
    ]
    code = subprocess.run(command, check=False, env={**os.environ, "HF_HUB_OFFLINE": "1"}).returncode
    if code:
        raise SystemExit(code)


def job(*, steps: int, answers: int) -> dict[str, Any]:
    """The demo's, with model and text on claims, and answers to be measured."""
    made: dict[str, Any] = yaml.safe_load(JOB.read_text())
    spec = made["spec"]
    spec["model"] = {"uri": "pvc://models/SmolLM2-135M-Instruct"}
    for part, name in (("train", "train"), ("eval", "held-out")):
        spec["dataset"][part][0]["uri"] = f"pvc://text/{name}.jsonl"
    spec["training"]["maxSteps"] = steps
    spec["evaluation"] |= {
        "metrics": ["loss", "perplexity", "tokenAccuracy", "rouge"],
        "maxAnswers": answers,
        "everySteps": max(1, steps // 3),
    }
    return made


def figures(side: dict[str, Any]) -> dict[str, float]:
    """Of one side: nats per token, its exponential, and between 0 and 1."""
    return {name: round({**side, **side["other"]}[name], 4) for name in FIGURES}


if __name__ == "__main__":
    sys.exit(main())
