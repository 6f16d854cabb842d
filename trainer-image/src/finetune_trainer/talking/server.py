"""A small server of OpenAI's chat completions, for one result and its base. One answer at a time: for trying, not for a crowd."""

import json
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from finetune_trainer.talking.answer import Answer, Answers, Manner, Message, Side

PORT = 8000
CLOSE_SECONDS = 0.1
"""How soon the server notices that it shall close."""

LARGEST = 1 << 20
"""Bytes of a request."""
SERVER_ERROR = 500
COMPLETIONS = "/v1/chat/completions"
BASE = "base"
"""What the model is called that was there before."""


class Refusal(Exception):
    """A request that is refused; `code` is HTTP's."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code

    @property
    def document(self) -> dict[str, Any]:
        """As OpenAI writes it."""
        kind = "invalid_request_error" if self.code < SERVER_ERROR else "server_error"
        return {"message": str(self), "type": kind, "param": None, "code": None}


class Service(ThreadingHTTPServer):
    """Listens from the first moment, and says what it waits for; answers once it is `open`."""

    daemon_threads = True

    def __init__(self, host: str, port: int) -> None:
        super().__init__((host, port), Handler)
        self.waits_for: str | None = "starting"
        """What it still does before it can answer; None: nothing."""
        self.sides: dict[str, Side] = {}
        """What models are called."""
        self.answers: Answers | None = None
        self._heard = time.monotonic()

    def tell(self, waits_for: str) -> None:
        """What it does before it can answer."""
        self.waits_for = waits_for

    def open(self, name: str, answers: Answers) -> None:
        """From now on it answers. The tuned model is called `name`."""
        self.sides = {name: "tuned", BASE: "base"}
        self.answers = answers
        self.waits_for = None

    def hear(self) -> None:
        """Somebody has asked something."""
        self._heard = time.monotonic()

    def silent_for(self) -> float:
        """Seconds since anybody has asked anything."""
        return time.monotonic() - self._heard


@contextmanager
def listening(host: str, port: int) -> Iterator[Service]:
    """A service at `host`:`port` (0: any), answering from a thread of its own."""
    with Service(host, port) as made:
        thread = threading.Thread(target=made.serve_forever, args=(CLOSE_SECONDS,), name="serve", daemon=True)
        thread.start()
        try:
            yield made
        finally:
            made.shutdown()
            thread.join()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    @property
    def service(self) -> Service:
        """Whose it is."""
        return cast("Service", self.server)

    def do_GET(self) -> None:
        """Which models there are."""
        self.service.hear()
        match self.path.partition("?")[0]:
            case "/v1/models":
                listed = [
                    {"id": one, "object": "model", "created": 0, "owned_by": "finetune"}
                    for one in self.service.sides
                ]
                self._send(200, {"object": "list", "data": listed})
            case "/healthz":
                waits_for = self.service.waits_for
                self._send(503 if waits_for else 200, {"status": waits_for or "ok"})
            case _:
                self._refuse(Refusal(404, f"there is no {self.path}; there are /v1/models and {COMPLETIONS}"))

    def do_POST(self) -> None:
        """A completion."""
        self.service.hear()
        try:
            asked = self._asked()
            answers, model = self._answers(), self._model(asked)
            messages, manner = _messages(asked), _manner(asked)
            if asked.get("stream"):
                self._stream(answers, model, messages, manner)
            else:
                said = _answered(answers, messages, self.service.sides[model], manner)
                self._send(200, _completion(model, said))
        except Refusal as refusal:
            self._refuse(refusal)

    def _asked(self) -> dict[str, Any]:
        """The request, as far as it is one."""
        length = int(self.headers.get("Content-Length") or 0)
        if length > LARGEST:
            self.close_connection = True
            raise Refusal(
                413, f"the request has {length} bytes, more than {LARGEST}; shorten the conversation"
            )
        body = self.rfile.read(length)
        if self.path.partition("?")[0] != COMPLETIONS:
            raise Refusal(404, f"there is no {self.path}; send POST requests to {COMPLETIONS}")
        try:
            asked = json.loads(body)
        except ValueError as error:
            raise Refusal(400, f"the request is not JSON ({error}); send a JSON object") from error
        if not isinstance(asked, dict):
            raise Refusal(
                400, 'the request is JSON, but not an object; send an object such as {"messages": [...]}'
            )
        return asked

    def _answers(self) -> Answers:
        if self.service.answers is None:
            raise Refusal(503, f"not ready yet: {self.service.waits_for}; ask again in a moment")
        return self.service.answers

    def _model(self, asked: dict[str, Any]) -> str:
        model, sides = asked.get("model"), self.service.sides
        if model not in sides:
            raise Refusal(404, f"there is no model {model!r}; set model to one of {', '.join(sides)}")
        return str(model)

    def _stream(self, answers: Answers, model: str, messages: list[Message], manner: Manner) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        chunk = _chunks(model)
        try:
            self._event(chunk({"role": "assistant", "content": ""}))
            said = _answered(
                answers,
                messages,
                self.service.sides[model],
                manner,
                lambda text: self._event(chunk({"content": text})),
            )
            self._event(chunk({}, _reason(said)))
            self.wfile.write(b"data: [DONE]\n\n")
        except Refusal as refusal:
            self._event({"error": refusal.document})  # the status of the answer is sent already
        except (BrokenPipeError, ConnectionResetError):
            return  # whoever asked has gone

    def _event(self, document: dict[str, Any]) -> None:
        self.wfile.write(b"data: " + json.dumps(document, ensure_ascii=False).encode() + b"\n\n")
        self.wfile.flush()

    def _refuse(self, refusal: Refusal) -> None:
        self._send(refusal.code, {"error": refusal.document})

    def _send(self, code: int, document: dict[str, Any]) -> None:
        body = json.dumps(document, ensure_ascii=False).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing is written of what people ask."""


def _answered(
    answers: Answers,
    messages: list[Message],
    side: Side,
    manner: Manner,
    hear: Callable[[str], object] = lambda _: None,
) -> Answer:
    """An answer; what the model raises is told to whoever asked."""
    try:
        return answers(messages, side, manner, hear)
    except (BrokenPipeError, ConnectionResetError):
        raise
    except Exception as error:
        traceback.print_exception(error)
        raise Refusal(
            SERVER_ERROR,
            f"the model could not answer ({type(error).__name__}: {error}); try a shorter question",
        ) from error


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
        raise Refusal(400, "n: must be 1, one answer is given")
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
