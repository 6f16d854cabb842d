"""Stands in for W&B's server: keeps one run, as its client sends it, and tells a client that comes again how far it is."""

import contextlib
import gzip
import http.server
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import web_server
from tracker_figures import Figures


@dataclass
class Server:
    """What was heard."""

    address: str = ""
    keys: set[str] = field(default_factory=set)
    """Of all requests, as HTTP's basic authentication has them."""
    runs: list[dict[str, Any]] = field(default_factory=list)
    """What each client said of the run when it came: name, project, settings."""
    rows: list[dict[str, Any]] = field(default_factory=list)
    """Its history."""
    summary: dict[str, Any] = field(default_factory=dict)
    ends: list[bool] = field(default_factory=list)
    """Each client's last word: whether the run went well."""
    preempting: bool = False
    refuses: int = 0
    """Requests that are answered by 401 before it knows the client's key."""
    refused: int = 0

    @property
    def figures(self) -> Figures:
        """(name, step) -> value. None may stand there twice."""
        told = [
            ((name, int(row["_step"])), value)
            for row in self.rows
            for name, value in row.items()
            if not name.startswith("_")
        ]
        assert len(dict(told)) == len(told)
        return dict(told)

    def query(self, text: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The answer to a GraphQL query."""
        place = {"name": "p", "entity": {"name": "team"}}
        if "upsertBucket" in text:
            if variables.get("displayName"):
                self.runs.append(variables)
            bucket = {"id": "1", "name": variables["name"], "displayName": "tiny", "project": place}
            return {"upsertBucket": {"bucket": bucket, "inserted": len(self.runs) == 1}}
        if "RunResumeStatus" in text:
            return {"model": {**place, "bucket": self._resumed() if self.runs else None}}
        if "createRunFiles" in text:
            files = [{"name": name, "uploadUrl": f"{self.address}/file"} for name in variables["files"]]
            return {"createRunFiles": {"runID": "1", "uploadHeaders": [], "files": files}}
        return {}

    def _resumed(self) -> dict[str, Any]:
        last = json.dumps(self.rows[-1]) if self.rows else "{}"
        return {
            "id": "1",
            "name": self.runs[0]["name"],
            "displayName": "tiny",
            "config": "{}",
            "wandbConfig": '{"t": 1}',
            "tags": [],
            "historyLineCount": len(self.rows),
            "eventsLineCount": 0,
            "logLineCount": 0,
            "historyTail": json.dumps([last]),
            "eventsTail": "[]",
            "summaryMetrics": last,
        }

    def stream(self, told: dict[str, Any]) -> None:
        """A part of the run's files as they grow."""
        files = {name: one["content"] for name, one in told.get("files", {}).items()}
        self.rows += [json.loads(line) for line in files.get("wandb-history.jsonl", [])]
        self.summary |= json.loads("".join(files.get("wandb-summary.json", ["{}"])))
        self.preempting = self.preempting or bool(told.get("preempting"))
        if told.get("complete"):
            self.ends.append(told.get("exitcode") == 0)


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """Serve on loopback."""
    heard = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            said = json.loads(gzip.decompress(raw) if self.headers.get("Content-Encoding") == "gzip" else raw)
            heard.keys.add(self.headers.get("Authorization") or "")
            answer: dict[str, Any] = {}
            if heard.refused < heard.refuses:
                heard.refused += 1
                self._say(b'{"error_code": "UNAUTHENTICATED", "message": "no"}', code=401)
                return
            if self.path.endswith("/graphql"):
                answer = {"data": heard.query(said["query"], said.get("variables") or {})}
            elif self.path.endswith("/file_stream"):
                heard.stream(said)
            self._say(json.dumps(answer).encode())

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._say(b"")

        def _say(self, body: bytes, code: int = 200) -> None:
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    with web_server.running(Handler, "127.0.0.1") as port:
        heard.address = f"http://127.0.0.1:{port}"
        yield heard
