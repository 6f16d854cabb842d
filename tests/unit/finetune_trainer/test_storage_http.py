"""Files of the web and of the Hub over bad connections, and who gets to see the credentials."""

import base64
import contextlib
import http.server
import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest

import fault_proxy
import hub_standin
import web_server
from fault_proxy import Fault
from finetune_trainer import errors
from finetune_trainer.config import Hub
from finetune_trainer.storage import Role, hub, ranged, transfer
from trainer_places import opened, secret

pytestmark = pytest.mark.slow  # waits for servers that are slow or silent

SIZE = 3_000_000


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(transfer, "PAUSE", 0.01)
    monkeypatch.setattr(ranged, "TIMEOUT", 1.0)
    monkeypatch.setattr(ranged, "PAUSES", (0.01, 0.01, 0.01))


class Site(http.server.BaseHTTPRequestHandler):
    """One file, with or without ranges, with or without a length; and redirects."""

    protocol_version = "HTTP/1.1"
    content: ClassVar[bytes] = os.urandom(SIZE)
    ranges: ClassVar[bool] = True
    elsewhere: ClassVar[str] = ""
    busy: ClassVar[list[int]] = []
    """Statuses to answer first."""
    seen: ClassVar[list[dict[str, str | None]]]

    def do_GET(self) -> None:
        self.seen.append({name: self.headers.get(name) for name in ("Authorization", "Range", "If-Range")})
        if self.busy:
            self.send_error(self.busy.pop())
        elif self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", f"{self.elsewhere}/file")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path == "/chunked":
            self.reply_chunked()
        else:
            self.reply()

    def reply(self) -> None:
        start = int((self.headers.get("Range") or "bytes=0-")[6:].partition("-")[0]) if self.ranges else 0
        self.send_response(206 if start else 200)
        if self.ranges:
            self.send_header("Accept-Ranges", "bytes")
        if start:
            self.send_header("Content-Range", f"bytes {start}-{SIZE - 1}/{SIZE}")
        self.send_header("ETag", '"one"')
        self.send_header("Content-Length", str(SIZE - start))
        self.end_headers()
        self.wfile.write(self.content[start:])

    def reply_chunked(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for at in range(0, SIZE, 100_000):
            piece = self.content[at : at + 100_000]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@contextlib.contextmanager
def site(context: ssl.SSLContext | None = None, **changes: Any) -> Iterator[tuple[type[Site], int]]:
    made = type("OneSite", (Site,), {"seen": [], **changes})
    with web_server.running(made, "127.0.0.1", context) as port:
        yield made, port


def test_a_broken_download_goes_on_where_it_broke_off(layout, tmp_path):
    fault = Fault(break_after=1_000_000, breaks=2)
    with site() as (served, port), fault_proxy.before(port, fault) as bad:
        opened(layout, f"http://127.0.0.1:{bad}/file?signature=x").get("", tmp_path / "got")

    assert (tmp_path / "got").read_bytes() == served.content
    assert fault.breaks == 0
    assert {one["If-Range"] for one in served.seen if one["Range"]} == {'"one"'}


def test_a_server_without_ranges_is_asked_from_the_start(layout, tmp_path):
    told: list[int] = []
    with site(ranges=False) as (served, port), fault_proxy.before(port, Fault(break_after=1_000_000)) as bad:
        opened(layout, f"http://127.0.0.1:{bad}/file").get("", tmp_path / "got", told.append)

    assert (tmp_path / "got").read_bytes() == served.content
    assert sum(told) == SIZE


@pytest.mark.parametrize("path", ["file", "chunked"])
def test_half_a_file_is_never_taken_for_a_whole_one(layout, tmp_path, path):
    with (
        site() as (_, port),
        fault_proxy.before(port, Fault(dead_after=1_000_000)) as bad,
        pytest.raises(
            errors.EndpointUnreachable, match=rf"no whole answer for http://127.0.0.1:{bad}/{path}|too soon"
        ),
    ):
        opened(layout, f"http://127.0.0.1:{bad}/{path}").get("", tmp_path / "got")

    assert not (tmp_path / "got").exists()


def test_a_file_of_unknown_length_is_fetched_again_after_a_break(layout, tmp_path):
    with site() as (served, port), fault_proxy.before(port, Fault(break_after=1_000_000)) as bad:
        opened(layout, f"http://127.0.0.1:{bad}/chunked").get("", tmp_path / "got")

    assert (tmp_path / "got").read_bytes() == served.content


def test_a_busy_server_is_asked_again(layout, tmp_path):
    with site(busy=[503, 429, 502]) as (served, port):
        opened(layout, f"http://127.0.0.1:{port}/file").get("", tmp_path / "got")
    with site(busy=[503] * 9) as (_, port), pytest.raises(errors.StorageUnavailable, match="HTTP 503"):
        opened(layout, f"http://127.0.0.1:{port}/file").get("", tmp_path / "other")

    assert (tmp_path / "got").read_bytes() == served.content


def test_a_slow_server_is_not_cut_and_a_silent_one_is(layout, tmp_path):
    with site() as (served, port):
        with fault_proxy.before(port, Fault(pause=0.05, piece=100_000)) as slow:
            opened(layout, f"http://127.0.0.1:{slow}/file").get("", tmp_path / "got")
        with (
            fault_proxy.before(port, Fault(silent_after=0)) as silent,
            pytest.raises(errors.EndpointUnreachable, match="timed out"),
        ):
            opened(layout, f"http://127.0.0.1:{silent}/file").get("", tmp_path / "other")

    assert (tmp_path / "got").read_bytes() == served.content


@pytest.fixture
def tls(layout, tmp_path) -> ssl.SSLContext:
    """A server's side of TLS under an authority that the pod trusts."""
    keys = tmp_path / "keys"
    keys.mkdir()
    layout.ca.parent.mkdir(parents=True)
    layout.ca.write_text(web_server.certificate_files("127.0.0.1", keys))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys / "server.crt", keys / "server.key")
    return context


@pytest.mark.parametrize(
    ("keys", "header"),
    [
        ({"HTTP_BEARER_TOKEN": "hidden"}, "Bearer hidden"),
        (
            {"HTTP_USERNAME": "ada", "HTTP_PASSWORD": "hidden"},
            "Basic " + base64.b64encode(b"ada:hidden").decode(),
        ),
    ],
)
def test_credentials_go_to_their_own_server_and_to_no_other(layout, tmp_path, tls, keys, header):
    name = secret(layout, "keys", **keys)
    with (
        site(tls) as (other, other_port),
        site(tls, elsewhere=f"https://127.0.0.1:{other_port}") as (away, away_port),
        site(tls) as (home, home_port),
    ):
        home.elsewhere = f"https://127.0.0.1:{home_port}"
        opened(layout, f"https://127.0.0.1:{home_port}/moved", name).get("", tmp_path / "a")
        opened(layout, f"https://127.0.0.1:{away_port}/moved", name).get("", tmp_path / "b")

    assert {one["Authorization"] for one in home.seen} == {header}
    assert {one["Authorization"] for one in away.seen} == {header}
    assert {one["Authorization"] for one in other.seen} == {None}
    assert (tmp_path / "b").read_bytes() == other.content


def test_credentials_are_not_sent_in_the_clear(layout):
    name = secret(layout, "keys", HTTP_BEARER_TOKEN="hidden")

    with pytest.raises(errors.InvalidRun, match="use https://") as told:
        opened(layout, "http://127.0.0.1/file", name)

    assert "hidden" not in str(told.value)


def test_a_secret_without_credentials_is_waited_for(layout):
    with pytest.raises(
        errors.SecretMissing, match="lacks HTTP_BEARER_TOKEN, or HTTP_USERNAME and HTTP_PASSWORD"
    ):
        opened(layout, "https://127.0.0.1/file", secret(layout, "keys", HTTP_USERNAME="ada"))


def test_credentials_that_are_refused_are_told_without_what_they_are(layout, tls):

    class Refuses(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(403)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    name = secret(layout, "keys", HTTP_BEARER_TOKEN="hidden")
    with web_server.running(Refuses, "127.0.0.1", tls) as port:
        place = opened(layout, f"https://127.0.0.1:{port}/file", name)
        with pytest.raises(errors.AccessDenied, match="to the keys of the Secret 'keys'") as told:
            place.head("")

    assert "hidden" not in str(told.value)


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    """A repository with one file that is large by the measure of this test: six parts."""
    monkeypatch.setattr(transfer, "PART_BYTES", 500_000)
    monkeypatch.setattr(hub, "LARGE", 1_000_000)
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(os.urandom(SIZE))
    return folder


def test_a_large_file_of_the_hub_comes_in_parts_that_are_taken_up_again(layout, repository, tmp_path):
    fault = Fault(break_after=300_000, breaks=3, piece=50_000)
    stand_in = hub_standin.Hub({"org/name": repository}, gated=frozenset({"org/name"}), token="right")
    told: list[int] = []
    with (
        hub_standin.serving(stand_in) as endpoint,
        fault_proxy.before(urlsplit(endpoint).port, fault) as bad,
    ):
        token = secret(layout, "token", HF_TOKEN="right")
        place = opened(layout, "hf://org/name", token, hub=Hub(endpoint=f"http://127.0.0.1:{bad}"))
        place.get("model.safetensors", tmp_path / "got", told.append)

    assert (tmp_path / "got").read_bytes() == (repository / "model.safetensors").read_bytes()
    assert fault.breaks == 0
    assert sum(told) == SIZE


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_what_is_not_what_the_hub_tells_of_is_not_kept(layout, repository, tmp_path, name, monkeypatch):
    stand_in = hub_standin.Hub({"org/name": repository})
    with hub_standin.serving(stand_in) as endpoint:
        place = opened(layout, "hf://org/name", role=Role.MODEL, hub=Hub(endpoint=endpoint))
        assert {item.digest.partition(":")[0] for item in place.list()} == {"git", "sha256"}
        content = (repository / name).read_bytes()
        (repository / name).write_bytes(bytes(len(content)))

        with pytest.raises(
            errors.StorageUnavailable, match="arrived twice with a content that is not the one"
        ):
            place.get(name, tmp_path / "got")

    assert not (tmp_path / "got").exists()


def test_the_token_is_wrong_for_a_large_file(layout, repository, tmp_path):
    stand_in = hub_standin.Hub({"org/name": repository})
    with hub_standin.serving(stand_in) as endpoint:
        place = opened(layout, "hf://org/name", role=Role.MODEL, hub=Hub(endpoint=endpoint))
        place.list()
        stand_in.gated = frozenset({"org/name"})

        with pytest.raises(errors.GatedModel, match="no token"):
            place.get("model.safetensors", tmp_path / "got")


def test_a_mirror_that_knows_no_parts_is_read_as_the_library_does(layout, repository, tmp_path):
    stand_in = hub_standin.Hub({"org/name": repository})
    stand_in.ranges = False
    told: list[int] = []
    with hub_standin.serving(stand_in) as endpoint:
        place = opened(layout, "hf://org/name", role=Role.MODEL, hub=Hub(endpoint=endpoint))
        place.get("model.safetensors", tmp_path / "got", told.append)

    assert (tmp_path / "got").read_bytes() == (repository / "model.safetensors").read_bytes()
    assert sum(told) == SIZE
