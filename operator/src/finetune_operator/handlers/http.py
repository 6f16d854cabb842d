"""`/metrics`, `/healthz`, `/readyz`."""

from collections.abc import Callable

from aiohttp import web

from finetune_operator.reconcile.metrics import Metrics

UNAVAILABLE = 503


async def pages(
    port: int, metrics: Metrics, *, healthy: Callable[[], str], ready: Callable[[], str]
) -> web.AppRunner:
    """A running server. `healthy` and `ready` give the sentence that says what is wrong, or nothing."""

    async def metrics_page(_: web.Request) -> web.Response:
        return web.Response(body=metrics.page(), content_type="text/plain", charset="utf-8")

    def probe(judge: Callable[[], str]) -> Callable[[web.Request], "object"]:
        async def page(_: web.Request) -> web.Response:
            wrong = judge()
            return web.Response(text=wrong or "ok", status=UNAVAILABLE if wrong else 200)

        return page

    application = web.Application()
    application.router.add_get("/metrics", metrics_page)
    application.router.add_get("/healthz", probe(healthy))  # type: ignore[arg-type]  # aiohttp's own Handler type is private
    application.router.add_get("/readyz", probe(ready))  # type: ignore[arg-type]  # same
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host="127.0.0.1" if port == 0 else None, port=port).start()  # 0: a test's
    return runner
