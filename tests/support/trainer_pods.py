"""Training pods with stand-ins for their ranks (trainer_fake_rank): started, asked, and seen to their end."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trainer_runs
from finetune_trainer import base_model, config, failpoints, outcome, process_tree
from finetune_trainer.layout import Layout

SUPPORT = Path(__file__).parent


@dataclass
class Pod:
    """One attempt under way."""

    process: subprocess.Popen[bytes]
    layout: Layout

    def wait_for(self, path: Path, seconds: float = 120.0) -> Path:
        deadline = time.monotonic() + seconds
        while not path.exists():
            assert self.process.poll() is None, "ended too early"
            assert time.monotonic() < deadline, f"{path.name} never came"
            time.sleep(0.05)
        return path

    def rank_is_training(self, ranks: int = 1) -> None:
        for rank in range(ranks):
            self.wait_for(self.layout.scratch / f"ranks/pid-{rank}")
        time.sleep(0.5)

    def ask(self, path: str) -> Any:
        port = self.wait_for(self.layout.state / "port").read_text()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.read()

    def sigterm(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def ended(self, seconds: float = 120.0) -> tuple[int, dict[str, Any]]:
        """Exit code and last word."""
        code = self.process.wait(timeout=seconds)
        raw = self.layout.termination_log.read_bytes()
        assert len(raw) <= 4096
        word = json.loads(raw)
        assert {"version", "stage", "reason", "message"} <= word.keys()
        return code, word

    def starts(self) -> list[str]:
        """What each start of the ranks was told."""
        return (self.layout.scratch / "starts").read_text().splitlines()

    def survivors(self) -> list[str]:
        """Processes of the gang and of trackers' stand-ins that are still there."""
        places = ((self.layout.scratch / "ranks").glob("pid-*"), self.layout.state.glob("trackers/*/pid*"))
        pids = [path.read_text() for place in places for path in place]
        assert pids
        return [pid for pid in pids if Path(f"/proc/{pid}").exists()]

    def kept(self) -> list[str]:
        """What lies in the work area, but for the dataset."""
        area = self.layout.claims / "output/tiny/.finetune" / trainer_runs.JOB["uid"]
        found = [path.relative_to(area).as_posix() for path in area.rglob("*") if path.is_file()]
        return sorted(path for path in found if not path.startswith("dataset/"))


@contextlib.contextmanager
def starting(tmp_path: Path) -> Iterator[Callable[..., Pod]]:
    """What starts an attempt whose ranks behave as told."""
    started: list[Pod] = []

    def start(
        behaviour: str,
        *,
        attempt: int = 1,
        fault: dict[str, Any] | None = None,
        secrets: dict[str, dict[str, str]] | None = None,
        tracker: str | None = None,
        tracker_seconds: float | None = None,
        **changes: Any,
    ) -> Pod:
        """`secrets`: by name; `tracker`: the program that stands in for trackers; `changes` of run.json.

        `tracker_seconds`: how long their end is waited for.
        """
        root = tmp_path / "pod"
        layout = Layout.under(root)
        if root.exists():  # another pod has a scratch disk of its own
            shutil.rmtree(layout.scratch)
            layout.termination_log.unlink(missing_ok=True)
        else:
            layout = trainer_runs.pod(root, job={"name": behaviour}, **changes)
        for name, keys in (secrets or {}).items():
            (layout.credentials / name).mkdir(parents=True)
            for key, value in keys.items():
                (layout.credentials / name / key).write_text(value)
        run = config.load(layout.run)
        ready = trainer_runs.prepare_by_hand(
            tmp_path / f"made-{attempt}", facts=base_model.locate(run, layout).facts
        )
        ready.save(outcome.work_area(run, layout), tmp_path / f"made-{attempt}")
        command = [
            *(sys.executable, "-m", "trainer_pid1"),
            *("train", "--run", str(layout.run), "--attempt", str(attempt), "--prepared", ready.digest),
            *("--layout-root", str(root), "--port", "0"),
        ]
        armed = {failpoints.VARIABLE: json.dumps([fault])} if fault else {}
        fake = {"FAKE_TRACKER": tracker} if tracker else {}
        fake |= {"TRACKERS_SECONDS": str(tracker_seconds)} if tracker_seconds else {}
        environment = {**os.environ, "PYTHONPATH": str(SUPPORT), **armed, **fake}
        started.append(Pod(subprocess.Popen(command, env=environment), layout))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            process_tree.kill_below(
                one.process.pid
            )  # ranks have a session of their own, and would outlive it
        one.process.kill()
        one.process.wait()
