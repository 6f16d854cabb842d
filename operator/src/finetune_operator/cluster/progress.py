"""Asks pods how far they are. What answers is a tenant's program: no redirect is followed, 64 KiB are read, two seconds waited."""

import asyncio
from typing import Any

import aiohttp

from finetune_operator.names import PROGRESS_PORT
from finetune_operator.observe import words

MAX_BYTES = 64 * 1024
TIMEOUT = 2.0
AT_ONCE = 32
OK = 200


class ProgressClient:
    """GET http://<pod>:8080/progress, a few at a time."""

    def __init__(self, *, port: int = PROGRESS_PORT) -> None:
        self._port = port
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def progress(self, address: str) -> dict[str, Any] | None:
        """The document of the pod at that IP, or None where none can be had."""
        async with self._turns:
            try:
                async with asyncio.timeout(TIMEOUT):
                    return words.progress(await self._body(address))
            except (TimeoutError, aiohttp.ClientError, OSError, ValueError):
                return None

    async def _body(self, address: str) -> bytes:
        """At most 64 KiB of a plain 200."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=True), auto_decompress=False
            )
        host = f"[{address}]" if ":" in address else address
        async with self._session.get(f"http://{host}:{self._port}/progress", allow_redirects=False) as answer:
            if answer.status != OK:
                return b""
            found = bytearray()
            async for chunk in answer.content.iter_chunked(8192):
                found += chunk
                if len(found) > MAX_BYTES:
                    return b""
            return bytes(found)
