"""The image registry: Debian's docker-registry program, its storage in the cache."""

import urllib.error
import urllib.request

from localcluster import addresses, documents, probes
from localcluster.daemons import Daemon
from localcluster.places import Places

# Both generations of both formats: buildah pushes either.
MANIFESTS = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def daemon(places: Places) -> Daemon:
    config = places.state / "registry.yaml"
    return Daemon(
        name="registry",
        argv=("docker-registry", "serve", str(config)),
        files={config: documents.registry(addresses.REGISTRY, places.cache / "registry")},
        environ={"OTEL_TRACES_EXPORTER": "none"},
        ready=probes.page(f"http://{addresses.REGISTRY}/v2/"),
        namespace=addresses.FIRST.namespace,
    )


def has(registry: str, name: str, tag: str) -> bool:
    """Whether the registry at `registry` holds an image."""
    request = urllib.request.Request(
        f"http://{registry}/v2/{name}/manifests/{tag}", headers={"Accept": MANIFESTS}, method="HEAD"
    )
    try:
        with OPENER.open(request, timeout=10):
            return True
    except (urllib.error.URLError, OSError):
        return False


def digest(registry: str, name: str, tag: str) -> str:
    """What the registry at `registry` knows an image by."""
    request = urllib.request.Request(
        f"http://{registry}/v2/{name}/manifests/{tag}", headers={"Accept": MANIFESTS}, method="HEAD"
    )
    with OPENER.open(request, timeout=10) as answer:
        found: str = answer.headers["Docker-Content-Digest"]
    return found


def delete(registry: str, name: str, digest: str) -> None:
    """Forget an image. Its layers go with the registry's next garbage collection."""
    request = urllib.request.Request(f"http://{registry}/v2/{name}/manifests/{digest}", method="DELETE")
    OPENER.open(request, timeout=10).close()
