"""The least that makes of a FineTuneJob what our operator makes of it: a side of bench_peer.py, and no operator.

ConfigMap and Jobs are those of the operator's own planning. It looks at no pod, tells nothing but the end, sends no Event, checks
nothing and would not survive a restart: in a burst, where CPU is what counts, an operator of these objects can hardly do better. It
waits for the end of each Job, which Kubernetes tells a second after the pod's; our operator goes on when the pod has ended.
"""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import aiohttp
from aiohttp import web
from bench_api import FINETUNEJOBS, ApiServer, send, watched
from bench_play import JOBS

from finetune_operator.observe.child import child
from finetune_operator.observe.job import JobSeen, job
from finetune_operator.plan.accept import Installed, accept, spec_of
from finetune_operator.plan.config_map import config_map
from finetune_operator.plan.prepare_job import prepare_job
from finetune_operator.plan.run_plan import RunPlan
from finetune_operator.plan.training_job import training_job

Work = Coroutine[Any, Any, None]
CONFIG_MAPS = "/api/v1/namespaces/{}/configmaps"
EVERYWHERE = "namespaces/{}/"
DIGEST = "sha256:" + "ab" * 32
"""Of rows that nobody prepares here."""


class Least:
    """Two watches, and a request for each thing to make."""

    def __init__(self, session: aiohttp.ClientSession, image: str) -> None:
        self._session, self._installed = session, Installed(trainer_image=image)
        self._plans: dict[str, tuple[JobSeen, RunPlan]] = {}
        self._done: set[str] = set()

    async def forever(self) -> None:
        """Follow FineTuneJobs and Jobs."""
        async with asyncio.TaskGroup() as work:

            async def follow(path: str, about: Callable[[dict[str, Any]], Work | None]) -> None:
                async for _, kind, found in watched(self._session, path.replace(EVERYWHERE, "")):
                    if kind != "DELETED" and (then := about(found)) is not None:
                        work.create_task(then)

            work.create_task(follow(FINETUNEJOBS, self._tune_job))
            work.create_task(follow(JOBS, self._job))

    def _tune_job(self, raw: dict[str, Any]) -> Work | None:
        """What is to be done about a FineTuneJob: the first time that it is told of."""
        seen = job(raw)
        if seen.uid in self._plans or seen.settled:
            return None
        self._plans[seen.uid] = seen, accept(seen, {}, self._installed, {})
        return self._prepare(*self._plans[seen.uid])

    def _job(self, raw: dict[str, Any]) -> Work | None:
        """What is to be done about a Job: the first time that it is complete."""
        made = child(raw)
        if (
            made is None
            or made.finished != "Complete"
            or made.uid in self._done
            or made.owner_uid not in self._plans
        ):
            return None
        self._done.add(made.uid)
        seen, plan = self._plans[made.owner_uid]
        return self._train(seen, plan) if made.stage == "Prepare" else self._end(seen)

    async def _prepare(self, seen: JobSeen, plan: RunPlan) -> None:
        path = CONFIG_MAPS.format(seen.namespace)
        await send(self._session, "POST", path, config_map(seen.owner, plan))
        made = prepare_job(seen.owner, plan, spec_of(seen).scheduling, 1)
        await send(self._session, "POST", JOBS.format(seen.namespace), made)

    async def _train(self, seen: JobSeen, plan: RunPlan) -> None:
        made = training_job(seen.owner, plan, spec_of(seen).scheduling, 1, prepared=DIGEST)
        await send(self._session, "POST", JOBS.format(seen.namespace), made)

    async def _end(self, seen: JobSeen) -> None:
        path = f"{FINETUNEJOBS.format(seen.namespace)}/{seen.name}/status"
        headers = {"Content-Type": "application/merge-patch+json"}
        body = json.dumps({"status": {"state": "Succeeded"}})
        async with self._session.patch(path, data=body, headers=headers) as answer:
            answer.raise_for_status()


async def _ready(_: web.Request) -> web.Response:
    return web.Response(text="ok")


@contextlib.asynccontextmanager
async def _served(port: int) -> AsyncIterator[None]:
    """`/readyz`, as the operator has it."""
    app = web.Application()
    app.router.add_get("/readyz", _ready)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield
    await runner.cleanup()


async def _main() -> None:
    async with (
        ApiServer(os.environ["KUBECONFIG"]).session(16) as session,
        _served(int(os.environ["FINETUNE_HTTP_PORT"])),
    ):
        await Least(session, os.environ["FINETUNE_TRAINER_IMAGE"]).forever()


if __name__ == "__main__":
    asyncio.run(_main())
