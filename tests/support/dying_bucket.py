"""A bucket that dies at the N-th request: between a client and a real server that speaks HTTP, on loopback."""

import contextlib
import http.client
import http.server
import socket
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import web_server

Death = Literal["unheard", "halfway", "unanswered", "503"]
"""What becomes of the request: it never arrives, half of it does, it is done and its answer lost, or it is refused."""

REFUSAL = b"<Error><Code>ServiceUnavailable</Code><Message>The bucket is gone.</Message></Error>"


@dataclass
class Dying:
    """When and how it dies. What comes after the fatal request is refused too, or cut, unless `once`."""

    at: int | None = None
    """The fatal request, counted from 1; None: it lives."""
    death: Death = "unheard"
    once: bool = False
    """Only that request is hit; the bucket lives on."""
    asked: list[tuple[str, bytes]] = field(default_factory=list)
    """Method and path of every request, and its body's first bytes."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def hear(self, request: str, body: bytes) -> Death | None:
        """Take note of a request; what becomes of it, None where nothing is wrong."""
        with self.lock:
            self.asked.append((request, body[:1000]))
            number = len(self.asked)
        if self.at is None or number < self.at or (self.once and number > self.at):
            return None
        return self.death if number == self.at or self.death == "503" else "unheard"


@contextlib.contextmanager
def before(port: int, dying: Dying) -> Iterator[int]:
    """Stand before the server on `port`; the port to ask instead."""

    class Between(_Between):
        there, fate = port, dying

    with web_server.running(Between, "127.0.0.1") as here:
        yield here


class _Between(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    there: int
    fate: Dying

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        match self.fate.hear(f"{self.command} {urllib.parse.unquote(self.path)}", body):
            case None:
                self._answer(*self._asked(body))
            case "503":
                self._answer(503, [("Content-Type", "application/xml")], REFUSAL)
            case "halfway":
                self._half(body)
                self._cut()
            case "unanswered":
                self._asked(body)
                self._cut()
            case _:
                self._cut()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass  # noqa: N815 - http.server's names

    def _asked(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        """What the server says: status, headers, body."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.there)) as server:
            server.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                server.putheader(name, value)
            server.endheaders(body)
            answer = server.getresponse()
            return answer.status, answer.getheaders(), answer.read()

    def _half(self, body: bytes) -> None:
        """Half of what was sent reaches the server, and then the connection is gone."""
        lines = [f"{self.command} {self.path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        head = "\r\n".join(lines).encode()
        with socket.create_connection(("127.0.0.1", self.there)) as server:
            server.sendall(head + b"\r\n\r\n" + body[: len(body) // 2] if body else head[: len(head) // 2])

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        length = dict(headers).get("Content-Length") if self.command == "HEAD" else None
        for name, value in headers:
            if name not in {"Content-Length", "Transfer-Encoding", "Connection"}:
                self.send_header(name, value)
        self.send_header("Content-Length", length or str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            with contextlib.suppress(
                ConnectionError
            ):  # a client that has heard of another part's death hangs up
                self.wfile.write(body)

    def _cut(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: Any) -> None:
        """Quiet."""
