"""A small client of the API server for benchmarks: raw requests and watch lines, each stamped when it arrives."""

import asyncio
import base64
import contextlib
import json
import pathlib
import re
import ssl
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import yaml

Object = dict[str, Any]
FINETUNEJOBS = "/apis/finetune.dev/v1alpha1/namespaces/{}/finetunejobs"
PODS = "/api/v1/namespaces/{}/pods"
EVENTS = "/api/v1/namespaces/{}/events"
NO_LIMIT = aiohttp.ClientTimeout(total=None)
TOO_MANY = 429
STILL = 3.0
"""Seconds without a write that are a rest."""
WRITES = frozenset({"POST", "PUT", "PATCH", "APPLY", "DELETE"})


class ApiServer:
    """The API server that a kubeconfig names, as its admin."""

    def __init__(self, kubeconfig: str) -> None:
        found = yaml.safe_load(pathlib.Path(kubeconfig).read_text())
        self.cluster: Object = found["clusters"][0]["cluster"]
        user: Object = found["users"][0]["user"]
        self.server: str = self.cluster["server"]
        self.authority = _text(self.cluster, "certificate-authority")
        self._tls = ssl.create_default_context(cadata=self.authority)
        self._headers: dict[str, str] = {}
        if "token" in user:
            self._headers["Authorization"] = f"Bearer {user['token']}"
        else:
            _load_certificate(self._tls, _text(user, "client-certificate"), _text(user, "client-key"))

    def anonymous_session(self) -> aiohttp.ClientSession:
        """Connections without our credentials, for requests that carry their own."""
        tls = ssl.create_default_context(cadata=self.authority)
        connector = aiohttp.TCPConnector(ssl=tls, limit=0)
        return aiohttp.ClientSession(connector=connector, timeout=NO_LIMIT, read_bufsize=1 << 22)

    def session(self, at_once: int = 0) -> aiohttp.ClientSession:
        """Connections; `at_once` of them, or as many as are asked for."""
        connector = aiohttp.TCPConnector(ssl=self._tls, limit=at_once)
        return aiohttp.ClientSession(
            self.server, connector=connector, headers=self._headers, timeout=NO_LIMIT
        )


def _text(section: Object, name: str) -> str:
    """A certificate or key that stands in the kubeconfig or in a file it names."""
    if f"{name}-data" in section:
        return base64.b64decode(section[f"{name}-data"]).decode()
    return pathlib.Path(section[name]).read_text()


def _load_certificate(tls: ssl.SSLContext, certificate: str, key: str) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as both:
        both.write(certificate + key)
        both.flush()
        tls.load_cert_chain(both.name)


async def send(session: aiohttp.ClientSession, method: str, path: str, body: Any = None) -> Object:
    """One request; what was refused is an error, what was delayed is sent again."""
    content = "application/apply-patch+yaml" if method == "PATCH" else "application/json"
    while True:
        async with session.request(
            method, path, data=json.dumps(body), headers={"Content-Type": content}
        ) as answer:
            if answer.status != TOO_MANY:
                answer.raise_for_status()
                found: Object = await answer.json()
                return found
        await asyncio.sleep(1)


async def apply(session: aiohttp.ClientSession, path: str, body: Object) -> Object:
    """Server-side apply."""
    return await send(session, "PATCH", f"{path}?fieldManager=bench&force=true", body)


async def watched(session: aiohttp.ClientSession, path: str) -> AsyncIterator[tuple[float, str, Object]]:
    """(moment, kind of event, object) from now on. The API server ends a watch at times, as after a change of its kind."""
    version = (await send(session, "GET", f"{path}?limit=1"))["metadata"]["resourceVersion"]
    while True:
        async with session.get(f"{path}?watch=1&resourceVersion={version}", read_bufsize=1 << 22) as answer:
            if answer.status == TOO_MANY:
                await asyncio.sleep(1)
                continue
            answer.raise_for_status()
            async for line in answer.content:
                moment = time.monotonic()
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise RuntimeError(f"watch of {path}: {event['object'].get('message')}")
                version = event["object"]["metadata"]["resourceVersion"]
                yield moment, event["type"], event["object"]


async def requests_so_far(session: aiohttp.ClientSession) -> Counter[tuple[str, str]]:
    """(verb, resource) to requests, of everybody, from the API server's own metrics. Leases, nodes and watches aside."""
    found: Counter[tuple[str, str]] = Counter()
    async with session.get("/metrics") as answer:
        async for raw in answer.content:
            line = raw.decode()
            if not line.startswith("apiserver_request_total{"):
                continue
            labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
            if labels["verb"] == "WATCH" or labels["resource"] in ("", "leases", "nodes"):
                continue
            resource = "/".join(part for part in (labels["resource"], labels["subresource"]) if part)
            found[labels["verb"], resource] += int(float(line.rsplit(" ", 1)[1]))
    return found


async def stillness(session: aiohttp.ClientSession, patience: float, tell: Callable[[str], None]) -> None:
    """Until nobody has written anything for a while: Events follow the work, and so does Kubernetes' own job controller."""
    if not await unchanged(lambda: _writes(session), STILL, patience):
        tell(f"something is still written after {patience:.0f} s")


async def unchanged(count: Callable[[], Awaitable[int]], seconds: float, patience: float) -> bool:
    """Wait until `count` has stayed the same for `seconds`; False where it did not within `patience` seconds."""
    deadline, before = time.monotonic() + patience, await count()
    while time.monotonic() < deadline:
        await asyncio.sleep(seconds)
        now = await count()
        if now == before:
            return True
        before = now
    return False


async def _writes(session: aiohttp.ClientSession) -> int:
    return sum(count for (verb, _), count in (await requests_so_far(session)).items() if verb in WRITES)


async def all_of(session: aiohttp.ClientSession, path: str) -> list[Object]:
    """Every object, in pages."""
    found: list[Object] = []
    token = ""
    while True:
        page = await send(session, "GET", f"{path}?limit=500&continue={token}")
        found += page["items"]
        token = page["metadata"].get("continue", "")
        if not token:
            return found


async def emptied(
    session: aiohttp.ClientSession, path: str, patience: float, tell: Callable[[str], None]
) -> None:
    """Delete all, and wait until they are gone."""
    with contextlib.suppress(
        aiohttp.ClientResponseError
    ):  # 504 where there are many; it goes on all the same
        await send(session, "DELETE", path, {"propagationPolicy": "Background"})
    deadline = time.monotonic() + patience
    while left := (await send(session, "GET", f"{path}?limit=1"))["items"]:
        if time.monotonic() > deadline:
            tell(f"{path}: {left[0]['metadata']['name']} and maybe others are still there")
            return
        await asyncio.sleep(0.5)
