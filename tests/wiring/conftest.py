import pytest

import fake_api_server
import operator_lab


@pytest.fixture
async def lab():
    async with fake_api_server.FakeApiServer() as server:
        found = operator_lab.Lab(server)
        yield found
        for operator in list(found.operators):
            await found.stop(operator)
        await found.kubelet.stop()
