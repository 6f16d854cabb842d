"""Carrying out a decision, and looking at what it asks for. Whatever the API server answers goes into the caches at once."""

import contextlib
import logging
from dataclasses import replace

from finetune_operator import errors, names
from finetune_operator.cluster import api
from finetune_operator.cluster.api import Api, Object
from finetune_operator.observe.child import child, controller
from finetune_operator.observe.job import JobSeen, OtherSeen, other
from finetune_operator.observe.pod import pod
from finetune_operator.plan.config_map import run_plan
from finetune_operator.plan.run_plan import RunPlan
from finetune_operator.reconcile.caches import Caches
from finetune_operator.reconcile.warnings import Warnings
from finetune_operator.reconcile.world import (
    Action,
    CreateJob,
    CreateRun,
    CreateService,
    DeleteJob,
    ExpireChildren,
    Look,
    World,
)

LOG = logging.getLogger(__name__)
LONGEST_CHAIN = 32
"""FineTuneJobs that are looked at when one waits for another, which waits for another; enough to see a circle."""


class Actions:
    """The hands of the loop."""

    def __init__(self, cluster: Api, caches: Caches) -> None:
        self._api, self._caches = cluster, caches
        self._warnings = Warnings(cluster)

    async def look(self, world: World, what: Look) -> World:
        """`world` with what was asked for."""
        match what:
            case "children":
                return await self._children(world)
            case "run":
                return await self._run(world)
            case "events":
                return await self._events(world)
            case "others":
                return await self._others(world)

    async def _children(self, world: World) -> World:
        """A live list of the job's children."""
        job = world.job
        labels = names.of_job(job.uid)
        jobs: list[Object] = []
        pods: list[Object] = []
        version = 0
        async for page in self._api.list(api.JOBS, namespace=job.namespace, labels=labels):
            jobs += page.items
            version = page.version
        async for page in self._api.list(api.PODS, namespace=job.namespace, labels=labels):
            pods += page.items
        children = [seen for seen in map(child, jobs) if seen is not None and seen.owner_uid == job.uid]
        self._caches.replace_of(
            job.uid, children, [seen for seen in map(pod, pods) if seen is not None], version=version
        )
        return replace(with_children(world, self._caches), confirmed=True)

    async def _run(self, world: World) -> World:
        """The resolved run, from its ConfigMap."""
        job = world.job
        try:
            raw = await self._api.get(api.CONFIG_MAPS, job.namespace, names.run(job.owner))
        except errors.NotFound:
            return replace(world, run=None, run_missing=True, run_looked=True)
        return replace(self._with_run(world, _owned_plan(job, raw)), run_looked=True)

    async def _events(self, world: World) -> World:
        """Warnings about the job's unfinished children and their pods."""
        job = world.job
        about = [one.uid for one in world.children if not one.finished] + [
            one.uid for one in world.pods if not one.ended
        ]
        return replace(world, events=await self._warnings.about(job.namespace, about))

    async def _others(self, world: World) -> World:
        """The FineTuneJobs that this one refers to, and those that they wait for, as they are now."""
        found: dict[str, OtherSeen] = {}
        asked, wanted = {world.job.name}, [*world.job.goes_on_from]
        while wanted and len(asked) <= LONGEST_CHAIN:
            name = wanted.pop(0)
            if name in asked:
                continue
            asked.add(name)
            with contextlib.suppress(errors.NotFound):
                found[name] = other(await self._api.get(api.TUNE_JOBS, world.job.namespace, name))
                wanted += found[name].goes_on_from
        return replace(world, others=found)

    async def act(self, world: World, actions: tuple[Action, ...]) -> World:
        """Carry them out, in order."""
        for action in actions:
            match action:
                case CreateRun(manifest):
                    world = self._with_run(world, await self._create_run(world.job, manifest))
                case CreateService(manifest):
                    await self._create_service(world.job, manifest)
                case CreateJob(manifest):
                    await self._create_job(world.job, manifest)
                case DeleteJob(name, uid):
                    await self._api.delete(api.JOBS, world.job.namespace, name, uid=uid)
                case ExpireChildren(at):
                    await self._expire(world, at)
        return with_children(world, self._caches)

    async def _create_run(self, job: JobSeen, manifest: Object) -> RunPlan:
        """The plan that is written down: ours, or the one that was written before a restart."""
        name = manifest["metadata"]["name"]
        try:
            return run_plan(await self._api.create(api.CONFIG_MAPS, job.namespace, manifest))
        except errors.AlreadyExists:
            return _owned_plan(job, await self._api.get(api.CONFIG_MAPS, job.namespace, name))

    async def _create_job(self, job: JobSeen, manifest: Object) -> None:
        """The attempt's Job; one that is there already and ours is as good."""
        name = manifest["metadata"]["name"]
        try:
            raw = await self._api.create(api.JOBS, job.namespace, manifest)
        except errors.AlreadyExists:
            raw = await self._api.get(api.JOBS, job.namespace, name)
        seen = child(raw)
        if seen is None or seen.owner_uid != job.uid:
            raise _taken("Job", name)
        self._caches.put_child(seen)

    async def _create_service(self, job: JobSeen, manifest: Object) -> None:
        """The gang's Service; the one of an earlier attempt is as good."""
        name = manifest["metadata"]["name"]
        try:
            await self._api.create(api.SERVICES, job.namespace, manifest)
        except errors.AlreadyExists:
            if controller(await self._api.get(api.SERVICES, job.namespace, name), names.KIND) != job.uid:
                raise _taken("Service", name) from None

    async def _expire(self, world: World, at: float | None) -> None:
        """Kubernetes counts from the end of each Job, the author from the end of the FineTuneJob.

        That they cannot be marked must not keep a job from its end: they go with the FineTuneJob then.
        """
        job = world.job
        async for page in self._api.list(api.JOBS, namespace=job.namespace, labels=names.of_job(job.uid)):
            for seen in map(child, page.items):
                if seen is None or seen.owner_uid != job.uid or seen.deleting:
                    continue
                ended = seen.finished_at if seen.finished_at is not None else world.now
                seconds = None if at is None else max(0, round(at - ended))
                body = {"spec": {"ttlSecondsAfterFinished": seconds}}
                try:
                    await self._api.patch(api.JOBS, job.namespace, seen.name, body)
                except errors.NotFound:
                    continue
                except errors.Denied as error:
                    LOG.warning("children cannot expire", extra={"job": str(job.key), "error": str(error)})
                    return

    def _with_run(self, world: World, plan: RunPlan) -> World:
        self._caches.runs[world.job.uid] = plan
        return replace(world, run=plan, run_missing=False)


def with_children(world: World, caches: Caches) -> World:
    """`world` with what the caches now hold of the job."""
    uid = world.job.uid
    return replace(
        world,
        children=tuple(caches.children.get(uid, {}).values()),
        pods=tuple(caches.pods.get(uid, {}).values()),
        workloads=tuple(caches.workloads.get(uid, {}).values()),
        kueue=caches.kueue,
    )


def _owned_plan(job: JobSeen, raw: Object) -> RunPlan:
    """The plan in a ConfigMap, if the ConfigMap is this very job's."""
    name = names.run(job.owner)
    if controller(raw, names.KIND) != job.uid:
        raise _taken("ConfigMap", name)
    try:
        return run_plan(raw)
    except (ValueError, KeyError, TypeError) as error:
        raise errors.NameTaken(
            f"the ConfigMap {name} does not hold a run that this version can read; delete the job and apply it again"
        ) from error


def _taken(kind: str, name: str) -> errors.NameTaken:
    return errors.NameTaken(
        f"there is already a {kind} {name} that is not this job's; have it removed, and the job goes on, or apply the job under a "
        "new name"
    )
