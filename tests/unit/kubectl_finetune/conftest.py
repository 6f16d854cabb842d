import pytest

import fake_api_server
import terminal


@pytest.fixture
async def server():
    async with fake_api_server.FakeApiServer() as server:
        server.disturbed = "kubectl-finetune"
        yield server


@pytest.fixture
def shell(server, tmp_path):
    return terminal.Terminal.at(tmp_path, server.url)
