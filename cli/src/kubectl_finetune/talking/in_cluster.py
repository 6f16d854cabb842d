"""The server in a pod of its own, beside the job: made, waited for, reached through a tunnel, removed."""

import contextlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from finetune_operator import names
from finetune_operator.api.running import Scheduling
from finetune_operator.names import Owner
from finetune_operator.observe.pod import PodSeen
from finetune_operator.plan import config_map
from finetune_operator.plan.run_plan import RunPlan
from kubectl_finetune import errors, screen, signals
from kubectl_finetune.cluster import Cluster
from kubectl_finetune.cluster.tunnel import Tunnel
from kubectl_finetune.cluster.tunnel import program as tunnel_program
from kubectl_finetune.talking import pod as pods
from kubectl_finetune.talking.here import said
from kubectl_finetune.views.job import Job

LOOK = 1.0
"""Seconds between two looks at a pod that starts."""
START_SECONDS = 600.0
"""In which it must run; a large image takes minutes to pull."""
NOT_FOUND = 1
"""What python ends with where the image has no such module."""


class InPod:
    """A running one (`server.Server`)."""

    def __init__(self, cluster: Cluster, pod: str, name: str, image: str, tunnel: Tunnel) -> None:
        self.name, self.host = name, tunnel.host
        self._pod, self._image = pod, image
        self._cluster, self._tunnel = cluster, tunnel

    @property
    def port(self) -> int:
        """See `server.Server`."""
        return self._tunnel.port

    def check(self) -> None:
        """See `server.Server`. A tunnel breaks where nobody listens yet, or the network fails."""
        if self._tunnel.is_open:
            return
        alive(self._cluster, self._pod, self._image)
        self._tunnel.open()


@contextmanager
def serving(cluster: Cluster, job: Job, *, host: str, port: int, **wanted: Any) -> Iterator[InPod]:
    """A pod for the result of `job`, removed with the context. `port` 0: any. `wanted`: see `pod.manifest`."""
    owner = Owner(cluster.namespace, job.name, job.uid)
    tunnel_program()  # before a pod is made
    plan = _plan(cluster, owner)
    scheduling = Scheduling.model_validate(job.spec.get("scheduling") or {})
    made = pods.manifest(owner, plan, scheduling, **wanted)
    with signals.as_ctrl_c(), _pod(cluster, made) as name:
        image = made["spec"]["containers"][0]["image"]
        _running(cluster, name, image)
        tunnel = Tunnel(cluster.kubectl, name, to=pods.PORT, host=host, port=port)
        try:
            tunnel.open()
            yield InPod(cluster, name, job.name, image, tunnel)
        finally:
            tunnel.close()


def _plan(cluster: Cluster, owner: Owner) -> RunPlan:
    """What was decided when the job was accepted."""
    name = names.run(owner)
    try:
        return config_map.run_plan(cluster.config_map(name))
    except (KeyError, ValueError) as error:
        raise errors.NotThere(
            f"the ConfigMap {name!r} is not the one that the operator made for {owner.name}; use --here"
        ) from error


@contextmanager
def _pod(cluster: Cluster, manifest: pods.Manifest) -> Iterator[str]:
    """Its name, for as long as it is there."""
    try:
        name = str(cluster.create_pod(manifest)["metadata"]["name"])
    except errors.Denied as error:
        raise errors.Denied(f"{error}; or use --here, which makes no pod") from error
    screen.note(f"started the pod {name}, which is removed at the end")
    try:
        yield name
    finally:
        _remove(cluster, name)


def _remove(cluster: Cluster, name: str) -> None:
    try:
        cluster.remove_pod(name, grace=pods.GRACE)
    except (errors.CliError, KeyboardInterrupt) as error:
        screen.note(
            f"the pod {name} could not be removed ({error or 'stopped'}): kubectl delete pod {name} -n {cluster.namespace}; "
            "it ends by itself within minutes"
        )


STARTS = "it starts; where its image is not on the node yet, that takes minutes"


def _running(cluster: Cluster, name: str, image: str) -> None:
    """Wait until the pod runs. `Outside` with why it does not start."""
    until, told = time.monotonic() + START_SECONDS, ""
    while True:
        found = alive(cluster, name, image)
        if found.running:
            return
        events = []
        with contextlib.suppress(errors.CliError):  # whoever may not list Events learns less
            events = cluster.events(found.uid)
        hopeless, why = pods.stuck(found, events) or (False, "")
        if hopeless:
            raise errors.Outside(f"the pod {name} cannot start: {why}; correct that, or use --here")
        if time.monotonic() > until:
            raise errors.Outside(
                f"the pod {name} did not start within {START_SECONDS / 60:.0f} minutes: {why or 'no reason is known'}; "
                "try again later, or use --here"
            )
        why = why or STARTS
        if why != told:
            screen.note(f"waiting for the pod: {why}")
        told = why
        time.sleep(LOOK)


def alive(cluster: Cluster, name: str, image: str) -> PodSeen:
    """The pod as it is. `Outside`, or the trainer's own code, where it has ended."""
    try:
        found = pods.seen(cluster.pod(name))
    except errors.NotThere as error:
        raise errors.Outside(f"somebody has removed the pod {name}; run the same command again") from error
    if not found.ended:
        return found
    word = said(found.last_word)
    if word:
        raise errors.StageEnded(word, code=found.exit_code or 1)
    if found.killed_for_memory:
        raise errors.StageEnded(
            "the pod has too little memory for the models; give it more with --memory", code=86
        )
    if found.exit_code == NOT_FOUND:
        raise errors.Outside(
            f"the image {image} cannot serve, it is older than this command; name a newer trainer image with --image"
        )
    why = found.said or (
        "nobody asked anything for some minutes" if found.exit_code == 0 else f"exit code {found.exit_code}"
    )
    raise errors.Outside(f"the pod {name} has ended ({why}); run the same command again")
