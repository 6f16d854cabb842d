"""A small server of OpenAI's chat completions, for one result and its base. One answer at a time: for trying, not for a crowd."""

import json
import threading
import time
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from kubectl_finetune import errors
from kubectl_finetune.talking.answer import Answer, Answers, Manner, Message, Side

LARGEST = 1 << 20
"""Bytes of a request."""
COMPLETIONS = "/v1/chat/completions"
BASE = "base"
"""What the model is called that was there before."""


class Refusal(Exception):
    """A request that is refused; `code` is HTTP's."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


def server(name: str, answers: Answers, *, host: str, port: int) -> ThreadingHTTPServer:
    """Listening already; `serve_forever` answers. The tuned model is called `name`."""
    sides: dict[str, Side] = {name: "tuned", BASE: "base"}
    handler = type("Handler", (Handler,), {"sides": sides, "answers": staticmethod(answers)})
    try:
        return ThreadingHTTPServer((host, port), handler)
    except OSError as error:
        raise errors.Outside(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another --port"
        ) from error


class Handler(BaseHTTPRequestHandler):
    """One connection. `sides` and `answers` are its subclass's."""

    protocol_version = "HTTP/1.1"
    sides: ClassVar[dict[str, Side]]
    """What models are called."""
    answers: ClassVar[Answers]

    def do_GET(self) -> None:
        """Which models there are."""
        match self.path.partition("?")[0]:
            case "/v1/models":
                listed = [
                    {"id": one, "object": "model", "created": 0, "owned_by": "finetune"} for one in self.sides
                ]
                self._send(200, {"object": "list", "data": listed})
            case "/healthz":
                self._send(200, {"status": "ok"})
            case _:
                self._refuse(Refusal(404, f"there is no {self.path}; /v1/models and {COMPLETIONS} are"))

    def do_POST(self) -> None:
        """A completion."""
        try:
            asked = self._asked()
            model, messages, manner = self._model(asked), _messages(asked), _manner(asked)
        except Refusal as refusal:
            self._refuse(refusal)
            return
        if asked.get("stream"):
            self._stream(model, messages, manner)
        else:
            said = type(self).answers(messages, self.sides[model], manner, lambda _: None)
            self._send(200, _completion(model, said))

    def _asked(self) -> dict[str, Any]:
        """The request, as far as it is one."""
        length = int(self.headers.get("Content-Length") or 0)
        if length > LARGEST:
            self.close_connection = True
            raise Refusal(413, f"the request has {length} bytes, more than {LARGEST}")
        body = self.rfile.read(length)
        if self.path.partition("?")[0] != COMPLETIONS:
            raise Refusal(404, f"there is no {self.path}; {COMPLETIONS} is")
        try:
            asked = json.loads(body)
        except ValueError as error:
            raise Refusal(400, f"the request is no JSON: {error}") from error
        if not isinstance(asked, dict):
            raise Refusal(400, "the request must be an object")
        return asked

    def _model(self, asked: dict[str, Any]) -> str:
        model = asked.get("model")
        if model not in self.sides:
            raise Refusal(404, f"there is no model {model!r}; there are {', '.join(self.sides)}")
        return str(model)

    def _stream(self, model: str, messages: list[Message], manner: Manner) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        chunk = _chunks(model)
        try:
            self._event(chunk({"role": "assistant", "content": ""}))
            said = type(self).answers(
                messages, self.sides[model], manner, lambda text: self._event(chunk({"content": text}))
            )
            self._event(chunk({}, _reason(said)))
            self.wfile.write(b"data: [DONE]\n\n")
        except (BrokenPipeError, ConnectionResetError):
            return  # whoever asked has gone

    def _event(self, document: dict[str, Any]) -> None:
        self.wfile.write(b"data: " + json.dumps(document, ensure_ascii=False).encode() + b"\n\n")
        self.wfile.flush()

    def _refuse(self, refusal: Refusal) -> None:
        told = {"message": str(refusal), "type": "invalid_request_error", "param": None, "code": None}
        self._send(refusal.code, {"error": told})

    def _send(self, code: int, document: dict[str, Any]) -> None:
        body = json.dumps(document, ensure_ascii=False).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing is written of what people ask."""


def _messages(asked: dict[str, Any]) -> list[Message]:
    found = asked.get("messages")
    if not isinstance(found, list) or not found:
        raise Refusal(400, "messages: must be a list of at least one {role, content}")
    made = []
    for at, one in enumerate(found):
        content = one.get("content") if isinstance(one, dict) else None
        if isinstance(content, list):
            content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
        if not isinstance(content, str) or not isinstance(one.get("role"), str):
            raise Refusal(400, f"messages[{at}]: must be {{role, content}} with a text as content")
        made.append({"role": one["role"], "content": content})
    return made


NUMBERS = {
    "temperature": (0.0, 2.0),
    "top_p": (0.0, 1.0),
    "max_tokens": (1, 32768),
    "max_completion_tokens": (1, 32768),
}
"""Settings that are heard, and their bounds."""


def _manner(asked: dict[str, Any]) -> Manner:
    for name, (least, most) in NUMBERS.items():
        value = asked.get(name)
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most
        ):
            raise Refusal(400, f"{name}: must be a number from {least} to {most}")
    if asked.get("n") not in {None, 1}:
        raise Refusal(400, "n: one answer is given")
    most_tokens = asked.get("max_completion_tokens") or asked.get("max_tokens")
    told = {
        "temperature": asked.get("temperature"),
        "top_p": asked.get("top_p"),
        "seed": asked.get("seed"),
        "max_new_tokens": most_tokens,
    }
    return Manner(**{name: value for name, value in told.items() if value is not None})


def _completion(model: str, said: Answer) -> dict[str, Any]:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": said.text},
        "finish_reason": _reason(said),
        "logprobs": None,
    }
    total = said.prompt_tokens + said.tokens
    usage = {"prompt_tokens": said.prompt_tokens, "completion_tokens": said.tokens, "total_tokens": total}
    return {**_head(model, "chat.completion"), "choices": [choice], "usage": usage}


def _reason(said: Answer) -> str:
    return "stop" if said.ended else "length"


def _chunks(model: str) -> Callable[..., dict[str, Any]]:
    head = _head(model, "chat.completion.chunk")

    def chunk(delta: dict[str, str], reason: str | None = None) -> dict[str, Any]:
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}]}

    return chunk


def _head(model: str, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": kind, "created": int(time.time()), "model": model}


def in_background(made: ThreadingHTTPServer) -> threading.Thread:
    """Answer from a thread of its own."""
    thread = threading.Thread(target=made.serve_forever, name="serve", daemon=True)
    thread.start()
    return thread
