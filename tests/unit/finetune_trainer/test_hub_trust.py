"""A Hub of one's own, whose certificate an own authority has signed: read and written where the profile's `extraCa` names it."""

import ssl
from pathlib import Path

import pytest

import hub_receiver
import hub_standin
import trainer_places
import trainer_runs
import trainer_tiny_model
import web_server
from finetune_trainer import errors, hub_copy
from finetune_trainer.config import Hub
from finetune_trainer.layout import Layout

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=")  # the Hub's library about its own client


@pytest.fixture
def tls(tmp_path: Path) -> tuple[ssl.SSLContext, str]:
    """A server's certificate, and the authority that signed it (PEM)."""
    keys = tmp_path / "keys"
    keys.mkdir()
    authority = web_server.certificate_files("127.0.0.1", keys)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys / "server.crt", keys / "server.key")
    return context, authority


def trusting(layout: Layout, authority: str) -> None:
    layout.ca.parent.mkdir(parents=True, exist_ok=True)
    layout.ca.write_text(authority)


def test_a_model_is_read_from_it(layout, tls, tmp_path):
    context, authority = tls
    hub = hub_standin.Hub({"org/tiny": trainer_tiny_model.folder()})
    handler = type("Handler", (hub_standin.Handler,), {"hub": hub})
    with web_server.running(handler, "127.0.0.1", context) as port:
        endpoint = Hub(endpoint=f"https://127.0.0.1:{port}")
        with pytest.raises(errors.EndpointUnreachable):
            trainer_places.opened(layout, "hf://org/tiny", hub=endpoint).list()
        trusting(layout, authority)
        store = trainer_places.opened(layout, "hf://org/tiny", hub=endpoint)
        store.get("config.json", tmp_path / "config.json")
    expected = (trainer_tiny_model.folder() / "config.json").read_bytes()
    assert (tmp_path / "config.json").read_bytes() == expected


def test_a_copy_is_written_to_it(layout, tls):
    context, authority = tls
    hub = hub_receiver.Hub()
    trainer_places.secret(layout, "hub", HF_TOKEN=hub.token)
    copy = {"repo": "org/tiny", "credentialsSecretRef": {"name": "hub"}}
    with hub_receiver.serving(hub, context) as endpoint:
        run = trainer_runs.run(output={"hub": copy}, hub={"endpoint": endpoint, "offline": False})
        with pytest.raises(errors.EndpointUnreachable):
            hub_copy.probe(run, layout)
        trusting(layout, authority)
        hub_copy.probe(run, layout)
    assert "org/tiny" in hub.repositories
