"""MLflow's own server on loopback, in an environment of its own (`make servers`): the trainer has only the client."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import storage_servers
import trainer_s3


@contextlib.contextmanager
def running(python: Path, folder: Path) -> Iterator[str]:
    """Serve runs that lie in a database below `folder`; the server's address. `python`: `storage_servers.mlflow()`."""
    port = trainer_s3.free_port()
    command = [
        *(str(python), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--workers", "1", "--backend-store-uri", f"sqlite:///{folder / 'runs.db'}"),
        *("--artifacts-destination", str(folder / "artifacts")),
    ]
    quiet = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    log = folder / "mlflow.log"
    with storage_servers.running(command, port, log, quiet, looks=1200):
        yield f"http://127.0.0.1:{port}"
