"""Scheduler, Job controller and kubelet of the fake API server: Jobs get a pod, and the pod ends as the script says."""

import asyncio
import itertools
from dataclasses import dataclass
from datetime import UTC, datetime

import kube_objects


@dataclass
class Ends:
    """How a pod ends. `after`: seconds it runs; None: until it is told to stop."""

    exit_code: int = 0
    word: dict | None = None
    after: float | None = 0.02
    message: str | None = None


HAPPY = {"prepare": Ends(0, kube_objects.prepared()), "train": Ends(0, kube_objects.published())}


def happy(stage, attempt):
    return HAPPY[stage]


class FakeKubelet:
    """`script(stage, attempt)` gives Ends, or a dict that is the pod's status for ever."""

    def __init__(self, server, script=happy):
        self.server, self.script = server, script
        self.tasks = set()
        self.made = itertools.count()
        self.most_live_training = 0
        server.listeners.append(self._on)

    async def stop(self):
        self.server.listeners.remove(self._on)
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def _on(self, plural, event, one):
        if plural == "jobs" and event == "ADDED":
            self._count()
            self.run(one)
        elif plural == "pods" and event == "MODIFIED" and "deletionTimestamp" in one["metadata"]:
            self._spawn(self._end(one))

    def run(self, job):
        """Make the pod of a Job."""
        self._spawn(self._run(job))

    def _count(self):
        """Training Jobs that are not over: the promise is at most one a FineTuneJob."""
        live = {}
        for job in self.server.all("jobs"):
            labels = job["metadata"]["labels"]
            over = job.get("status", {}).get("conditions")
            if labels["finetune.dev/stage"] == "train" and not over:
                live[labels["finetune.dev/job-uid"]] = live.get(labels["finetune.dev/job-uid"], 0) + 1
        self.most_live_training = max(self.most_live_training, *live.values(), 0)

    def _spawn(self, work):
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _run(self, job):
        metadata = job["metadata"]
        labels = metadata["labels"]
        if job["spec"].get("suspend"):
            return
        end = self.script(labels["finetune.dev/stage"], int(labels["finetune.dev/attempt"]))
        name, uid = f"{metadata['name']}-0-{next(self.made)}", f"{metadata['uid']}-pod-{next(self.made)}"
        pod = kube_objects.pod(job, name=name, uid=uid, created=now())
        pod["metadata"].pop("resourceVersion")
        if isinstance(end, dict):
            pod["status"] = end
            self.server.put("pods", pod)
            return
        pod["status"] = {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "True"}]}
        self.server.put("pods", pod)
        await asyncio.sleep(0.005)
        self._set(pod, kube_objects.pod_status(running=True, started=now()))
        if end.after is None:
            return
        await asyncio.sleep(end.after)
        if self._gone(pod):
            return
        self._set(
            pod,
            kube_objects.pod_status(
                exit_code=end.exit_code, word=end.word, message=end.message, started=now(), ended=now()
            ),
        )
        await asyncio.sleep(0.01)
        done = (
            kube_objects.ended("Complete")
            if end.exit_code == 0
            else kube_objects.ended("Failed", "BackoffLimitExceeded")
        )
        self.server.change(
            "jobs", metadata["name"], lambda one: one.update(status=done), metadata["namespace"]
        )

    def _gone(self, pod):
        found = self.server.get("pods", pod["metadata"]["name"], pod["metadata"]["namespace"])
        return found is None or "deletionTimestamp" in found["metadata"]

    def _set(self, pod, status):
        metadata = pod["metadata"]
        self.server.change(
            "pods", metadata["name"], lambda one: one.update(status=status), metadata["namespace"]
        )

    async def _end(self, pod):
        """SIGTERM: a checkpoint, exit 75, and the object goes."""
        metadata = pod["metadata"]
        await asyncio.sleep(0.02)
        word = kube_objects.word("Train", "Interrupted", "checkpoint saved at step 120")
        self._set(pod, kube_objects.pod_status(exit_code=75, word=word, started=now(), ended=now()))
        await asyncio.sleep(0.02)
        self.server.remove("pods", metadata["name"], metadata["namespace"])


def now():
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
