"""A stand-in for the Hugging Face Hub on an address of this machine: what `huggingface_hub` asks for, from folders."""

import contextlib
import hashlib
import http.server
import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any, ClassVar

import web_server

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
        self.asked: list[str] = []

    def info(self, repo: str) -> dict[str, Any]:
        """What the Hub's API says of a repository."""
        folder = self.repositories[repo]
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        siblings = [
            {"rfilename": str(file.relative_to(folder)), "size": file.stat().st_size, "blobId": digest(file)}
            for file in files
        ]
        return {
            "id": repo,
            "modelId": repo,
            "sha": COMMIT,
            "private": False,
            "siblings": siblings,
            "tags": [],
            "downloads": 0,
        }


def digest(file: pathlib.Path) -> str:
    """Stands in for Git's blob id."""
    return hashlib.sha1(file.read_bytes(), usedforsecurity=False).hexdigest()


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
        if file.is_file():
            self.send(file.read_bytes(), {"ETag": f'"{digest(file)}"', "X-Repo-Commit": COMMIT}, body=body)
        else:
            self.refuse(404, "EntryNotFound")

    def send(self, content: bytes, headers: dict[str, str], *, body: bool) -> None:
        self.send_response(200)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

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
