"""A bad way to a good API server: requests and watches go wrong at random, by a seed, and what went wrong is counted.

The operator asks here, without TLS, on loopback; its own token goes through.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import aiohttp
import yarl
from aiohttp import web
from bench_api import ApiServer

ODDS: Mapping[str, float] = {
    "429 with Retry-After": 0.010,
    "429 without it": 0.010,
    "500": 0.010,
    "503": 0.010,
    "reset before": 0.010,
    "done, but reset": 0.010,
    "done, but 504": 0.010,
    "300 ms late": 0.030,
}
"""Share of requests that each of them meets."""
WATCH_ODDS: Mapping[str, float] = {"cut": 0.004, "told twice": 0.020, "silent": 0.001}
"""The same, of the events of a watch."""
EXPIRED = 0.05
"""Share of watches that begin with 410 Gone."""
SILENCE = 20.0
LATE = 0.3
OUTAGE_EVERY, OUTAGE = 240.0, 20.0
"""From time to time everything is refused for a while (s)."""
STATUS = {"429": 429, "500": 500, "503": 503, "504": 504}
DROPPED = frozenset({"host", "content-length", "transfer-encoding", "connection", "accept-encoding"})
NO_LIMIT = aiohttp.ClientTimeout(total=None)


class ApiProxy:
    """Between the operator and `server`. `troubled`: whether anything goes wrong at present."""

    def __init__(self, server: ApiServer, dice: random.Random) -> None:
        self._server, self._dice = server, dice
        self._outage_ends = 0.0
        self._next_outage: float | None = None
        self.troubled = True
        self.met: Counter[str] = Counter()
        self.port = 0

    async def __aenter__(self) -> Self:
        # Who asks says who he is: the admin's own certificate must not speak for him.
        self._session = self._server.anonymous_session()
        app = web.Application(client_max_size=1 << 24)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            try:
                return await self._watch(request)
            except ConnectionError:  # the operator is gone
                return _aborted(request)
        fault = self._fault()
        if fault == "reset before":
            return _aborted(request)
        if fault.startswith(tuple(STATUS)):
            return _refused(STATUS[fault[:3]], retry_after=fault.endswith("with Retry-After"))
        if fault == "300 ms late":
            await asyncio.sleep(LATE)
        async with self._asked(request, await request.read()) as answer:
            body = await answer.read()
        if fault == "done, but reset":
            return _aborted(request)
        if fault == "done, but 504":
            return _refused(504)
        return web.Response(status=answer.status, body=body, headers=_kept(answer.headers))

    def _fault(self) -> str:
        """What becomes of the next request; nothing is an empty word."""
        if not self.troubled:
            return ""
        if self._in_outage():
            return self._count("503 for 20 s")
        return self._count(self._drawn(ODDS))

    def _in_outage(self) -> bool:
        now = asyncio.get_running_loop().time()
        if self._next_outage is None:
            self._next_outage = now + OUTAGE_EVERY / 2
        if now >= self._next_outage:
            self._outage_ends, self._next_outage = now + OUTAGE, now + OUTAGE_EVERY
        return now < self._outage_ends

    def _drawn(self, odds: Mapping[str, float]) -> str:
        point = self._dice.random()
        for word, share in odds.items():
            point -= share
            if point < 0:
                return word
        return ""

    def _count(self, word: str) -> str:
        if word:
            self.met[word] += 1
        return word

    def _asked(self, request: web.Request, body: bytes) -> "aiohttp.client._RequestContextManager":
        url = yarl.URL(self._server.server + request.raw_path, encoded=True)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in DROPPED}
        return self._session.request(request.method, url, data=body or None, headers=headers)

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        if self.troubled and self._in_outage():
            self._count("503 for 20 s")
            return _refused(503)
        async with self._asked(request, b"") as answer:
            told = web.StreamResponse(status=answer.status, headers=_kept(answer.headers))
            await told.prepare(request)
            if self.troubled and self._dice.random() < EXPIRED:
                self._count("watch: 410")
                await told.write(json.dumps({"type": "ERROR", "object": _status(410)}).encode() + b"\n")
                return told
            async for line in answer.content:
                fault = self._drawn(WATCH_ODDS) if self.troubled else ""
                if fault:
                    self._count(f"watch: {fault}")
                if fault == "cut":
                    return _aborted(request)
                if fault == "silent":
                    await asyncio.sleep(SILENCE)
                await told.write(line * 2 if fault == "told twice" else line)
            return told


def _aborted(request: web.Request) -> web.StreamResponse:
    """The connection is gone."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _refused(code: int, *, retry_after: bool = False) -> web.Response:
    headers = {"Retry-After": "1"} if retry_after else {}
    return web.json_response(_status(code), status=code, headers=headers)


def _status(code: int) -> dict[str, object]:
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "on purpose", "code": code}


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name in {"Content-Type", "Retry-After"}}
