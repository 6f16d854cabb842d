"""A Hub that is written to: the endpoints that `huggingface_hub` asks when a repository is made and files are committed to it."""

import base64
import contextlib
import hashlib
import http.server
import json
import re
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import web_server

LARGE = 1000
"""Bytes from which on a file goes the way of Git LFS."""


@dataclass
class Hub:
    """What it was told, and how it behaves."""

    token: str = "hf_secret"
    """Who has it may write."""
    refusing: dict[str, int] = field(default_factory=dict)
    """What it answers to a request whose method and path hold this text, instead of doing it; 0: nothing at all, ever."""
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """Files by name, by repository."""
    private: dict[str, bool] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)
    """Messages."""
    asked: list[str] = field(default_factory=list)
    stored: dict[str, bytes] = field(default_factory=dict)
    """What came by LFS, by SHA-256."""
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def head(self) -> str:
        """The newest commit."""
        return hashlib.sha1(str(len(self.commits)).encode(), usedforsecurity=False).hexdigest()


@contextlib.contextmanager
def serving(hub: Hub, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve `hub`, with TLS where `context` is given; its address."""
    handler = type("HandlerOfOneHub", (_Handler,), {"hub": hub})
    with web_server.running(handler, "127.0.0.1", context) as port:
        try:
            yield f"{'https' if context else 'http'}://127.0.0.1:{port}"
        finally:
            hub.ended.set()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: ClassVar[Hub]

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b"".join(iter(self._chunk, b""))
        asked = f"{self.command} {self.path}"
        self.hub.asked.append(asked)
        refused = next((status for part, status in self.hub.refusing.items() if part in asked), None)
        if refused == 0:
            self.hub.ended.wait(60)
            self.close_connection = True
        elif refused:
            self._send(refused, {"error": f"told to say {refused}"})
        elif (
            "/lfs-store/" not in self.path and self.headers.get("Authorization") != f"Bearer {self.hub.token}"
        ):
            self._send(401, {"error": "Invalid credentials in Authorization header"})
        else:
            self._send(*self._done(body))

    do_GET = do_HEAD = do_POST = do_PUT = _serve  # noqa: N815 - http.server's names

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline(), 16)
        piece = self.rfile.read(size)
        self.rfile.readline()
        return piece

    def _done(self, body: bytes) -> tuple[int, Any]:
        """Do what was asked for; status and answer."""
        hub, path = self.hub, self.path.partition("?")[0]
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if stored := re.fullmatch(r"/lfs-store/([0-9a-f]{64})", path):
            hub.stored[stored[1]] = body
            return 200, {}
        named = re.fullmatch(r"(?:/api/models)?/([^/]+/[^/]+?)(?:\.git)?(/.*)?", path)
        if not named or named[1] not in hub.repositories:
            return 404, {"error": "Repository not found"}
        repo, rest = named[1], named[2] or ""
        if rest == "/preupload/main":
            modes = [self._mode(file) for file in json.loads(body)["files"]]
            return 200, {"files": modes}
        if rest == "/info/lfs/objects/batch":
            return 200, {"objects": [self._batch(one) for one in json.loads(body)["objects"]]}
        if rest == "/commit/main":
            return self._commit(repo, [json.loads(line) for line in body.splitlines()])
        if resolved := re.fullmatch(r"/resolve/[^/]+/(.+)", rest):
            return 200, hub.repositories[repo][resolved[1]]
        files = [{"rfilename": name, "size": len(held)} for name, held in hub.repositories[repo].items()]
        return 200, {
            "id": repo,
            "modelId": repo,
            "sha": hub.head,
            "private": True,
            "siblings": files,
            "tags": [],
        }

    def _create(self, asked: dict[str, Any]) -> tuple[int, Any]:
        repo = f"{asked['organization']}/{asked['name']}"
        answer = {"url": f"http://{self.headers['Host']}/{repo}", "name": repo, "id": repo}
        if repo in self.hub.repositories:
            return 409, {"error": "You already created this model repo", **answer}
        self.hub.repositories[repo] = {}
        self.hub.private[repo] = asked.get("visibility") == "private"
        return 200, answer

    @staticmethod
    def _mode(file: dict[str, Any]) -> dict[str, Any]:
        mode = "lfs" if file["size"] >= LARGE else "regular"
        return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}

    def _batch(self, one: dict[str, Any]) -> dict[str, Any]:
        upload = {"href": f"http://{self.headers['Host']}/lfs-store/{one['oid']}"}
        return {**one, "actions": {"upload": upload}}

    def _commit(self, repo: str, lines: list[dict[str, Any]]) -> tuple[int, Any]:
        files = self.hub.repositories[repo]
        for line in lines:
            said = line["value"]
            match line["key"]:
                case "header":
                    self.hub.commits.append(said["summary"])
                case "file":
                    files[said["path"]] = base64.b64decode(said["content"])
                case "lfsFile":
                    files[said["path"]] = self.hub.stored[said["oid"]]
                case "deletedFile":
                    del files[said["path"]]
        return 200, {
            "commitUrl": f"http://{self.headers['Host']}/{repo}/commit/{self.hub.head}",
            "commitOid": self.hub.head,
        }

    def _send(self, status: int, answer: Any) -> None:
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in (
            ("Content-Type", "application/json"), ("Content-Length", str(len(content))),
            ("ETag", f'"{hashlib.sha1(content, usedforsecurity=False).hexdigest()}"'), ("X-Repo-Commit", self.hub.head),
        ):  # fmt: skip
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Quiet."""
