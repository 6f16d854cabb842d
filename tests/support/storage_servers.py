"""Real servers on loopback: fake-gcs-server for gs://, built from its Go module; Azurite for az://, by npm; MLflow, by uv.

All are pinned in tests/cluster/tools. `make servers` runs this file, which builds them into the cache folder under a name made
of those pins: the first time takes some minutes, every other one nothing.
"""

import base64
import contextlib
import email.utils
import hashlib
import hmac
import http.client
import os
import shutil
import signal
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gcs_front
import trainer_s3
import trainer_tiny_model

TOOLS = Path(__file__).resolve().parents[1] / "cluster" / "tools"
UV = str(Path(sys.executable).with_name("uv"))
"""Of the development environment."""
ACCOUNT = "account"
ACCOUNT_KEY = base64.b64encode(b"a key of the tests, known to all").decode()


@dataclass(frozen=True)
class Gcs:
    """Google Cloud Storage."""

    endpoint: str

    def bucket(self, name: str) -> None:
        """Make a bucket."""
        body = b'{"name": "%s"}' % name.encode()
        path, told = "/storage/v1/b?project=tests", {"Content-Type": "application/json"}
        _ask("POST", self.endpoint, path, told, body)

    @property
    def keys(self) -> dict[str, str]:
        """What a Secret for it holds."""
        return {"STORAGE_EMULATOR_HOST": self.endpoint}


@dataclass(frozen=True)
class Azure:
    """Azure Blob Storage."""

    endpoint: str

    def bucket(self, name: str) -> None:
        """Make a container, by a request signed with the shared key."""
        told = {"x-ms-date": email.utils.formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
        canonical = "".join(f"{key}:{value}\n" for key, value in sorted(told.items()))
        signed = f"PUT{chr(10) * 12}{canonical}/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
        digest = hmac.new(base64.b64decode(ACCOUNT_KEY), signed.encode(), hashlib.sha256).digest()
        told["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"
        _ask("PUT", self.endpoint, f"/{ACCOUNT}/{name}?restype=container", told)

    @property
    def keys(self) -> dict[str, str]:
        """What a Secret for it holds."""
        return {
            "AZURE_STORAGE_ACCOUNT": ACCOUNT,
            "AZURE_STORAGE_KEY": ACCOUNT_KEY,
            "AZURE_STORAGE_ENDPOINT": self.endpoint,
        }


def _ask(method: str, endpoint: str, path: str, headers: dict[str, str], body: bytes = b"") -> None:
    """One request of ours. 409: what is to be made is there already."""
    with contextlib.closing(http.client.HTTPConnection(urllib.parse.urlsplit(endpoint).netloc)) as connection:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        if answer.status >= 300 and answer.status != 409:
            raise RuntimeError(f"{method} {path}: HTTP {answer.status}: {answer.read()[:500]!r}")


@contextlib.contextmanager
def gcs(program: Path, folder: Path) -> Iterator[Gcs]:
    """Serve gs://, objects in memory; the log goes into `folder`."""
    port = trainer_s3.free_port()
    own = f"127.0.0.1:{port}"
    command = [program, "-backend", "memory", "-scheme", "http", "-host", "127.0.0.1", "-port", str(port)]
    command += ["-public-host", own, "-external-url", f"http://{own}", "-log-level", "warn"]
    with running(command, port, folder / "fake-gcs.log"), gcs_front.before(port) as endpoint:
        yield Gcs(endpoint)


@contextlib.contextmanager
def azure(program: Path, folder: Path) -> Iterator[Azure]:
    """Serve az://, blobs in memory; the log goes into `folder`."""
    port = trainer_s3.free_port()
    command = ["node", program, "--inMemoryPersistence", "--silent", "--disableTelemetry"]
    command += ["--skipApiVersionCheck", "--disableProductStyleUrl", "--blobPort", str(port)]
    environment = {**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{ACCOUNT_KEY}"}
    with running(command, port, folder / "azurite.log", environment):
        yield Azure(f"http://127.0.0.1:{port}/{ACCOUNT}")


@contextlib.contextmanager
def running(
    command: list[str | Path],
    port: int,
    log: Path,
    environment: dict[str, str] | None = None,
    *,
    looks: int = 100,
) -> Iterator[None]:
    """A server's processes, from when it listens. `looks`: see `trainer_s3.wait_for`."""
    with (
        log.open("wb") as out,
        subprocess.Popen(
            command, stdout=out, stderr=out, env=environment, cwd=log.parent, start_new_session=True
        ) as process,
    ):
        try:
            trainer_s3.wait_for(port, process, log, looks=looks)
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


def fakegcs() -> Path | None:
    """fake-gcs-server; None where it has not been built."""
    found = _kept("go", "fakegcs") / "fake-gcs-server"
    return found if found.is_file() else None


def azurite() -> Path | None:
    """Azurite's start file; None where it has not been installed, or there is no Node."""
    found = _kept("npm", "azurite") / "node_modules/azurite/dist/src/blob/main.js"
    return found if found.is_file() and shutil.which("node") else None


def mlflow() -> Path | None:
    """The Python in whose environment MLflow's server is installed; None where it has not been."""
    found = _kept("pip", "mlflow") / "bin/python"
    return found if found.exists() else None


def main() -> None:
    """Build what is not there yet."""
    for program, kind, name, make in (
        ("go", "go", "fakegcs", _build),
        ("npm", "npm", "azurite", _install),
        (UV, "pip", "mlflow", _environment),
    ):
        folder = _kept(kind, name)
        if shutil.which(program) is None:
            print(f"servers: {program} is missing, so the tests that need {name} skip")
        elif not folder.is_dir():
            print(f"servers: building {name}, once", flush=True)
            unfinished = folder.with_suffix(".new")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            make(TOOLS / name, unfinished)
            unfinished.rename(folder)


def _build(source: Path, into: Path) -> None:
    flags = ["-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", "-s -w"]
    package = "github.com/fsouza/fake-gcs-server"
    _run(["go", "build", *flags, "-o", str(into / "fake-gcs-server"), package], source, {"CGO_ENABLED": "0"})


def _install(source: Path, into: Path) -> None:
    shutil.copytree(source, into, dirs_exist_ok=True)
    _run(["npm", "ci", "--omit=dev", "--omit=optional", "--ignore-scripts", "--no-audit"], into, {})


def _environment(source: Path, into: Path) -> None:
    _run([UV, "venv", "-q", "--python", sys.executable, str(into)], source, {})
    requirements = str(source / "requirements.lock")
    _run([UV, "pip", "sync", "-q", "--require-hashes", "--python", str(into), requirements], source, {})


def _kept(kind: str, name: str) -> Path:
    """The folder of what tests/cluster/tools/<name> makes, the same as long as what stands there is the same."""
    source = TOOLS / name
    digest = hashlib.sha256()
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        digest.update(file.relative_to(source).as_posix().encode() + b"\0" + file.read_bytes())
    return trainer_tiny_model.cache() / kind / f"{name}-{digest.hexdigest()[:16]}"


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["nice", "-n", "10", *command],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {(done.stdout + done.stderr)[-2000:]}")


if __name__ == "__main__":
    main()
