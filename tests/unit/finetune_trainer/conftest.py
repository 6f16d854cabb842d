"""Settings that must be in the environment before torch and tokenizers are imported, and the S3 server."""

import os
from pathlib import Path

import pytest

from finetune_trainer.layout import Layout

os.environ["OMP_NUM_THREADS"] = "1"  # spin-waiting threads beside other processes make torch ten times slower
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
    os.environ.pop(name, None)  # loopback servers are asked directly


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A pod's places, with a claim for the output."""
    made = Layout.under(tmp_path / "pod")
    made.make_folders()
    (made.claims / "output").mkdir(parents=True)
    return made


@pytest.fixture(scope="session")
def s3(tmp_path_factory):
    """A real S3 server; skipped where none has been built."""
    import trainer_s3  # noqa: PLC0415 - after the environment is set

    program = trainer_s3.binary()
    if program is None:
        pytest.skip("no versitygw: build the local cluster's tools, or name it in VERSITYGW")
    with trainer_s3.serving(program, tmp_path_factory.mktemp("s3") / "buckets") as server:
        yield server


@pytest.fixture(scope="session")
def gs(tmp_path_factory):
    """A Google Cloud Storage server; skipped where none has been built."""
    import storage_servers  # noqa: PLC0415 - after the environment is set

    program = storage_servers.fakegcs()
    if program is None:
        pytest.skip("no fake-gcs-server: `make servers` builds it")
    with storage_servers.gcs(program, tmp_path_factory.mktemp("gs")) as server:
        yield server


@pytest.fixture(scope="session")
def az(tmp_path_factory):
    """An Azure Blob Storage server; skipped where none has been installed."""
    import storage_servers  # noqa: PLC0415 - after the environment is set

    program = storage_servers.azurite()
    if program is None:
        pytest.skip("no Azurite, or no node: `make servers` installs it")
    with storage_servers.azure(program, tmp_path_factory.mktemp("az")) as server:
        yield server
