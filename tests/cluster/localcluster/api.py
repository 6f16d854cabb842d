"""The few calls to the API server that the cluster itself needs, by Python's own HTTP client."""

import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcluster.certificates import Pair
from localcluster.errors import ClusterError

MANAGER = "localcluster"
APPLY = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"
NOT_FOUND = 404


class ApiError(ClusterError):
    """The API server's answer was no."""

    def __init__(self, method: str, path: str, code: int, answer: str) -> None:
        super().__init__(f"{method} {path}: {code} {answer[:500]}")
        self.code = code


@dataclass(frozen=True)
class Api:
    server: str
    authority: Path
    client: Pair

    def get(self, path: str) -> dict[str, Any]:
        return self._call("GET", path)

    def delete(self, path: str) -> None:
        try:
            self._call("DELETE", path)
        except ApiError as error:
            if error.code != NOT_FOUND:
                raise

    def apply(self, path: str, manifest: dict[str, Any]) -> None:
        self._call("PATCH", f"{path}?fieldManager={MANAGER}&force=true", manifest, APPLY)

    def patch(self, path: str, operations: list[dict[str, Any]]) -> None:
        self._call("PATCH", path, operations, JSON_PATCH)

    def _call(
        self, method: str, path: str, body: object = None, kind: str = "application/json"
    ) -> dict[str, Any]:
        context = ssl.create_default_context(cafile=str(self.authority))
        context.load_cert_chain(self.client.certificate, self.client.key)
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.server + path, data, {"Content-Type": kind}, method=method)  # noqa: S310
        # A proxy from the environment must not be asked for an address inside this machine.
        handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
        try:
            with urllib.request.build_opener(*handlers).open(request, timeout=30) as answer:
                document: dict[str, Any] = json.load(answer)
                return document
        except urllib.error.HTTPError as error:
            raise ApiError(method, path, error.code, error.read().decode(errors="replace")) from error
        except OSError as error:
            message = f"the API server at {self.server} does not answer ({error}); run `up`"
            raise ClusterError(message) from error
