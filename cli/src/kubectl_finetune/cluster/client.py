"""What is asked of the API server."""

import codecs
import contextlib
import json
import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import urllib3.exceptions
from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException

from finetune_operator import names
from kubectl_finetune import errors
from kubectl_finetune.cluster import refusals

Object = dict[str, Any]

AGENT = "kubectl-finetune"
PATIENCE = (5, 30)
"""Seconds to connect, and to answer."""
WATCH_SECONDS = 300
"""How long one watch lasts before another one is begun."""
WATCH_PATIENCE = (5, WATCH_SECONDS + 30)
FOLLOW_PATIENCE = (5, 3600)
"""A log that is followed may be silent for long."""
LOST_SECONDS = 600.0
"""How long a cluster may be away while a job is watched."""
PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds between two attempts to reach it; the last one from then on."""
JOBS = (names.GROUP, names.VERSION)
GONE = 410
NAMESPACE = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"


class Cluster:
    """One cluster and the namespace that is meant."""

    def __init__(
        self,
        api: client.ApiClient,
        namespace: str,
        kubectl: Sequence[str] = (),
        patience: tuple[int, int] = PATIENCE,
    ) -> None:
        self.namespace = namespace
        self._patience = patience
        self.kubectl = (*kubectl, "--namespace", namespace)
        """Flags by which kubectl speaks to the same."""
        self._api = api
        self._custom: Any = client.CustomObjectsApi(api)
        self._core: Any = client.CoreV1Api(api)

    @classmethod
    def connect(
        cls,
        *,
        kubeconfig: str | None = None,
        context: str | None = None,
        namespace: str | None = None,
        patience: tuple[int, int] = PATIENCE,
    ) -> Self:
        """The cluster that kubectl would speak to. Nothing is asked of it yet. `patience`: seconds to connect, and to answer."""
        settings = client.Configuration()
        settings.retries = False
        try:
            with _no_complaints():
                _, active = config.list_kube_config_contexts(kubeconfig)  # type: ignore[no-untyped-call]  # the client is half typed
                config.load_kube_config(kubeconfig, context, client_configuration=settings)  # type: ignore[no-untyped-call]  # same
                named = _context(kubeconfig, context) if context else active
        except Exception as error:  # the client's own and its libraries', of a file that may be anything
            told = " ".join(str(error).split()) or type(error).__name__
            raise errors.Outside(
                f"no cluster: {told}; set KUBECONFIG, or use --kubeconfig and --context"
            ) from error
        api = client.ApiClient(settings)
        api.user_agent = AGENT
        said = (("--kubeconfig", kubeconfig), ("--context", context))
        flags = [word for flag, value in said if value for word in (flag, value)]
        space = namespace or named.get("context", {}).get("namespace") or "default"
        if not re.fullmatch(NAMESPACE, space):
            raise errors.Mistake(f"{space!r} is not the name of a namespace; correct it")
        return cls(api, space, flags, patience)

    def jobs(self, *, everywhere: bool = False) -> list[Object]:
        """All FineTuneJobs of the namespace, or of all namespaces."""
        if everywhere:
            with self._told("list FineTuneJobs", everywhere=True):
                found = self._custom.list_cluster_custom_object(
                    *JOBS, names.JOBS, _request_timeout=self._patience
                )
        else:
            with self._told("list FineTuneJobs"):
                found = self._custom.list_namespaced_custom_object(
                    *JOBS, self.namespace, names.JOBS, _request_timeout=self._patience
                )
        return list(self._object(found)["items"])

    def job(self, name: str) -> Object:
        """One FineTuneJob."""
        with self._told(f"read the FineTuneJob {name!r}", name):
            found = self._custom.get_namespaced_custom_object(
                *JOBS, self.namespace, names.JOBS, name, _request_timeout=self._patience
            )
        return self._object(found)

    def create(self, manifest: Object) -> Object:
        """A new FineTuneJob."""
        with self._told(f"create the FineTuneJob {manifest['metadata']['name']!r}"):
            made = self._custom.create_namespaced_custom_object(
                *JOBS,
                self.namespace,
                names.JOBS,
                manifest,
                field_manager=AGENT,
                field_validation="Strict",
                _request_timeout=self._patience,
            )
        return self._object(made)

    def patch(self, name: str, change: Object) -> Object:
        """A merge patch of one FineTuneJob."""
        with self._told(f"change the FineTuneJob {name!r}", name):
            made = self._custom.patch_namespaced_custom_object(
                *JOBS, self.namespace, names.JOBS, name, change, _request_timeout=self._patience
            )
        return self._object(made)

    def watch(self, name: str, lost: Callable[[errors.Outside], object]) -> Iterator[Object]:
        """The job as it is, and again after each change. Ends when it is deleted, with `NotThere`.

        A cluster that was there and is away is waited for; `lost` hears why.
        """
        job, heard, failures = self.job(name), time.monotonic(), 0
        yield job
        while True:
            try:
                for job in self._changes(name, job["metadata"]["resourceVersion"]):  # noqa: B020 - from the newest known on
                    heard, failures = time.monotonic(), 0
                    yield job
                job, heard, failures = self.job(name), time.monotonic(), 0
                yield job
            except errors.Outside as error:
                if time.monotonic() - heard > LOST_SECONDS:
                    raise
                if not failures:
                    lost(error)
                time.sleep(PAUSES[min(failures, len(PAUSES) - 1)])
                failures += 1

    def _changes(self, name: str, version: str) -> Iterator[Object]:
        """What becomes of the job until the watch ends."""
        for event in self._events(name, version):
            if event["type"] == "DELETED":
                raise errors.NotThere(f"the FineTuneJob {name!r} was deleted while it was watched")
            yield event["object"]

    def _events(self, name: str, version: str) -> Iterator[Any]:
        """What a watch tells, until it ends."""
        with self._told(f"watch the FineTuneJob {name!r}", name):
            try:
                yield from watch.Watch().stream(  # type: ignore[no-untyped-call]  # same
                    self._custom.list_namespaced_custom_object,
                    *JOBS,
                    self.namespace,
                    names.JOBS,
                    field_selector=f"metadata.name={name}",
                    resource_version=version,
                    timeout_seconds=WATCH_SECONDS,
                    _request_timeout=WATCH_PATIENCE,
                )
            except ApiException as error:
                if error.status != GONE:
                    raise

    def pods(self, uid: str) -> list[Object]:
        """The pods of the job with that uid, the oldest first."""
        with self._told("list pods"):
            answer = self._core.list_namespaced_pod(
                self.namespace,
                label_selector=names.of_job(uid),
                _preload_content=False,
                _request_timeout=self._patience,
            )
        found: list[Object] = self._document(answer)["items"]
        return sorted(found, key=lambda pod: pod["metadata"]["creationTimestamp"])

    def config_map(self, name: str) -> Object:
        """One ConfigMap."""
        return self._read(self._core.read_namespaced_config_map, "ConfigMap", name)

    def create_pod(self, manifest: Object) -> Object:
        """A new pod."""
        with self._told("create pods"):
            answer = self._core.create_namespaced_pod(
                self.namespace,
                manifest,
                field_manager=AGENT,
                _preload_content=False,
                _request_timeout=self._patience,
            )
        return self._document(answer)

    def pod(self, name: str) -> Object:
        """One pod."""
        return self._read(self._core.read_namespaced_pod, "pod", name)

    def remove_pod(self, name: str, *, grace: int) -> None:
        """Remove a pod, within `grace` seconds. One that is gone already is none to remove."""
        with contextlib.suppress(errors.NotThere), self._told(f"remove the pod {name!r}"):
            self._core.delete_namespaced_pod(
                name,
                self.namespace,
                grace_period_seconds=grace,
                _preload_content=False,
                _request_timeout=self._patience,
            )

    def events(self, uid: str) -> list[Object]:
        """The Events about the object with that uid."""
        with self._told("list events"):
            answer = self._core.list_namespaced_event(
                self.namespace,
                field_selector=f"involvedObject.uid={uid}",
                _preload_content=False,
                _request_timeout=self._patience,
            )
        found: list[Object] = self._document(answer)["items"]
        return found

    def log(self, pod: str, *, follow: bool = False, tail: int | None = None) -> Iterator[str]:
        """The lines of a pod's log."""
        text = codecs.getincrementaldecoder("utf-8")("replace")
        with self._told(f"read the log of the pod {pod!r}"):
            answer = self._core.read_namespaced_pod_log(
                pod,
                self.namespace,
                container=names.CONTAINER,
                follow=follow,
                _preload_content=False,
                _request_timeout=FOLLOW_PATIENCE if follow else self._patience,
                **({"tail_lines": tail} if tail is not None else {}),
            )
            rest = ""
            for chunk in answer.stream(amt=None, decode_content=False):
                *lines, rest = (rest + text.decode(chunk)).split("\n")
                yield from lines
            if rest:
                yield rest

    def secret(self, name: str) -> Object:
        """A Secret's `data`, in base64 as it comes."""
        with self._told(f"read the Secret {name!r}"):
            found = self._core.read_namespaced_secret(name, self.namespace, _request_timeout=self._patience)
        return dict(found.data or {})

    def _read(self, read: Callable[..., Any], kind: str, name: str) -> Object:
        """One object, as the API server wrote it."""
        with self._told(f"read the {kind} {name!r}"):
            answer = read(name, self.namespace, _preload_content=False, _request_timeout=self._patience)
        return self._document(answer)

    def _document(self, answer: Any) -> Object:
        """What the API server wrote."""
        try:
            return self._object(json.loads(answer.data))
        except ValueError:
            return self._object(None)

    def _object(self, found: Any) -> Object:
        """`found`, if an API server can have said it."""
        if not isinstance(found, dict) or not {"apiVersion", "kind", "metadata"} <= found.keys():
            raise refusals.stranger(self._api.configuration.host)
        return found

    @contextmanager
    def _told(self, doing: str, job: str | None = None, *, everywhere: bool = False) -> Iterator[None]:
        """The client's errors as sentences of ours."""
        try:
            yield
        except ApiException as error:
            raise refusals.of(
                error, doing, namespace=None if everywhere else self.namespace, job=job
            ) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise refusals.silent(error, self._api.configuration.host) from error
        except ValueError as error:  # no JSON
            raise refusals.stranger(self._api.configuration.host) from error


@contextmanager
def _no_complaints() -> Iterator[None]:
    """What the client only logs ends it: a kubeconfig's program that is missing leaves no user to ask as."""
    heard: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
    if heard:
        raise config.ConfigException(f"the kubeconfig's program for logging in failed: {heard[0]}")


def _context(kubeconfig: str | None, name: str) -> Object:
    """The kubeconfig's entry of that name."""
    contexts, _ = config.list_kube_config_contexts(kubeconfig)  # type: ignore[no-untyped-call]  # same
    return next((one for one in contexts if one["name"] == name), {})
