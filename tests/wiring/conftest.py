import pytest

import fake_api_server
import operator_lab
from operator_loop import pytest_asyncio_loop_factories

__all__ = ["lab", "pytest_asyncio_loop_factories"]


@pytest.fixture
async def lab():
    async with fake_api_server.FakeApiServer() as server:
        found = operator_lab.Lab(server)
        yield found
        for operator in list(found.operators):
            await found.stop(operator)
        await found.kubelet.stop()
