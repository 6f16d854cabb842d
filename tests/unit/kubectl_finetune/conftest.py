import pytest

import fake_api_server
import talking_pods
import terminal
from finetune_trainer.talking import server as talking_server


@pytest.fixture
async def server():
    async with fake_api_server.FakeApiServer() as server:
        server.disturbed = "kubectl-finetune"
        yield server


@pytest.fixture
def shell(server, tmp_path):
    return terminal.Terminal.at(tmp_path, server.url)


@pytest.fixture
def job(server):
    """One that has published."""
    return talking_pods.put_job(server)


@pytest.fixture
def becomes(server):
    """Says what becomes of new pods; the pods that were made."""
    return lambda status: talking_pods.becoming(server, status)


@pytest.fixture
def kubectl(tmp_path, monkeypatch):
    """Says what kubectl answers."""
    return lambda said: monkeypatch.setenv("PATH", talking_pods.kubectl(tmp_path, said))


@pytest.fixture
def talking_pod(becomes, kubectl):
    """A pod that runs, with a model that repeats the question; the pods that were made."""
    made = becomes(talking_pods.RUNNING)
    with talking_server.listening("127.0.0.1", 0) as service:
        service.open("support-bot", talking_pods.parrot)
        kubectl(f"Forwarding from 127.0.0.1:{service.server_address[1]} -> 8000")
        yield made
