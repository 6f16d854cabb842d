"""What a tracker's process sees: its own key and no other, the way to its server, and nothing of the pod's."""

from collections.abc import Mapping
from pathlib import Path

import certifi

from finetune_trainer import config
from finetune_trainer.layout import Layout
from finetune_trainer.storage import credentials
from finetune_trainer.supervisor import launch
from finetune_trainer.tracking.assignment import Kind

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
"""How the profile's environment leads out of the cluster."""

KEYS: Mapping[Kind, frozenset[str]] = {
    "wandb": frozenset({"WANDB_API_KEY"}),
    "mlflow": frozenset(
        {
            "MLFLOW_TRACKING_TOKEN",
            "MLFLOW_TRACKING_USERNAME",
            "MLFLOW_TRACKING_PASSWORD",
            "MLFLOW_TRACKING_INSECURE_TLS",
        }
    ),
    "tensorboard": frozenset(),
}
"""Keys of a tracker's Secret that count; whatever else lies in it is another's."""

QUIET = {
    "WANDB_ERROR_REPORTING": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # the process tries again by itself, and tells that it does
    "MLFLOW_ALLOW_FILE_STORE": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "PYTHONUNBUFFERED": "1",
    "OMP_NUM_THREADS": "1",
}
"""Nothing is sent to a library's maker, and nobody is asked for longer than it helps."""


def secret(run: config.Run, kind: Kind) -> str | None:
    """Name of the tracker's Secret; None where it names none."""
    said = run.tracking or config.Tracking()
    asked = {"wandb": said.wandb, "mlflow": said.mlflow}.get(kind)
    return asked.credentials_secret_ref.name if asked and asked.credentials_secret_ref else None


def lacking(run: config.Run, layout: Layout, kind: Kind) -> str | None:
    """What the tracker was promised and does not have, as a sentence; None: it has everything."""
    name = secret(run, kind)
    if name is None or _keys(layout, name, kind):
        return None
    return (
        f"spec.tracking.{kind}.credentialsSecretRef: the Secret {name!r} does not exist in the job's namespace, or holds none of "
        f"{', '.join(sorted(KEYS[kind]))}; nothing is sent to this tracker"
    )


def environment(run: config.Run, layout: Layout, kind: Kind, inherited: Mapping[str, str]) -> dict[str, str]:
    """The process' environment. Raises OSError where the extra CA cannot be put beside the usual ones."""
    kept = {name: value for name, value in inherited.items() if name in launch.PASSED_ON or name in PROXIES}
    name = secret(run, kind)
    own = {"HOME": str(layout.home), "TMPDIR": str(layout.temporary), "CUDA_VISIBLE_DEVICES": ""}
    keys = _keys(layout, name, kind) if name else {}
    return kept | own | QUIET | _trusted(layout) | keys


def _keys(layout: Layout, name: str, kind: Kind) -> dict[str, str]:
    """What counts of the Secret `name`."""
    found = credentials.mounted(layout, name)
    return {key: value for key, value in found.items() if key in KEYS[kind]}


def _trusted(layout: Layout) -> dict[str, str]:
    """The profile's CA beside the usual ones, for Python and Go alike."""
    extra = credentials.authorities(layout)
    if extra is None:
        return {}
    bundle = layout.state / "authorities.pem"
    bundle.write_text(Path(certifi.where()).read_text(encoding="utf-8") + "\n" + extra, encoding="utf-8")
    return {"SSL_CERT_FILE": str(bundle), "REQUESTS_CA_BUNDLE": str(bundle)}
