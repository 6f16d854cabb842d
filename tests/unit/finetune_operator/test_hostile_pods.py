"""What answers at a pod's /progress is a tenant's program: the operator is neither led elsewhere, nor filled, nor held up."""

import asyncio
import contextlib
import time

import pytest
from aiohttp import web

from finetune_operator.cluster import progress

DOCUMENT = '{"version": 1, "stage": "Train", "attempt": 1, "updatedAt": "2026-11-22T10:00:00Z"}'


@contextlib.asynccontextmanager
async def serving(handler):
    """A client, and the pod that it asks."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    client = progress.ProgressClient(port=runner.addresses[0][1])
    try:
        yield client
    finally:
        await client.close()
        await runner.cleanup()


async def test_a_document_is_read():
    async def tells(_):
        return web.Response(text=DOCUMENT)

    async with serving(tells) as client:
        found = await client.progress("127.0.0.1")
    assert found is not None
    assert found["stage"] == "Train"


async def test_a_redirect_is_not_followed():
    asked = []

    async def elsewhere(request):
        asked.append(request.path)
        if request.path == "/progress":
            raise web.HTTPFound("/latest/meta-data")
        return web.Response(text=DOCUMENT)

    async with serving(elsewhere) as client:
        assert await client.progress("127.0.0.1") is None
    assert asked == ["/progress"]


async def test_no_more_than_its_bound_is_read():
    sent = 0

    async def floods(request):
        nonlocal sent
        answer = web.StreamResponse()
        await answer.prepare(request)
        with contextlib.suppress(ConnectionError):
            while sent < 64 * progress.MAX_BYTES:
                await answer.write(b" " * 8192)
                sent += 8192
        return answer

    async with serving(floods) as client:
        assert await client.progress("127.0.0.1") is None
    assert sent < 64 * progress.MAX_BYTES


async def test_one_that_does_not_answer_is_given_up():
    async def hangs(_):
        await asyncio.sleep(60)

    started = time.monotonic()
    async with serving(hangs) as client:
        assert await client.progress("127.0.0.1") is None
        assert time.monotonic() - started < progress.TIMEOUT + 2


@pytest.mark.parametrize("said", ["", "null", "[]", "nonsense", '{"version": 99}'])
async def test_what_is_no_document_is_none(said):
    async def tells(_):
        return web.Response(text=said)

    async with serving(tells) as client:
        assert await client.progress("127.0.0.1") is None
