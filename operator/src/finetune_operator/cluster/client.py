"""`Api` over kubernetes.aio: its configuration, authentication and connections, without its models.

The typed classes cost three times the CPU and refuse what they do not know (facts of the client in docs/decisions).
"""

import asyncio
import json
import urllib.parse
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
from kubernetes.aio import client

from finetune_operator import errors, names
from finetune_operator.cluster.api import Object, Page, Resource
from finetune_operator.cluster.limiter import TokenBucket

PAGE = 500
JSON = "application/json"
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
CLIENT_ERROR = 400
TOO_MANY = 429
GONE = 410
CONFLICT = 409
NOT_FOUND = 404
INVALID = 422
SERVER_ERROR = 500
MAX_MESSAGE = 1000

Observer = Callable[[str, int], None]
"""Told of every request: verb and status code (0: no answer)."""


class KubernetesApi:
    """See `api.Api`."""

    def __init__(
        self, configuration: client.Configuration, *, limiter: TokenBucket, timeout: float, observer: Observer
    ) -> None:
        self._client = client.ApiClient(configuration)
        self._client.user_agent = names.MANAGER
        self._limiter, self._timeout, self._observer = limiter, timeout, observer

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()  # type: ignore[no-untyped-call]  # the client is half typed

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """One object."""
        return await self._request("GET", resource.path(namespace, name))

    async def list(
        self, resource: Resource, *, namespace: str | None = None, labels: str = "", fields: str = ""
    ) -> AsyncIterator[Page]:
        """All objects, in pages of 500. An expired page token starts over in the caller."""
        query = {"limit": str(PAGE), "labelSelector": labels, "fieldSelector": fields, "continue": ""}
        while True:
            found = await self._request("GET", resource.path(namespace), query=query, verb="LIST")
            metadata = found.get("metadata") or {}
            yield Page(found.get("items") or [], int(metadata.get("resourceVersion") or 0))
            query["continue"] = metadata.get("continue") or ""
            if not query["continue"]:
                return

    async def create(self, resource: Resource, namespace: str, body: Object) -> Object:
        """A new object."""
        return await self._request(
            "POST", resource.path(namespace), body=body, query={"fieldManager": names.MANAGER}
        )

    async def replace(self, resource: Resource, namespace: str, name: str, body: Object) -> Object:
        """PUT."""
        return await self._request(
            "PUT", resource.path(namespace, name), body=body, query={"fieldManager": names.MANAGER}
        )

    async def apply(self, resource: Resource, namespace: str, name: str, body: Object) -> Object:
        """Server-side apply."""
        query = {"fieldManager": names.MANAGER, "force": "true"}
        return await self._request(
            "PATCH", resource.path(namespace, name), body=body, query=query, content=APPLY, verb="APPLY"
        )

    async def patch(self, resource: Resource, namespace: str, name: str, body: Object) -> Object:
        """Merge patch."""
        path = resource.path(namespace, name)
        return await self._request(
            "PATCH", path, body=body, query={"fieldManager": names.MANAGER}, content=MERGE
        )

    async def patch_status(self, resource: Resource, namespace: str, name: str, body: Object) -> Object:
        """Merge patch of the status."""
        path = resource.path(namespace, name, "status")
        return await self._request(
            "PATCH", path, body=body, query={"fieldManager": names.MANAGER}, content=MERGE
        )

    async def delete(self, resource: Resource, namespace: str, name: str, *, uid: str) -> None:
        """Background: the API's own default for Jobs would leave the pods running."""
        options = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        try:
            await self._request("DELETE", resource.path(namespace, name), body=options)
        except (errors.NotFound, errors.Conflict):
            return  # gone already; or another object under that name, which is not ours to delete

    async def _request(
        self,
        method: str,
        path: str,
        *,
        body: Object | None = None,
        query: dict[str, str] | None = None,
        content: str = JSON,
        verb: str | None = None,
    ) -> Object:
        """One request, in its turn and within its time; the answer as JSON, or one of our errors."""
        await self._limiter.take()
        code = 0
        try:
            async with asyncio.timeout(self._timeout):
                code, headers, text = await self._send(method, path, body, query, content)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise errors.Unavailable(f"{method} {path}: {error or type(error).__name__}") from error
        finally:
            self._observer(verb or method, code)
        if code >= CLIENT_ERROR:
            raise _error(method, path, code, headers, text)
        found: Object = json.loads(text)
        return found

    async def _send(
        self, method: str, path: str, body: Object | None, query: dict[str, str] | None, content: str
    ) -> tuple[int, Any, bytes]:
        """Status code, headers and body."""
        headers = {"Accept": JSON, "Content-Type": content, **self._client.default_headers}
        await self._client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        given = {name: value for name, value in (query or {}).items() if value}
        url = self._client.configuration.host + path + ("?" + urllib.parse.urlencode(given) if given else "")
        total = aiohttp.ClientTimeout(total=self._timeout)
        answer = await self._client.call_api(
            method, url, header_params=headers, body=body, _request_timeout=total
        )
        return answer.status, answer.headers, await answer.read()  # type: ignore[no-untyped-call]  # same


def _error(method: str, path: str, code: int, headers: Any, text: bytes) -> errors.ApiError:
    """The API server's refusal as an error of ours."""
    reason, message = _status(text)
    said = message or f"{method} {path}: HTTP {code}"
    if code == NOT_FOUND:
        return errors.NotFound(said, code=code)
    if code == GONE:
        return errors.Gone(said, code=code)
    if code == CONFLICT:
        return (errors.AlreadyExists if reason == "AlreadyExists" else errors.Conflict)(said, code=code)
    if code == TOO_MANY or code >= SERVER_ERROR:
        return errors.Unavailable(said, code=code, retry_after=_retry_after(headers))
    if code == INVALID and method == "POST":
        return errors.Invalid(said, code=code)
    return errors.Denied(said, code=code)


def _status(text: bytes) -> tuple[str, str]:
    """Reason and message of a metav1.Status."""
    try:
        found = json.loads(text)
    except ValueError:
        return "", ""
    if not isinstance(found, dict):
        return "", ""
    return str(found.get("reason") or ""), str(found.get("message") or "")[:MAX_MESSAGE]


def _retry_after(headers: Any) -> float | None:
    """Seconds that the server asks for."""
    value = headers.get("Retry-After", "")
    return float(value) if value.isdigit() else None
