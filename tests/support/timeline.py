"""What `kubectl get ftj -A` said, and when: a line for each change, printed as it comes (`pytest -rP`: of tests that pass, too)."""

import json
import time
from collections.abc import Callable
from typing import Any

import stories

Manifest = dict[str, Any]


class Timeline:
    """Jobs of some namespaces, looked at again and again."""

    def __init__(self, kube: Any, *namespaces: str) -> None:
        self._kube, self._namespaces = kube, namespaces
        self._began = time.monotonic()
        self._said: dict[str, tuple[Any, ...]] = {}
        self.states: dict[str, list[str]] = {}
        """Each job's states, in the order in which they were seen."""

    def look(self) -> dict[str, Manifest]:
        """All jobs by name; what has changed is told."""
        listed = json.loads(self._kube.kubectl("get", "ftj", "-A", "-o", "json"))["items"]
        jobs = {
            one["metadata"]["name"]: one for one in listed if one["metadata"]["namespace"] in self._namespaces
        }
        for name, job in jobs.items():
            self._compare(name, job)
        return jobs

    def wait(self, name: str, holds: Callable[[Manifest], bool], what: str, *, seconds: float) -> Manifest:
        """That job, once it holds."""
        return stories.wait_until(
            lambda: self.look().get(name, {}), holds, what=f"{name} to {what}", seconds=seconds
        )

    def says(self, what: str) -> None:
        """What somebody did, or what a person sees."""
        print(f"{time.monotonic() - self._began:6.1f} s  {what}")

    def _compare(self, name: str, job: Manifest) -> None:
        status = job.get("status", {})
        state, attempts = status.get("state", "Pending"), status.get("attempts") or []
        outcomes = [one.get("outcome") for one in attempts]
        step = status.get("checkpoint", {}).get("step")
        now = (state, stories.says(job), step, outcomes)
        before = self._said.get(name)
        if before == now:
            return
        self._said[name] = now
        seen = self.states.setdefault(name, [])
        if seen[-1:] != [state]:
            seen.append(state)
        saved = f"checkpoint {step}, " if step else ""
        self.says(f"{name:13} {state:10} {saved}{stories.says(job)}")
        for one, old in zip(
            attempts, [*(before[3] if before else ()), *[None] * len(attempts)], strict=False
        ):
            if one.get("outcome") not in {old, "Running"}:
                self.says(
                    f"{name:13} {one['stage']} attempt {one['number']} on {one.get('nodes') or one.get('node')}: "
                    f"{one['outcome']} {one.get('reason', '')}; wasted {status.get('usage', {}).get('wastedGpuSeconds', 0)} GPU s"
                )
