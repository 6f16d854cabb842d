"""The operator under test: a process of this checkout outside the cluster, with the rights that the chart gives and no others."""

import asyncio
import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import aiohttp
import yaml
from bench_api import ApiServer, apply, send

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "finetune-operator"
NAMESPACE = "finetune-system"
OPERATOR = ("-m", "finetune_operator")
TICKS = os.sysconf("SC_CLK_TCK")
PLURALS = {
    "ClusterRole": "clusterroles",
    "ClusterRoleBinding": "clusterrolebindings",
    "Role": "roles",
    "RoleBinding": "rolebindings",
}


def rendered(helm: str) -> list[dict[str, Any]]:
    """The chart's objects."""
    command = [helm, "template", "finetune-operator", str(CHART), "-n", NAMESPACE]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [document for document in yaml.safe_load_all(text) if document]


async def install(session: aiohttp.ClientSession, helm: str) -> None:
    """CustomResourceDefinitions, roles and ServiceAccount of the chart; no Deployment."""
    await apply(session, f"/api/v1/namespaces/{NAMESPACE}", named("v1", "Namespace", NAMESPACE))
    for document in rendered(helm):
        if path := _path(document):
            await apply(session, path, document)
    await asyncio.sleep(2)  # a new kind is served a moment later


def named(version: str, kind: str, name: str, **more: Any) -> dict[str, Any]:
    """An object with nothing but a name."""
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **more}


def _path(document: dict[str, Any]) -> str | None:
    """Where it is applied; None for what is not needed outside the cluster."""
    kind, name = document["kind"], document["metadata"]["name"]
    if kind == "CustomResourceDefinition":
        return f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"
    if kind == "ServiceAccount":
        return f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{name}"
    if kind not in PLURALS:
        return None
    scope = "" if kind.startswith("Cluster") else f"namespaces/{document['metadata']['namespace']}/"
    return f"/apis/rbac.authorization.k8s.io/v1/{scope}{PLURALS[kind]}/{name}"


async def kubeconfig(session: aiohttp.ClientSession, server: ApiServer, folder: pathlib.Path) -> pathlib.Path:
    """A kubeconfig with a token of the operator's ServiceAccount."""
    path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/finetune-operator/token"
    asked = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": 14400},
    }
    token = (await send(session, "POST", path, asked))["status"]["token"]
    authority = folder / "ca.crt"
    authority.write_text(server.authority)
    found = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "bench", "cluster": {"server": server.server, "certificate-authority": str(authority)}}
        ],
        "users": [{"name": "bench", "user": {"token": token}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
        "current-context": "bench",
    }
    file = folder / "operator.kubeconfig"
    file.write_text(yaml.safe_dump(found))
    file.chmod(0o600)
    return file


@dataclass(frozen=True)
class Use:
    """What a process has used so far."""

    cpu_seconds: float
    rss_mb: float
    """Peak since the last `reset`."""


def use_of(pid: int) -> Use:
    """CPU and memory of a process so far."""
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    peak = re.search(r"VmHWM:\s+(\d+)", status)
    return Use((int(stat[11]) + int(stat[12])) / TICKS, int(peak[1]) / 1024 if peak else 0.0)


class Subject:
    """The running operator, or another `program` of Python in its place."""

    def __init__(
        self,
        config: pathlib.Path,
        log: pathlib.Path,
        *,
        program: tuple[str, ...] = OPERATOR,
        **settings: str,
    ) -> None:
        self._port = free_port()
        environ = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("FINETUNE_", "KUBERNETES_"))
        }
        environ |= {
            "KUBECONFIG": str(config),
            "FINETUNE_TRAINER_IMAGE": "trainer:bench",
            "FINETUNE_HTTP_PORT": str(self._port),
            "FINETUNE_LEADER_ELECTION": "false",  # renewals are not what is measured
            **settings,
        }
        self.started = time.monotonic()
        with log.open("a") as file:
            self._process = subprocess.Popen([sys.executable, *program], env=environ, stderr=file)
        self.log = log

    async def ready(self, patience: float = 120) -> float:
        """Seconds from the start until /readyz says so."""
        async with aiohttp.ClientSession() as session:
            while time.monotonic() < self.started + patience:
                if self._process.poll() is not None:
                    break
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(f"http://127.0.0.1:{self._port}/readyz") as answer:
                        if answer.status == 200:
                            return time.monotonic() - self.started
                await asyncio.sleep(0.05)
        raise RuntimeError(f"the operator is not ready (exit code {self._process.poll()}):\n{self.tail()}")

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def tail(self) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text().splitlines()[-20:])

    async def requests(self) -> Counter[str]:
        """Requests it says it has sent, by verb."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{self._port}/metrics") as answer,
        ):
            text = await answer.text()
        found: Counter[str] = Counter()
        for verb, count in re.findall(
            r'^finetunejob_api_requests_total{.*?verb="(\w+)".*?} (\S+)$', text, re.MULTILINE
        ):
            found[verb.lower()] += int(float(count))
        return found

    @property
    def port(self) -> int:
        """Of its metrics."""
        return self._port

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    def use(self) -> Use:
        """CPU and memory so far."""
        return use_of(self._process.pid)

    def reset(self) -> None:
        """Forget the peak of memory."""
        with contextlib.suppress(OSError):
            pathlib.Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")

    def kill(self) -> None:
        """Without a word."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """As the kubelet does."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        port: int = opened.getsockname()[1]
        return port


def machine_busy_seconds() -> float:
    """CPU seconds that the whole machine has spent on work."""
    values = [int(value) for value in pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    return (sum(values) - values[3] - values[4]) / TICKS
