"""The event loop of the operator's tests: the operator's own."""

import uvloop


def pytest_asyncio_loop_factories(config, item):
    """A hook of pytest. asyncio's loop differs: in what a timer's handle knows, and in how soon a task hears of its end."""
    del config, item
    return {"uvloop": uvloop.new_event_loop}
