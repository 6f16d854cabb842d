"""A stand-in for the Hugging Face Hub on an address of this machine: what `huggingface_hub` asks for, from folders."""

import contextlib
import functools
import hashlib
import http.server
import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any, ClassVar

import web_server

LARGE = 1_000_000
"""Bytes from which on a file lies beside Git."""
RANGE = re.compile(r"bytes=(\d+)-(\d*)")
COMMIT = "0123456789abcdef0123456789abcdef01234567"
INFO = re.compile(
    r"^/api/(?P<kind>models|datasets)/(?P<repo>[^/]+/[^/]+?)(/revision/(?P<revision>[^/?]+))?(\?.*)?$"
)
FILE = re.compile(
    r"^/(?P<datasets>datasets/)?(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>[^?]+)"
)


class Hub:
    """Repositories by name: `org/name` -> folder. Gated ones want the token."""

    def __init__(
        self, repositories: dict[str, pathlib.Path], *, gated: frozenset[str] = frozenset(), token: str = ""
    ) -> None:
        self.repositories = repositories
        self.gated = gated
        self.token = token
        self.ranges = True
        """Whether it begins in the middle of a file where it is asked to; not every mirror does."""
        self.asked: list[str] = []

    def info(self, repo: str) -> dict[str, Any]:
        """What the Hub's API says of a repository."""
        folder = self.repositories[repo]
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        siblings = [{"rfilename": str(file.relative_to(folder)), **facts(file)} for file in files]
        return {
            "id": repo,
            "modelId": repo,
            "sha": COMMIT,
            "private": False,
            "siblings": siblings,
            "tags": [],
            "downloads": 0,
        }


def facts(file: pathlib.Path) -> dict[str, Any]:
    """Size and digests, as the Hub tells them: Git's name for small files, SHA-256 for those that lie beside Git."""
    size = file.stat().st_size
    if size < LARGE:
        return {"size": size, "blobId": digest(file)}
    lfs = {"sha256": digest(file), "size": size, "pointerSize": 134}
    return {"size": size, "blobId": digest(file)[:40], "lfs": lfs}


def digest(file: pathlib.Path) -> str:
    """Git's blob id; of large files the SHA-256."""
    status = file.stat()
    return _digest(file, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _digest(file: pathlib.Path, size: int, written: int) -> str:
    del written  # only to notice that the file is another one
    if size >= LARGE:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    return hashlib.sha1(b"blob %d\0" % size + file.read_bytes(), usedforsecurity=False).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers for one Hub, which a subclass names."""

    protocol_version = "HTTP/1.1"
    hub: ClassVar[Hub]

    def do_GET(self) -> None:
        self.reply(body=True)

    def do_HEAD(self) -> None:
        self.reply(body=False)

    def reply(self, *, body: bool) -> None:
        self.hub.asked.append(f"{self.command} {self.path}")
        asked = INFO.match(self.path) or FILE.match(self.path)
        if asked is None or asked["repo"] not in self.hub.repositories:
            self.refuse(404, "RepoNotFound")
        elif (
            asked["repo"] in self.hub.gated
            and self.headers.get("Authorization") != f"Bearer {self.hub.token}"
        ):
            self.refuse(403, "GatedRepo")
        elif asked["revision"] not in {None, "main", COMMIT}:
            self.refuse(404, "RevisionNotFound")
        elif self.path.startswith("/api/"):
            content = json.dumps(self.hub.info(asked["repo"])).encode()
            self.send(content, {"Content-Type": "application/json"}, body=body)
        else:
            self.send_file(self.hub.repositories[asked["repo"]] / asked["path"], body=body)

    def send_file(self, file: pathlib.Path, *, body: bool) -> None:
        if not file.is_file():
            self.refuse(404, "EntryNotFound")
            return
        headers = {"ETag": f'"{digest(file)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        size = file.stat().st_size
        part = RANGE.match(self.headers.get("Range", "")) if self.hub.ranges else None
        start, end = (int(part[1]), min(int(part[2] or size), size - 1) + 1) if part else (0, size)
        if part:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        self.send_head(206 if part else 200, end - start, headers)
        if body:
            with file.open("rb") as content:
                content.seek(start)
                self.wfile.write(content.read(end - start))

    def send(self, content: bytes, headers: dict[str, str], *, body: bool) -> None:
        self.send_head(200, len(content), headers)
        if body:
            self.wfile.write(content)

    def send_head(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.flush()

    def refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        for name, value in (("X-Error-Code", code), ("X-Error-Message", code), ("Content-Length", "0")):
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@contextlib.contextmanager
def serving(hub: Hub, address: str = "127.0.0.1") -> Iterator[str]:
    """Serve `hub`; its address as `HF_ENDPOINT` wants it."""
    handler = type("HandlerOfOneHub", (Handler,), {"hub": hub})
    with web_server.running(handler, address) as port:
        yield f"http://{address}:{port}"
