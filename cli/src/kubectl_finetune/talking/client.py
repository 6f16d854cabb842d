"""The trainer's server (`python -m finetune_trainer.talking`) as this program speaks to it: OpenAI's chat completions."""

import http.client
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from kubectl_finetune import errors

Side = Literal["base", "tuned"]
SIDES: tuple[Side, ...] = ("base", "tuned")
Message = dict[str, str]
Hear = Callable[[str], object]
"""Is told each piece of an answer as it comes."""

ALONE_SECONDS = 120
"""So long after the last question, sign of life included, the server ends by itself: nothing is left behind by who is gone."""
SIGN_SECONDS = 20.0
ANSWER_SECONDS = 600.0
"""Between two pieces of an answer; CPUs are slow, and questions can be long."""
LOOK_SECONDS = 5.0
ANY = {"0.0.0.0", ""}  # noqa: S104 - where others have said to listen
DATA, DONE = b"data: ", b"[DONE]"


@dataclass(frozen=True)
class Manner:
    """How an answer is made."""

    max_new_tokens: int = 256
    temperature: float = 0.0
    """0: always the likeliest token."""
    seed: int | None = None


class Client:
    """One server that listens on `host` of this machine. `name`: the tuned model's."""

    def __init__(self, host: str, port: int, name: str) -> None:
        self._url = f"http://{'127.0.0.1' if host in ANY else host}:{port}"
        self._names: dict[Side, str] = {"tuned": name, "base": "base"}

    def waits_for(self) -> str | None:
        """What it does before it can answer; None: it is ready. OSError where nobody listens yet."""
        try:
            with urllib.request.urlopen(f"{self._url}/healthz", timeout=LOOK_SECONDS):  # noqa: S310 - http, as the address says
                return None
        except urllib.error.HTTPError as error:
            with error:
                return str(_document(error.read()).get("status") or error.reason)
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error

    def ask(self, side: Side, talk: Sequence[Message], manner: Manner, hear: Hear = lambda _: None) -> str:
        """What `side` says next; `hear` is told each piece of it. `Outside` where the server does not answer."""
        asked = {
            "model": self._names[side],
            "messages": list(talk),
            "stream": True,
            "max_tokens": manner.max_new_tokens,
            "temperature": manner.temperature,
            "seed": manner.seed,
        }
        request = urllib.request.Request(  # noqa: S310 - http, as the address says
            f"{self._url}/v1/chat/completions",
            data=json.dumps(asked).encode(),
            headers={"Content-Type": "application/json"},
        )
        said = ""
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:  # noqa: S310 - same
                for text in _pieces(answer):
                    said += text
                    hear(text)
        except urllib.error.HTTPError as error:
            with error:
                told = _document(error.read()).get("error") or {}
            raise errors.Mistake(
                f"the model does not answer ({told.get('message', error.reason)}); ask something else, or run the command again"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise errors.Outside(
                f"the model's server stopped in the middle of an answer ({error}); run the same command again"
            ) from error
        return said.strip()

    @contextmanager
    def kept_awake(self) -> Iterator[None]:
        """Give signs of life, so that the server stays while a person thinks."""
        over = threading.Event()

        def sign() -> None:
            while not over.wait(SIGN_SECONDS):
                try:
                    self.waits_for()
                except OSError:
                    continue  # whoever asks next says so

        thread = threading.Thread(target=sign, name="signs of life", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()


def _pieces(lines: Iterator[bytes]) -> Iterator[str]:
    """The texts of a stream of server-sent events."""
    ended = False
    for line in lines:
        if not line.startswith(DATA):
            continue
        data = line.removeprefix(DATA).strip()
        if data == DONE:
            ended = True
            break
        event = _document(data)
        if error := event.get("error"):
            raise errors.Mistake(
                str(
                    error.get("message")
                    or "the model's server refused the question and did not say why; ask another one"
                )
            )
        yield event["choices"][0]["delta"].get("content") or ""
    if not ended:
        raise ConnectionError("the stream broke off")


def _document(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
