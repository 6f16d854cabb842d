"""Bad input, and the sentence it gets: what a person reads in the job's condition. The table is tests/support/bad_input.py."""

import http.server
import json
import shutil

import pytest

import bad_input
import bad_input_page
import hub_receiver
import hub_standin
import trainer_tiny_model
import trainer_world
import web_server
from finetune_trainer import config, errors
from trainer_world import TALK, World

PAGES = {
    "/missing.jsonl": (404, b""),
    "/denied.jsonl": (403, b""),
    "/odd.jsonl": (400, b""),
    "/broken.jsonl": (503, b""),
    "/login.jsonl": (200, b"<html><title>Sign in</title></html>"),
}


class Pages(http.server.BaseHTTPRequestHandler):
    """Answers that nobody wants."""

    def do_GET(self) -> None:
        status, body = PAGES[self.path.partition("?")[0]]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """A web server and the stand-in of the Hub; the S3 server joins where one has been built."""
    folder = tmp_path_factory.mktemp("hub")
    for name in ("tiny", "gated"):
        shutil.copytree(trainer_tiny_model.folder(), folder / name)
    hub = hub_standin.Hub(
        {"org/tiny": folder / "tiny", "org/gated": folder / "gated"},
        gated=frozenset({"org/gated"}),
        token="hf_right",
    )
    with (
        web_server.running(Pages, "127.0.0.1") as port,
        hub_standin.serving(hub) as endpoint,
        hub_receiver.serving(hub_receiver.Hub()) as own,
    ):
        yield {"{web}": f"http://127.0.0.1:{port}", "{hub}": endpoint, "{own hub}": own}


@pytest.fixture
def addresses(servers, request):
    """Where the servers of a case listen."""
    case = request.getfixturevalue("case")
    if "{s3}" not in json.dumps(case.secrets):
        return servers
    server = request.getfixturevalue("s3")
    server.bucket("finetune")
    return {**servers, "{s3}": server.endpoint}


@pytest.mark.slow  # each of them a whole Prepare
@pytest.mark.parametrize("case", bad_input.cases(), ids=lambda case: case.wrong)
def test_bad_input_is_told_in_a_sentence(case, tmp_path, addresses):
    world = World.at(tmp_path)
    (world.layout.claims / "data").mkdir()
    if case.content is not None:
        world.put(case.name, case.content)
    for name, keys in case.secrets.items():
        world.secret(name, **case.filled(keys, addresses))
    if case.change:
        case.change(world)
    document = trainer_world.document(**{"dataset": case.dataset, **case.filled(case.spec, addresses)})

    with pytest.raises(errors.TrainerError) as told:
        world.prepare(config.parse(json.dumps(document).encode()))

    sentence = str(told.value)
    assert (errors.exit_code_of(told.value), told.value.reason) == (case.code, case.reason)
    assert sentence == case.filled(case.says, addresses)
    assert str(tmp_path) not in sentence
    assert "signature=secret" not in sentence
    assert not list(world.layout.claims.rglob("prepared.json"))


def test_the_page_is_the_table():
    assert bad_input_page.PATH.read_text(encoding="utf-8") == bad_input_page.text()


def test_no_two_rows_of_the_table_are_one():
    wrong = [case.wrong for case in bad_input.cases()]

    assert len(set(wrong)) == len(wrong) >= 60


def test_interruption_passes_through(tmp_path, monkeypatch):
    world = World.at(tmp_path)
    world.put("train.jsonl", TALK)

    def stop(*_: object) -> None:
        raise errors.Interrupted("stopped")

    monkeypatch.setattr("finetune_trainer.data.filters._empty", stop)

    with pytest.raises(errors.Interrupted):
        world.prepare(trainer_world.run())
