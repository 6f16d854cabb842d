"""Where the API server is, and who we are to it: in the pod, or by KUBECONFIG."""

import os
import pathlib
import urllib.request
from dataclasses import dataclass

import yaml
from kubernetes.aio import client, config
from kubernetes.aio.config.incluster_config import SERVICE_HOST_ENV_NAME, SERVICE_TOKEN_FILENAME

CONNECTIONS = 64
Configuration = client.Configuration


class NoAccess(Exception):
    """Nobody says where the API server is."""


@dataclass(frozen=True)
class Access:
    """What a client of another make needs to reach the same API server."""

    server: str
    ca_path: str | None
    insecure: bool
    token: str | None
    certificate_path: str | None
    key_path: str | None


async def configuration() -> Configuration:
    """The pod's service account; outside of a pod, or where KUBECONFIG is said, the kubeconfig."""
    found = client.Configuration()
    if _in_pod():
        config.load_incluster_config(found)  # type: ignore[no-untyped-call]  # the client is half typed
    else:
        await _by_kubeconfig(found)
    found.connection_pool_maxsize = CONNECTIONS
    # Where no proxy is set, aiohttp need not look for one; and it would read ~/.netrc in a thread before each request.
    found.client_session_kwargs = {"trust_env": bool(urllib.request.getproxies())}
    return found


async def _by_kubeconfig(found: Configuration) -> None:
    """As a person's tools do. `NoAccess` where there is no kubeconfig, or none that can be read."""
    try:
        await config.load_kube_config(client_configuration=found)  # type: ignore[no-untyped-call]  # same
    except (config.ConfigException, yaml.YAMLError, OSError) as error:
        said = " ".join(str(error).split())
        raise NoAccess(
            f"there is no service account of a pod, and no kubeconfig can be used ({said}); set KUBECONFIG to one"
        ) from error


def _in_pod() -> bool:
    """Whether the kubelet gave us a service account, and nobody asked for another cluster."""
    given = SERVICE_HOST_ENV_NAME in os.environ and pathlib.Path(SERVICE_TOKEN_FILENAME).exists()
    return given and "KUBECONFIG" not in os.environ


async def access(found: Configuration) -> Access:
    """`found` in plain words. Asked again after each 401, so that a rotated token is read again."""
    header = await found.get_api_key_with_prefix("BearerToken")
    return Access(
        server=found.host,
        ca_path=found.ssl_ca_cert,
        insecure=not found.verify_ssl,
        token=header.split(" ", 1)[1].strip() if header and " " in header else header,
        certificate_path=found.cert_file,
        key_path=found.key_file,
    )
