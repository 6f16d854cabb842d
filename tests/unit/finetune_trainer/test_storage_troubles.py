"""What goes wrong with s3://, gs:// and az:// is told in the same words, whoever the vendor is."""

import base64
import http.server
import itertools
import re
from collections.abc import Callable
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest

import fault_proxy
import trainer_s3
from fault_proxy import Fault
from finetune_trainer import errors, storage
from finetune_trainer.layout import Layout
from finetune_trainer.storage import Store, bucket, transfer
from trainer_places import FIELD, opened, secret
from web_server import answering, running

pytestmark = pytest.mark.slow  # waits for servers that are slow, silent or down

SCHEMES = ["s3", "gs", "az"]
ENDPOINT = {"s3": "AWS_ENDPOINT_URL", "gs": "STORAGE_EMULATOR_HOST", "az": "AZURE_STORAGE_ENDPOINT"}
CALLS: dict[str, Callable[[Store, Any], object]] = {
    "list": lambda place, _: place.list("y"),
    "head": lambda place, _: place.head("y"),
    "read": lambda place, _: place.read("y"),
    "get": lambda place, folder: place.get("y", folder / "y"),
    "put": lambda place, _: place.put("y", b"1"),
    "put_if_absent": lambda place, _: place.put_if_absent("y", b"1"),
    "delete": lambda place, _: place.delete("y"),
}
MEGABYTE = 2**20


@pytest.fixture
def impatient(monkeypatch):
    """Nobody waits for what is broken on purpose."""
    monkeypatch.setitem(bucket.RETRY, "max_retries", 0)
    monkeypatch.setattr(transfer, "PAUSE", 0.01)


@pytest.fixture(params=SCHEMES)
def server(request):
    found = request.getfixturevalue(request.param)
    found.bucket("bucket")
    return request.param, found


def at(layout: Layout, scheme: str, address: str, name: str = "bucket", **change: str) -> Store:
    """A prefix of a bucket at `address`, with keys that look real where the server does not care."""
    keys = {
        "s3": {"AWS_ACCESS_KEY_ID": trainer_s3.ACCESS, "AWS_SECRET_ACCESS_KEY": trainer_s3.SECRET},
        "gs": {},
        "az": {"AZURE_STORAGE_ACCOUNT": "account", "AZURE_STORAGE_KEY": base64.b64encode(b"key").decode()},
    }[scheme]
    number = len(list(layout.credentials.iterdir())) if layout.credentials.is_dir() else 0
    kept = secret(layout, f"keys-{number}", **{**keys, ENDPOINT[scheme]: address, **change})
    return opened(layout, f"{scheme}://{name}/x", kept)


@pytest.mark.parametrize("call", CALLS)
def test_a_bucket_that_does_not_exist(server, layout, call, tmp_path):
    scheme, found = server
    place = at(layout, scheme, found.endpoint, "no-such-bucket", **found.keys)

    with pytest.raises(
        errors.BucketNotFound, match=r"the bucket 'no-such-bucket' of .* does not exist"
    ) as told:
        CALLS[call](place, tmp_path)

    assert FIELD in str(told.value)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("scheme", "change"),
    [
        ("s3", {"AWS_SECRET_ACCESS_KEY": "wrong"}),
        ("s3", {"AWS_ACCESS_KEY_ID": "nobody"}),
        ("az", {"AZURE_STORAGE_KEY": base64.b64encode(b"wrong").decode()}),
    ],
)
def test_wrong_keys(request, layout, scheme, change, call, tmp_path):  # noqa: PLR0917 - fixtures and columns of the table
    found = request.getfixturevalue(scheme)
    found.bucket("bucket")
    place = at(layout, scheme, found.endpoint, **{**found.keys, **change})

    with pytest.raises(errors.AccessDenied, match="with the keys of the Secret 'keys-0'; correct the keys"):
        CALLS[call](place, tmp_path)


REFUSALS = [
    ("s3", 403, "AccessDenied", errors.AccessDenied),
    ("gs", 403, "AccessDenied", errors.AccessDenied),
    ("gs", 401, "InvalidSecurity", errors.AccessDenied),
    ("az", 403, "AuthorizationPermissionMismatch", errors.AccessDenied),
    ("az", 403, "AuthenticationFailed", errors.AccessDenied),
    ("s3", 503, "SlowDown", errors.StorageUnavailable),
    ("gs", 429, "TooManyRequests", errors.StorageUnavailable),
    ("gs", 500, "InternalError", errors.StorageUnavailable),
    ("az", 503, "ServerBusy", errors.StorageUnavailable),
]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("scheme", "status", "code", "error"), REFUSALS)
def test_what_a_server_answers_decides_who_must_act(layout, scheme, status, code, error, call, tmp_path):  # noqa: PLR0917 - columns
    with (
        answering(status, f"<Error><Code>{code}</Code></Error>".encode()) as address,
        pytest.raises(error) as told,
    ):
        CALLS[call](at(layout, scheme, f"{address}/account" if scheme == "az" else address), tmp_path)

    assert f"{scheme}://bucket/x" in str(told.value)
    assert "tried again later" in str(told.value) or "the keys of the Secret" in str(told.value)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_server_that_is_down(layout, scheme):
    place = at(layout, scheme, f"http://127.0.0.1:{trainer_s3.free_port()}")

    with pytest.raises(
        errors.EndpointUnreachable, match=f"connection refused.*{ENDPOINT[scheme]} in the Secret"
    ):
        place.list()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_host_that_does_not_exist(layout, scheme):
    with pytest.raises(errors.EndpointUnreachable, match="no such host"):
        at(layout, scheme, "http://no-such-host.invalid").list()


@pytest.mark.parametrize(
    ("uri", "keys", "says"),
    [
        ("gs://b/x", {"OTHER": "x"}, "lacks GOOGLE_APPLICATION_CREDENTIALS_JSON"),
        ("az://b/x", {"AZURE_STORAGE_KEY": "x"}, "lacks AZURE_STORAGE_ACCOUNT"),
    ],
)
def test_a_secret_without_what_is_needed_is_waited_for(layout, uri, keys, says):
    with pytest.raises(errors.SecretMissing, match=says):
        opened(layout, uri, secret(layout, "keys", **keys))


@pytest.mark.parametrize(
    ("uri", "keys"),
    [
        ("gs://b/x", {"GOOGLE_APPLICATION_CREDENTIALS_JSON": "hidden{"}),
        (
            "gs://b/x",
            {"GOOGLE_APPLICATION_CREDENTIALS_JSON": '{"client_email": "a", "private_key": "hidden"}'},
        ),
        ("az://b/x", {"AZURE_STORAGE_ACCOUNT": "a", "AZURE_STORAGE_KEY": "hidden key"}),
    ],
)
def test_keys_that_are_none_are_told_without_what_they_are(layout, uri, keys):
    with pytest.raises(errors.AccessDenied, match="the keys of the Secret 'keys' cannot be used") as told:
        opened(layout, uri, secret(layout, "keys", **keys))

    assert "hidden" not in str(told.value)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("uri", ["gs://b/x", "az://b/x"])
def test_no_secret_and_no_identity(layout, uri, monkeypatch):
    monkeypatch.setitem(bucket.TIMEOUTS, "connect_timeout", bucket.TIMEOUTS["connect_timeout"] / 5)

    with pytest.raises(errors.AccessDenied, match=r"name (a Secret|one in credentialsSecretRef)"):
        opened(layout, uri).list()


@pytest.fixture
def large(server, layout, tmp_path, monkeypatch):
    """An object of 6 parts; and a function that gives the same place over a bad connection."""
    scheme, found = server
    monkeypatch.setattr(transfer, "PART_BYTES", MEGABYTE)
    content = bytes(itertools.islice(itertools.cycle(range(251)), 6 * MEGABYTE))
    (tmp_path / "large").write_bytes(content)
    place = at(layout, scheme, found.endpoint, **found.keys)
    place.put("large", tmp_path / "large")

    def over(port: int) -> Store:
        port_there = urlsplit(found.endpoint).port
        address = re.sub(f":{port_there}", f":{port}", found.endpoint)
        return at(layout, scheme, address, **{**found.keys, ENDPOINT[scheme]: address})

    return content, urlsplit(found.endpoint).port, place, over


@pytest.mark.usefixtures("impatient")
def test_a_broken_download_goes_on_where_it_broke_off(large, tmp_path):
    content, port, _, over = large
    fault = Fault(break_after=600_000, breaks=4, piece=50_000)
    told: list[int] = []
    with fault_proxy.before(port, fault) as bad:
        over(bad).get("large", tmp_path / "got", told.append)

    assert (tmp_path / "got").read_bytes() == content
    assert fault.breaks == 0, "all of them happened"
    assert fault.passed < len(content) * 1.5
    assert sum(told) == len(content)


@pytest.mark.usefixtures("impatient")
def test_another_pod_goes_on_with_what_is_there(large, tmp_path, monkeypatch):
    content, port, _, over = large
    monkeypatch.setattr(transfer, "STREAMS", 2)
    with fault_proxy.before(port, Fault(dead_after=3_500_000)) as bad:
        place = over(bad)
        with pytest.raises(errors.OutsideError):
            place.get("large", tmp_path / "got")
    assert not (tmp_path / "got").exists()
    fault = Fault()
    told: list[int] = []
    with fault_proxy.before(port, fault) as good:
        over(good).get("large", tmp_path / "got", told.append)

    assert (tmp_path / "got").read_bytes() == content
    assert sum(told) == len(content)
    assert told[0] >= 2 * MEGABYTE, "what was there"
    assert fault.passed < 4.2 * MEGABYTE, "and only the rest came"


@pytest.mark.usefixtures("impatient")
def test_a_slow_download_is_not_cut(large, tmp_path, monkeypatch):
    content, port, _, over = large
    monkeypatch.setitem(bucket.TIMEOUTS, "read_timeout", bucket.TIMEOUTS["read_timeout"] / 20)  # 1 s
    monkeypatch.setattr(transfer, "STREAMS", 3)
    fault = Fault(pause=0.1, piece=65536)  # 1.6 s for a part
    with fault_proxy.before(port, fault) as slow:
        over(slow).get("large", tmp_path / "got")

    assert (tmp_path / "got").read_bytes() == content


@pytest.mark.usefixtures("impatient")
def test_a_silent_server_is_told(large, monkeypatch, tmp_path):
    _, port, _, over = large
    monkeypatch.setitem(bucket.TIMEOUTS, "read_timeout", bucket.TIMEOUTS["read_timeout"] / 20)  # 1 s
    with (
        fault_proxy.before(port, Fault(silent_after=0)) as silent,
        pytest.raises(errors.EndpointUnreachable, match="timeout"),
    ):
        over(silent).get("large", tmp_path / "got")


def test_two_versions_are_never_mixed(large, tmp_path, server):
    if server[0] == "gs":
        pytest.skip("fake-gcs-server does not look at If-Match")
    content, _, place, _ = large
    replaced = False

    def replace(_: int) -> None:
        nonlocal replaced
        if not replaced:
            replaced = True
            (tmp_path / "other").write_bytes(content[::-1])
            place.put("large", tmp_path / "other")

    storage.transfer.STREAMS, streams = 1, storage.transfer.STREAMS
    try:
        with pytest.raises(errors.StorageUnavailable, match="was replaced while it was being downloaded"):
            place.get("large", tmp_path / "got", lambda number: replace(number) if number else None)
    finally:
        storage.transfer.STREAMS = streams

    place.get("large", tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == content[::-1]


class OldServer(http.server.BaseHTTPRequestHandler):
    """S3 as it was before conditional writes, as far as this test needs it."""

    protocol_version = "HTTP/1.1"
    objects: ClassVar[dict[str, bytes]]

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("If-None-Match"):
            self.reply(501, b"<Error><Code>NotImplemented</Code></Error>")
        else:
            self.objects[self.path] = content
            self.reply(200)

    def do_GET(self) -> None:
        if "list-type" in self.path:
            self.reply(200, b"<ListBucketResult></ListBucketResult>")
        elif self.path in self.objects:
            self.reply(200, self.objects[self.path])
        else:
            self.reply(404, b"<Error><Code>NoSuchKey</Code></Error>")

    def do_HEAD(self) -> None:
        self.do_GET()

    def reply(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in (
            ("Content-Length", str(len(body))),
            ("ETag", '"one"'),
            ("Last-Modified", "Sun, 22 Nov 2026 06:00:00 GMT"),
        ):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.mark.usefixtures("impatient")
def test_a_server_without_conditional_writes_is_looked_at_before(layout):
    with running(type("OneOldServer", (OldServer,), {"objects": {}}), "127.0.0.1") as port:
        place = at(layout, "s3", f"http://127.0.0.1:{port}")

        first, second = place.put_if_absent("epoch", b"1"), place.put_if_absent("epoch", b"2")

        assert (first, second, place.read("epoch")) == (True, False, b"1")
