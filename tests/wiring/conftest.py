import pytest
import uvloop

import fake_api_server
import operator_lab


def pytest_asyncio_loop_factories(config, item):
    """The loop of the operator itself: asyncio's own differs, in what a timer's handle knows for one."""
    del config, item
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def lab():
    async with fake_api_server.FakeApiServer() as server:
        found = operator_lab.Lab(server)
        yield found
        for operator in list(found.operators):
            await found.stop(operator)
        await found.kubelet.stop()
