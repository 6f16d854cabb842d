"""What holds for all tests of the operator."""

import uvloop


def pytest_asyncio_loop_factories(config, item):
    """The loop of the operator itself: asyncio's own differs, in what a timer's handle knows for one."""
    del config, item
    return {"uvloop": uvloop.new_event_loop}
