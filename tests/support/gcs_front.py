"""Before fake-gcs-server, on loopback: the part of Google's XML API that obstore writes with and that server lacks.

PUT and multipart uploads become uploads of the JSON API, preconditions included, and a missing bucket is told as Google
does; listing, reading and deleting go through as they are.
"""

import contextlib
import hashlib
import http.client
import http.server
import itertools
import json
import urllib.parse
from collections.abc import Iterator
from typing import Any, ClassVar

import web_server

XML = {"Content-Type": "application/xml"}
HOP = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive"})


class Handler(http.server.BaseHTTPRequestHandler):
    """One request, for the server that a subclass names."""

    protocol_version = "HTTP/1.1"
    server_port: ClassVar[int]
    parts: ClassVar[dict[str, dict[int, bytes]]]
    numbers: ClassVar[Iterator[int]]

    def do_GET(self) -> None:
        self.pass_on(self.command, self.path, self.rfile.read(self.length))

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        if "uploadId" in self.query:
            self.parts.pop(self.query["uploadId"], None)
            self.answer(204)
        else:
            self.do_GET()

    def do_PUT(self) -> None:
        content = self.rfile.read(self.length)
        if "uploadId" in self.query:
            self.parts[self.query["uploadId"]][int(self.query["partNumber"])] = content
            self.answer(200, headers={"ETag": f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'})
        else:
            self.upload(content)

    def do_POST(self) -> None:
        content = self.rfile.read(self.length)
        if self.path.startswith("/storage/"):
            self.pass_on(self.command, self.path, content)
        elif "uploads" in self.query:
            name = str(next(self.numbers))
            self.parts[name] = {}
            told = (
                f"<InitiateMultipartUploadResult><UploadId>{name}</UploadId></InitiateMultipartUploadResult>"
            )
            self.answer(200, told.encode(), XML)
        else:
            parts = self.parts.pop(self.query["uploadId"])
            self.upload(b"".join(parts[number] for number in sorted(parts)), completes=True)

    def upload(self, content: bytes, *, completes: bool = False) -> None:
        """Send a whole object on, by the JSON API."""
        bucket, _, key = urllib.parse.urlsplit(self.path).path.lstrip("/").partition("/")
        query = {"uploadType": "media", "name": urllib.parse.unquote(key)}
        if generation := self.headers.get("x-goog-if-generation-match"):
            query["ifGenerationMatch"] = generation
        path = f"/upload/storage/v1/b/{bucket}/o?{urllib.parse.urlencode(query)}"
        status, _, body = self.ask("POST", path, content, {"Content-Type": "application/octet-stream"})
        if status != 200:
            self.refuse(status, bucket, body)
            return
        told = json.loads(body)
        headers = {"ETag": f'"{told["etag"]}"', "x-goog-generation": str(told["generation"])}
        done = f"<CompleteMultipartUploadResult><ETag>{told['etag']}</ETag></CompleteMultipartUploadResult>"
        self.answer(200, done.encode() if completes else b"", {**headers, **XML})

    def pass_on(self, method: str, path: str, content: bytes) -> None:
        """The same request, answered by the server; its errors in Google's form."""
        headers = {name: value for name, value in self.headers.items() if name.lower() not in {*HOP, "host"}}
        status, told, body = self.ask(method, path, content, headers)
        if status >= 400:
            self.refuse(status, urllib.parse.urlsplit(path).path.lstrip("/").partition("/")[0], body)
            return
        length = told.get("Content-Length") if method == "HEAD" else None
        self.answer(status, body, {**told, **({"Content-Length": length} if length else {})})

    def refuse(self, status: int, bucket: str, body: bytes) -> None:
        """An error as the XML API tells it."""
        missing = status == 404 or b"no bucket named" in body
        if missing and self.ask("GET", f"/storage/v1/b/{bucket}", b"", {})[0] == 404:
            status, code = 404, "NoSuchBucket"
        else:
            code = {404: "NoSuchKey", 412: "PreconditionFailed"}.get(status, "InternalError")
        self.answer(status, f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>".encode(), XML)

    def ask(
        self, method: str, path: str, content: bytes, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the server's answer."""
        headers = {**headers, "Host": f"127.0.0.1:{self.server_port}"}
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.server_port)) as connection:
            connection.request(method, path, content or None, headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

    def answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        """Reply."""
        self.send_response(status)
        told = {"Content-Length": str(len(body)), **(headers or {})}
        for name, value in told.items():
            if name.lower() not in HOP - {"content-length"}:
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    @property
    def query(self) -> dict[str, str]:
        """The address's parameters."""
        return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query, keep_blank_values=True))

    @property
    def length(self) -> int:
        """Of the body (bytes)."""
        return int(self.headers.get("Content-Length") or 0)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@contextlib.contextmanager
def before(port: int) -> Iterator[str]:
    """Stand before the server on `port` of loopback; the address to ask instead."""
    own: dict[str, Any] = {"server_port": port, "parts": {}, "numbers": itertools.count(1)}
    with web_server.running(type("HandlerOfOneServer", (Handler,), own), "127.0.0.1") as front:
        yield f"http://127.0.0.1:{front}"
