"""What `kubectl get ftj -A` said, and when: a line for each change."""

import json
import time
from typing import Any

import stories

Manifest = dict[str, Any]


class Timeline:
    """Jobs of some namespaces, looked at again and again."""

    def __init__(self, kube: Any, namespaces: list[str]) -> None:
        self._kube, self._namespaces = kube, namespaces
        self._began, self._said = time.monotonic(), {}
        self.lines: list[str] = []
        self.states: dict[str, list[str]] = {}

    def look(self) -> dict[str, Manifest]:
        """All jobs by name; what has changed is noted."""
        listed = json.loads(self._kube.kubectl("get", "ftj", "-A", "-o", "json"))["items"]
        jobs = {
            one["metadata"]["name"]: one for one in listed if one["metadata"]["namespace"] in self._namespaces
        }
        for name, job in jobs.items():
            status = job.get("status", {})
            said = (status.get("state", "Pending"), stories.says(job), len(status.get("attempts") or ()))
            if self._said.get(name) != said:
                self._said[name] = said
                self._note(name, job)
        return jobs

    def _note(self, name: str, job: Manifest) -> None:
        status = job.get("status", {})
        states = self.states.setdefault(name, [])
        if states[-1:] != [status.get("state", "Pending")]:
            states.append(status.get("state", "Pending"))
        wasted = status.get("usage", {}).get("wastedGpuSeconds", 0)
        self.lines.append(
            f"{time.monotonic() - self._began:6.1f} s  {name:10} {states[-1]:10} wasted {wasted:5.1f} GPU s  {stories.says(job)}"
        )

    def says(self, what: str) -> None:
        """What somebody did."""
        self.lines.append(f"{time.monotonic() - self._began:6.1f} s  -- {what}")

    def wait(self, name: str, holds: Any, what: str, *, seconds: float) -> Manifest:
        """That job, once it holds."""
        return stories.wait_until(
            lambda: self.look().get(name, {}), holds, what=f"{name} to {what}", seconds=seconds
        )

    def show(self) -> None:
        """Print it, and the table that a person sees."""
        print("\n".join(self.lines))
        print(self._kube.kubectl("get", "ftj", "-A"))
