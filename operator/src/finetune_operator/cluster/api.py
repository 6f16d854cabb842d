"""The narrow interface to the API server. Raw objects in, raw objects out; errors are ours."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Protocol

from finetune_operator import names

Object = dict[str, Any]


@dataclass(frozen=True)
class Resource:
    """A kind, as it stands in a path."""

    group: str
    version: str
    plural: str

    def path(self, namespace: str | None = None, name: str | None = None, sub: str | None = None) -> str:
        """The address of all, of a namespace's, of one, of a part of one."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        where = f"/namespaces/{namespace}" if namespace else ""
        parts = [part for part in (name, sub) if part]
        return "/".join([f"{root}{where}/{self.plural}", *parts])


TUNE_JOBS = Resource(names.GROUP, names.VERSION, names.JOBS)
PROFILES = Resource(names.GROUP, names.VERSION, names.PROFILES)
JOBS = Resource("batch", "v1", "jobs")
PODS = Resource("", "v1", "pods")
CONFIG_MAPS = Resource("", "v1", "configmaps")
SERVICES = Resource("", "v1", "services")
EVENTS = Resource("", "v1", "events")
LEASES = Resource("coordination.k8s.io", "v1", "leases")
WORKLOADS = tuple(Resource("kueue.x-k8s.io", version, "workloads") for version in ("v1beta2", "v1beta1"))
"""Kueue's, the newest version first. What is read of them is the same in all."""


@dataclass(frozen=True)
class Page:
    """Some objects of a list, and the version of the whole list."""

    items: list[Object]
    version: int


class Api(Protocol):
    """Everything the operator ever asks of the API server."""

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """One object. NotFound."""

    def list(
        self, resource: Resource, *, namespace: str | None = None, labels: str = "", fields: str = ""
    ) -> AsyncIterator[Page]:
        """All objects, in pages."""

    async def create(self, resource: Resource, namespace: str, body: Object) -> Object:
        """A new object. AlreadyExists, Denied."""

    async def replace(self, resource: Resource, namespace: str, name: str, body: Object) -> Object:
        """PUT; with a resourceVersion in it, Conflict if the object has changed."""

    async def apply(self, resource: Resource, namespace: str, name: str, body: Object) -> Object:
        """Server-side apply with our field manager."""

    async def patch(self, resource: Resource, namespace: str, name: str, body: Object) -> Object:
        """Merge patch. NotFound."""

    async def patch_status(self, resource: Resource, namespace: str, name: str, body: Object) -> Object:
        """Merge patch of the status; with a resourceVersion in it, Conflict if the object has changed."""

    async def delete(self, resource: Resource, namespace: str, name: str, *, uid: str) -> None:
        """Delete this very object, its dependents after it. One that is gone is fine."""
