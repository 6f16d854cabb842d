"""A fake cluster with operators in it, for stories that are told in a second."""

import asyncio
import contextlib
import time

from kubernetes.aio import client

import fake_kubelet
import kube_objects
from finetune_operator.handlers.serve import Operator
from finetune_operator.settings import Settings

FAST = {
    "trainer_image": "registry/finetune-trainer:1",
    "leader_election": False,
    "http_port": 0,
    "start_grace": 0.3,
    "retry_base": 0.05,
    "retry_cap": 0.2,
    "progress_interval": 0.2,
    "resync_interval": 30,
    "api_timeout": 2,
}


class Lab:
    """A fake cluster and operators in it."""

    def __init__(self, server):
        self.server = server
        self.kubelet = fake_kubelet.FakeKubelet(server)
        self.operators = {}

    def create(self, name="support-bot", namespace="team-a", **spec):
        body = kube_objects.fine_tune_job(name, namespace, **spec)
        for field in ("uid", "resourceVersion", "generation", "creationTimestamp"):
            body["metadata"].pop(field)
        body.pop("status")
        return self.server.put("finetunejobs", body)

    async def start(self, *, port=1, **settings):
        """An operator; pods' `/progress` is asked on `port`."""
        configuration = client.Configuration(host=self.server.url)
        operator = Operator(Settings(**{**FAST, **settings}), configuration, "test", progress_port=port)
        self.operators[operator] = asyncio.create_task(operator.run())
        await until(lambda: operator.primed.is_set() or self.operators[operator].done())
        return operator

    async def stop(self, operator):
        operator.stop.set()
        return await self.operators.pop(operator)

    async def kill(self, operator):
        """As SIGKILL would: nothing is said good-bye to."""
        task = self.operators.pop(operator)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    def status(self, name="support-bot", namespace="team-a"):
        return self.server.get("finetunejobs", name, namespace)["status"]

    def condition(self, kind, name="support-bot"):
        return next((one for one in self.status(name).get("conditions", []) if one["type"] == kind), {})

    async def settled(self, name="support-bot", seconds=10):
        await until(lambda: self.condition("Succeeded", name).get("status") in {"True", "False"}, seconds)
        return self.status(name)

    def jobs(self, stage=None):
        found = [one["metadata"]["labels"] for one in self.server.all("jobs")]
        return sorted(
            f"{one['finetune.dev/stage']}-{one['finetune.dev/attempt']}"
            for one in found
            if stage in {None, one["finetune.dev/stage"]}
        )


async def until(holds, seconds=10):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.01)
