"""Prepare against TRL's own dataset preparation: rows per second, and how memory grows with the number of rows.

    PYTHONPATH=tests/support python tests/bench/bench_data.py [--rows 50000] [--large 1000000] [--processes 2] [--repeats 3]

Both sides get the same rows, the same tokenizer and the same number of worker processes, and take turns. Their token ids and
masks are held against each other. The last line is one JSON object.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bench_data_rows
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from bench_data_memory import Memory

import smollm2
import trainer_tiny_model

HERE = Path(__file__).parent
SUPPORT = HERE.parent / "support"
TENTH = 10
"""The smaller of the two runs whose memory is compared has a tenth of the rows."""
MARKED = (
    "{%- for message in messages -%}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{%- if message['role'] == 'assistant' -%}{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{%- else -%}{{ message['content'] + '<|im_end|>' }}{%- endif -%}{{ '\\n' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}"
)
"""The tiny model's template with the marks that TRL needs."""


def main() -> None:
    given = arguments()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        bench = Bench(Path(folder), processes=given.processes, tiny=given.tiny)
        print(
            json.dumps(
                {**bench.compared(given.rows, given.repeats), **bench.grown(given.large), **bench.told()}
            )
        )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--rows", type=int, default=50_000, help="rows of the comparison; 0: none (%(default)s)"
    )
    parser.add_argument(
        "--large", type=int, default=1_000_000, help="rows of the large run; 0: none (%(default)s)"
    )
    parser.add_argument(
        "--processes", type=int, default=2, help="worker processes of either side (%(default)s)"
    )
    parser.add_argument("--repeats", type=int, default=3, help="rounds of the comparison (%(default)s)")
    parser.add_argument("--tiny", action="store_true", help="the tiny test tokenizer instead of SmolLM2's")
    parser.add_argument("--folder", type=Path, help="where to work: 6 GB for a million rows")
    return parser.parse_args()


class Bench:
    """One folder of rows and runs."""

    def __init__(self, folder: Path, *, processes: int, tiny: bool) -> None:
        self.folder = folder
        self.processes = processes
        self.tiny = tiny
        self.model = folder / "model"
        self.model.mkdir()
        source = trainer_tiny_model.folder() if tiny else smollm2.folder()
        for file in source.iterdir():
            if file.suffix != ".safetensors":
                shutil.copy(file, self.model)
        (self.model / "model.safetensors").touch()  # neither side reads weights, but ours wants to see them
        if tiny:
            (self.model / "chat_template.jinja").write_text(MARKED)

    def rows(self, count: int) -> Path:
        """A file of `count` rows."""
        path = self.folder / f"{count}.jsonl"
        if not path.exists():
            size = bench_data_rows.write(path, count)
            say(f"{count} rows, {size / 2**20:.0f} MiB")
        return path

    def compared(self, count: int, repeats: int) -> dict[str, Any]:
        """Rows per second of both sides, by turns."""
        if not count:
            return {}
        rows = self.rows(count)
        speeds: dict[str, list[float]] = {"ours": [], "trl": []}
        cpu: dict[str, list[float]] = {"ours": [], "trl": []}
        for round_ in range(repeats):
            tables = {}
            for side in ("trl", "ours") if round_ % 2 else ("ours", "trl"):
                with self.run(side, rows) as done:
                    speeds[side].append(done["rows"] / done["seconds"])
                    cpu[side].append(done["rows"] / done["cpu"])
                    tables[side] = pq.read_table(done["table"])
                say(f"{side}: {speeds[side][-1]:.0f} rows/s, {cpu[side][-1]:.0f} rows per second of CPU time")
            identical(tables["ours"], tables["trl"])
        ratios = [ours / theirs for ours, theirs in zip(speeds["ours"], speeds["trl"], strict=True)]
        return {
            "prepare_ratio": round(statistics.median(ratios), 2),
            "prepare_ratios": [round(ratio, 2) for ratio in ratios],
            "prepare_cpu_ratio": round(statistics.median(cpu["ours"]) / statistics.median(cpu["trl"]), 2),
            "rows_per_second": round(statistics.median(speeds["ours"])),
            "rows_per_second_trl": round(statistics.median(speeds["trl"])),
            "rows_per_cpu_second": round(statistics.median(cpu["ours"])),
            "rows_per_cpu_second_trl": round(statistics.median(cpu["trl"])),
            "rows": count,
            "identical": True,
        }

    def grown(self, large: int) -> dict[str, Any]:
        """Memory of all processes of Prepare, at `large` rows and at a tenth of them."""
        if not large:
            return {}
        peaks, seconds = [], []
        for count in (large // TENTH, large):
            memory = Memory()
            with self.run("ours", self.rows(count), memory) as done:
                peaks.append(memory.peak)
                seconds.append(done["seconds"])
            say(f"{count} rows: {peaks[-1]} in {seconds[-1]:.0f} s")
        small, big = peaks
        return {
            "prepare_rss_growth": round(big.rss / small.rss, 3),
            "rss_mib": round(big.rss / 2**20),
            "rss_mib_at_a_tenth": round(small.rss / 2**20),
            "pss_mib": round(big.pss / 2**20),
            "pss_mib_at_a_tenth": round(small.pss / 2**20),
            "large_rows": large,
            "large_seconds": round(seconds[1], 1),
            "large_rows_per_second": round(large / seconds[1]),
        }

    def told(self) -> dict[str, Any]:
        """What these figures were measured on."""
        return {
            "processes": self.processes,
            "tokenizer": "tiny" if self.tiny else "SmolLM2-135M-Instruct",
            "cpus": len(os.sched_getaffinity(0)),
            "load": round(os.getloadavg()[0], 1),
            "python": platform.python_version(),
        }

    @contextmanager
    def run(self, side: str, rows: Path, memory: "Memory | None" = None) -> Iterator[dict[str, Any]]:
        """Run one side in a process of its own; what it told."""
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=side) as folder:
            script = HERE / f"bench_data_{side}.py"
            command = [sys.executable, str(script), str(rows), str(self.model), folder, str(self.processes)]
            environment = {
                **os.environ, "PYTHONPATH": f"{SUPPORT}:{HERE}", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false",
                "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HOME": f"{folder}/hf",
            }  # fmt: skip
            with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
                if memory:
                    threading.Thread(target=memory.watch, args=[process.pid], daemon=True).start()
                told, _ = process.communicate()
            if process.returncode:
                raise SystemExit(f"{side} ended with code {process.returncode}")
            yield json.loads(told.splitlines()[-1])


def identical(ours: pa.Table, theirs: pa.Table) -> None:
    """Every row has the same token ids and the same labels."""
    assert ours.num_rows == theirs.num_rows
    for name in ("input_ids", "labels"):
        for part in (pc.list_value_length, pc.list_flatten):
            one, other = (part(table[name]).to_numpy() for table in (ours, theirs))
            assert len(one) == len(other), f"{name}: {len(one)} and {len(other)}"
            different = np.flatnonzero(one != other)
            assert not len(different), (
                f"{name}: {len(different)} of {len(one)} differ, the first at {different[0]}"
            )


def say(sentence: str) -> None:
    """Between the figures."""
    print(f"{time.strftime('%H:%M:%S')} {sentence}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
