"""A real Prometheus on this machine: it scrapes the operator's pods, or what a file says, and evaluates our alerts."""

import contextlib
import http
import http.client
import json
import pathlib
import re
import shutil
import socket
import subprocess
import threading
import urllib.parse
from collections.abc import Iterator
from typing import Any

import yaml

import chart_tools
import real_cluster
import stories

Series = list[tuple[dict[str, str], list[tuple[float, float]]]]
HELD = "5s"
"""How long a condition must hold here before its alert fires. `promtool test rules` proves the real times."""


class Prometheus:
    """Questions to it."""

    def __init__(self, port: int) -> None:
        self._port = port

    def values(self, query: str) -> dict[tuple[str, ...], float]:
        """What an instant query says, by the values of the labels in the order of their names."""
        found = self._get("/api/v1/query?" + urllib.parse.urlencode({"query": query}))["result"]
        return {
            tuple(one["metric"][name] for name in sorted(one["metric"])): float(one["value"][1])
            for one in found
        }

    def series(self, query: str, start: float, end: float, step: float) -> Series:
        """What a query says from `start` to `end` (seconds since 1970), every `step` seconds: labels, and moments with values."""
        asked = urllib.parse.urlencode({"query": query, "start": start, "end": end, "step": step})
        found = self._get(f"/api/v1/query_range?{asked}")["result"]
        return [
            (one["metric"], [(float(moment), float(value)) for moment, value in one["values"]])
            for one in found
        ]

    def firing(self) -> set[str]:
        """Names of the alerts that fire."""
        alerts = self._get("/api/v1/alerts")["alerts"]
        return {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"}

    def ready(self) -> bool:
        """Whether it answers."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self._answer("/-/ready")[0] == http.HTTPStatus.OK
        return False

    def _get(self, path: str) -> Any:
        status, body = self._answer(path)
        assert status == http.HTTPStatus.OK, body
        return json.loads(body)["data"]

    def _answer(self, path: str) -> tuple[int, str]:
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        ) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()


@contextlib.contextmanager
def running(kube: real_cluster.ApiServer, folder: pathlib.Path) -> Iterator[Prometheus]:
    """One that keeps its data in `folder`, and evaluates our alerts."""
    rules = (chart_tools.CHART / "files" / "alerts.yaml").read_text()
    (folder / "alerts.yaml").write_text(re.sub(r"\bfor: \w+", f"for: {HELD}", rules))
    with discovered(kube, folder / TARGETS), scraping(folder) as server:
        yield server


@contextlib.contextmanager
def scraping(folder: pathlib.Path) -> Iterator[Prometheus]:
    """One that keeps its data in `folder`, and scrapes what the file `TARGETS` there says."""
    chart_tools.promtool()
    program = shutil.which("prometheus")
    assert program is not None
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(CONFIGURATION))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = (f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/data")
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [program, *words, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log
        )
        try:
            server = Prometheus(port)
            stories.wait_until(server.ready, bool, what="Prometheus to answer", seconds=30)
            yield server
        finally:
            process.terminate()
            process.wait(timeout=30)


@contextlib.contextmanager
def discovered(kube: real_cluster.ApiServer, file: pathlib.Path) -> Iterator[None]:
    """Keep a file of the operator's pods, as they come and go: Debian's Prometheus cannot ask Kubernetes."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(1.0):
            pods = kube.list(
                "pods", real_cluster.RELEASE_NAMESPACE, "app.kubernetes.io/name=finetune-operator"
            )
            found = [
                {"targets": [f"{pod['status']['podIP']}:8080"], "labels": {"pod": pod["metadata"]["name"]}}
                for pod in pods
                if "podIP" in pod["status"]
            ]
            tell(file, found)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def tell(file: pathlib.Path, targets: list[dict[str, Any]]) -> None:
    """Write what is to be scraped, as a whole."""
    new = file.with_suffix(".new")
    new.write_text(json.dumps(targets))
    new.replace(file)


TARGETS = "operators.json"
CONFIGURATION = {
    "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
    "rule_files": ["alerts.yaml"],
    "scrape_configs": [
        {
            "job_name": "finetune-operator",
            "honor_labels": True,
            "file_sd_configs": [{"files": [TARGETS], "refresh_interval": "1s"}],
        }
    ],
}
"""What our ServiceMonitor amounts to, every second."""
