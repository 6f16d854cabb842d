"""`/progress`, `/metrics` and `/healthz` on one port; at node 0 of several also what the others tell (gang.py).

From a thread of the standard library's server: it answers a handful of requests a minute.
"""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import prometheus_client
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from finetune_trainer import report
from finetune_trainer.supervisor import gang

PORT = 8080

TEXT = "text/plain; charset=utf-8"
CALLER_SECONDS = 10.0
"""How long a caller may be silent."""

NOTHING = 404, TEXT, b"no such path\n"

CLOSE_SECONDS = 0.1
"""How soon the server notices that it shall close."""

MAX_WORD = 4096
"""Bytes of what may be told here."""

Hear = Callable[[bytes], bytes | None]
"""Answers a word of another node; None: it is told to go."""

Source = Callable[[], report.Progress | None]
"""Where the progress document comes from; None: there is none yet."""

GAUGES = {
    "step": "Optimiser steps done.",
    "total_steps": "Optimiser steps in total.",
    "epoch": "Epochs done.",
    "loss": "Training loss (SFT: nats per learned token).",
    "eval_loss": "Held-out loss (SFT: nats per learned token).",
    "learning_rate": "Learning rate.",
    "tokens_per_second": "Tokens that pass through the model per second.",
    "mfu": "Share of the GPUs' computing power that is used (0 to 1).",
    "eta_seconds": "Seconds to the end of training.",
}
"""Field of the progress document -> help text."""


class ProgressCollector(Collector):
    """The progress document as Prometheus metrics, read when asked."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def collect(self) -> Iterator[Metric]:
        """See `Collector`."""
        progress = self._source()
        if progress is None:
            return
        for name, told in GAUGES.items():
            value = getattr(progress, name)
            if value is not None:
                yield GaugeMetricFamily(f"finetune_trainer_{name}", told, value=float(value))
        yield GaugeMetricFamily("finetune_trainer_attempt", "This attempt's number.", value=progress.attempt)
        moved = progress.updated_at.timestamp()
        yield GaugeMetricFamily(
            "finetune_trainer_updated_timestamp_seconds", "When there was progress last.", value=moved
        )
        stage = GaugeMetricFamily(
            "finetune_trainer_stage", "1 for the stage the pod is in.", labels=["stage"]
        )
        stage.add_metric([progress.stage], 1.0)
        yield stage
        if progress.checkpoint:
            step = progress.checkpoint.step
            yield GaugeMetricFamily(
                "finetune_trainer_checkpoint_step", "Step of the last checkpoint.", value=step
            )


class Server:
    """Serves until the process ends; a daemon thread never keeps a pod alive."""

    def __init__(self, source: Source, *, port: int = PORT, hear: Hear | None = None) -> None:
        registry = prometheus_client.CollectorRegistry()
        registry.register(ProgressCollector(source))
        self._http = ThreadingHTTPServer(("", port), _handler(source, registry, hear))
        self._http.daemon_threads = True
        serving = threading.Thread(
            target=self._http.serve_forever, args=(CLOSE_SECONDS,), name="http", daemon=True
        )
        serving.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._http.server_address[1])

    def close(self) -> None:
        """Stop serving."""
        self._http.shutdown()
        self._http.server_close()


def _answers(
    source: Source, registry: prometheus_client.CollectorRegistry
) -> dict[str, Callable[[], tuple[int, str, bytes]]]:
    """What is said to whoever asks, by path."""

    def metrics() -> tuple[int, str, bytes]:
        text: bytes = prometheus_client.generate_latest(registry)
        return 200, prometheus_client.CONTENT_TYPE_LATEST, text

    def progress() -> tuple[int, str, bytes]:
        document = source()
        if document is None:
            return 503, TEXT, b"nothing to tell yet\n"
        return 200, "application/json", report.encode_progress(document)

    return {"/progress": progress, "/metrics": metrics, "/healthz": lambda: (200, TEXT, b"ok\n")}


def _handler(
    source: Source, registry: prometheus_client.CollectorRegistry, hear: Hear | None
) -> type[BaseHTTPRequestHandler]:
    """A handler class that knows where its answers come from: the server makes one object per request."""
    answers = _answers(source, registry)

    class Handler(BaseHTTPRequestHandler):
        """A few fixed paths."""

        timeout = CALLER_SECONDS

        def do_GET(self) -> None:
            answer = answers.get(self.path.partition("?")[0])
            self._say(*(answer() if answer else NOTHING))

        def do_POST(self) -> None:
            self._say(*(NOTHING if hear is None or self.path != gang.PATH else self._heard(hear)))

        def _heard(self, hear: Hear) -> tuple[int, str, bytes]:
            length = self.headers.get("Content-Length", "")
            if not length.isdecimal() or int(length) > MAX_WORD:
                return 413, TEXT, b"too much\n"
            answer = hear(self.rfile.read(int(length)))
            return (409, TEXT, b"not of this gang\n") if answer is None else (200, "application/json", answer)

        def _say(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Probes are not news."""

    return Handler
