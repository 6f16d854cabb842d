"""An API server in one process, for wiring tests: lists, watches, patches, conflicts, garbage collection, faults and counters.

What it lacks: schemas, field ownership (apply is a merge), authentication, admission. tests/e2e has the real one.
"""

import asyncio
import contextlib
import json
import pickle
import uuid
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aiohttp import web

KINDS = {
    ("", "v1", "pods"): ("Pod", True),
    ("", "v1", "configmaps"): ("ConfigMap", True),
    ("", "v1", "services"): ("Service", True),
    ("", "v1", "events"): ("Event", True),
    ("", "v1", "namespaces"): ("Namespace", False),
    ("", "v1", "secrets"): ("Secret", True),
    ("batch", "v1", "jobs"): ("Job", True),
    ("coordination.k8s.io", "v1", "leases"): ("Lease", True),
    ("finetune.dev", "v1alpha1", "finetunejobs"): ("FineTuneJob", True),
    ("finetune.dev", "v1alpha1", "finetuneprofiles"): ("FineTuneProfile", False),
    ("kueue.x-k8s.io", "v1beta2", "workloads"): ("Workload", True),
}
RESET, SERVED, ANSWERED = -1, 1, "answered"
WITH_STATUS = {"pods", "jobs", "finetunejobs"}
OURS = "finetune-operator"


@dataclass
class Fault:
    """What happens to the next `times` requests that match."""

    verb: str
    """`*`: any; `ANSWERED`: any that ends with its answer, which a watch does not."""
    plural: str
    code: int = 0
    """HTTP status; 0: the answer never comes; `RESET`: the connection is cut; `SERVED`: as if nothing had happened."""
    times: int = 1
    skip: int = 0
    """Requests that pass undisturbed before."""
    delay: float = 0.0
    """Seconds before anything is done."""
    committed: bool = False
    """The server did it before it failed to say so."""
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "injected"


@dataclass
class Request:
    verb: str
    plural: str
    name: str
    code: int
    agent: str


class Refusal(Exception):
    def __init__(self, code, reason, message=""):
        super().__init__(message)
        self.code, self.reason = code, reason


class FakeApiServer:
    """`async with FakeApiServer() as server:`; `server.url` is the address."""

    def __init__(self):
        self.objects = {kind[2]: {} for kind in KINDS}
        self.history = {kind[2]: deque() for kind in KINDS}
        self.compacted = dict.fromkeys(self.objects, 0)
        self.version = 100
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.disturbed = OURS
        """Faults meet the requests of agents that begin so."""
        self.logs: dict[str, str] = {}
        """What pods have written, by their names."""
        self.listeners: list[Callable[[str, str, dict], None]] = []
        self.webhooks: list[Callable[[str, dict], None]] = []
        """What admission makes of an object that is created."""
        self.absent = {"kueue.x-k8s.io"}
        """API groups that are not installed."""
        self.watchers: dict[str, set[asyncio.Queue]] = {plural: set() for plural in self.objects}
        self.latency = 0.0
        self.tells = dict.fromkeys(self.objects, 1)
        """How often watches are told of each change; 0: they hear nothing."""
        self.frozen: dict[str, tuple[int, list[dict]]] = {}
        """What lists show instead of what is there: a version and its objects."""
        self.expires_plainly = False
        """Expired watches: HTTP 410 (as etcd's own) instead of an ERROR event (as the watch cache's)."""
        self.url = ""

    async def __aenter__(self):
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_):
        self.cut_watches()
        await self._runner.cleanup()

    # What tests do from inside, without a request

    def counted(self, *, agent=OURS) -> Counter:
        return Counter((one.verb, one.plural) for one in self.requests if one.agent.startswith(agent))

    def writes(self, *, agent=OURS) -> Counter:
        reads = {"GET", "LIST", "WATCH"}
        return Counter(
            {key: count for key, count in self.counted(agent=agent).items() if key[0] not in reads}
        )

    def get(self, plural, name, namespace="team-a"):
        return self.objects[plural].get((namespace, name))

    def all(self, plural):
        return list(self.objects[plural].values())

    def put(self, plural, body):
        """Create, or replace whole: status, finalizers and all."""
        key = _key(plural, body)
        if key not in self.objects[plural]:
            return self._create(plural, key[0], body, manager="test")
        merged = copied(body)
        return self._store(plural, key, merged, "MODIFIED")

    def change(self, plural, name, mutate, namespace="team-a"):
        """Change one object in place; returns it, or None where it is gone."""
        old = self.get(plural, name, namespace)
        if old is None:
            return None
        new = copied(old)
        mutate(new)
        if plural == "finetunejobs" and new["spec"] != old["spec"]:
            new["metadata"]["generation"] += 1
        return self._store(plural, (namespace, name), new, "MODIFIED")

    def remove(self, plural, name, namespace="team-a", *, orphan=False):
        gone = self.objects[plural].pop((namespace, name), None)
        if gone is None:
            return
        self.version += 1
        gone = copied(gone)
        gone["metadata"]["resourceVersion"] = str(self.version)
        self._tell(plural, "DELETED", gone)
        if not orphan:
            self._collect(gone["metadata"]["uid"])

    def cut_watches(self):
        """Every stream ends; clients come back."""
        for queues in self.watchers.values():
            for queue in queues:
                queue.put_nowait(None)

    def compact(self):
        """Old versions can no longer be watched from: 410."""
        for plural in self.compacted:
            self.compacted[plural] = self.version
            self.history[plural].clear()

    def now_stamp(self):
        return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def _collect(self, uid):
        for plural, found in self.objects.items():
            for (namespace, name), one in list(found.items()):
                if any(owner["uid"] == uid for owner in one["metadata"].get("ownerReferences", ())):
                    if plural == "pods" and "deletionTimestamp" not in one["metadata"]:
                        self._terminate(namespace, name)
                    elif plural != "pods":
                        self.remove(plural, name, namespace)

    def _terminate(self, namespace, name):
        """A pod is asked to end; the kubelet of the test removes it."""

        def mark(pod):
            pod["metadata"]["deletionTimestamp"] = self.now_stamp()

        self.change("pods", name, mark, namespace)

    def _create(self, plural, namespace, body, *, manager):
        new = copied(body)
        metadata = new.setdefault("metadata", {})
        metadata.setdefault("name", metadata.get("generateName", "") + uuid.uuid4().hex[:5])
        key = (namespace, metadata["name"])
        if key in self.objects[plural]:
            raise Refusal(409, "AlreadyExists", f'{plural} "{metadata["name"]}" already exists')
        metadata |= {
            "uid": metadata.get("uid") or str(uuid.uuid4()),
            "creationTimestamp": self.now_stamp(),
            "generation": 1,
        }
        if namespace:
            metadata["namespace"] = namespace
        if plural == "finetunejobs":
            new["status"] = new.get("status") or {"observedGeneration": -1}
        metadata["managedFields"] = [{"manager": manager}]
        for webhook in self.webhooks:
            webhook(plural, new)
        return self._store(plural, key, new, "ADDED")

    def _store(self, plural, key, new, event):
        self.version += 1
        new["metadata"]["resourceVersion"] = str(self.version)
        self.objects[plural][key] = new
        self._tell(plural, event, new)
        return new

    def _tell(self, plural, event, one):
        line = (self.version, event, copied(one))
        if self.tells[plural]:
            self.history[plural].append(line)
        for queue in self.watchers[plural]:
            for _ in range(self.tells[plural]):
                queue.put_nowait(line)
        for listener in list(self.listeners):
            listener(plural, event, one)

    # HTTP

    async def _handle(self, request):
        parts = [part for part in request.path.split("/") if part]
        agent = request.headers.get("User-Agent", "")
        if self.latency:
            await asyncio.sleep(self.latency)
        place = _place(parts)
        if place is None:
            return self._discovery(parts)
        kind, namespace, name, sub = place
        if kind[0] in self.absent:
            return web.Response(status=404, text="404 page not found")
        verb = _verb(request, name)
        fault = self._fault(verb, kind[2], agent)
        if fault is not None:
            await asyncio.sleep(fault.delay)
        if fault is not None and fault.code != SERVED and not fault.committed:
            return await self._fail(fault, request, Request(verb, kind[2], name or "", fault.code, agent))
        try:
            answer = await self._serve(request, verb, kind, namespace=namespace, name=name, sub=sub)
        except Refusal as refusal:
            body = {
                "kind": "Status",
                "status": "Failure",
                "reason": refusal.reason,
                "message": str(refusal),
                "code": refusal.code,
            }
            answer = web.json_response(body, status=refusal.code)
        if fault is not None and fault.code != SERVED:
            return await self._fail(fault, request, Request(verb, kind[2], name or "", fault.code, agent))
        self.requests.append(Request(verb, kind[2], name or "", answer.status, agent))
        return answer

    def _fault(self, verb, plural, agent):
        for fault in self.faults:
            if (
                agent.startswith(self.disturbed)
                and fault.verb in {verb, "*", ANSWERED if verb != "WATCH" else ""}
                and fault.plural in {plural, "*"}
                and fault.times > 0
            ):
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                return fault
        return None

    async def _fail(self, fault, request, told):
        self.requests.append(told)
        if fault.code == 0:
            await asyncio.sleep(3600)
        if fault.code == RESET:
            request.transport.abort()
        body = {"kind": "Status", "reason": "Injected", "message": fault.message, "code": fault.code}
        return web.json_response(body, status=fault.code, headers=fault.headers)

    def _discovery(self, parts):
        if parts == ["version"]:
            return web.json_response({"major": "1", "minor": "35", "gitVersion": "v1.35.4"})
        if parts == ["api"]:
            return web.json_response({"versions": ["v1"]})
        if parts == ["apis"]:
            groups = sorted(
                {(group, version) for group, version, _ in KINDS if group and group not in self.absent}
            )
            listed = [
                {
                    "name": g,
                    "versions": [{"groupVersion": f"{g}/{v}", "version": v}],
                    "preferredVersion": {"groupVersion": f"{g}/{v}", "version": v},
                }
                for g, v in groups
            ]
            return web.json_response({"groups": listed})
        group, version = (
            ("", "v1") if parts[:1] == ["api"] else (parts[1], parts[2]) if len(parts) > 2 else ("?", "?")
        )
        verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
        found = [
            {
                "name": plural,
                "singularName": kind.lower(),
                "kind": kind,
                "namespaced": namespaced,
                "verbs": verbs,
                "shortNames": [],
                "categories": [],
            }
            for (g, v, plural), (kind, namespaced) in KINDS.items()
            if (g, v) == (group, version) and g not in self.absent
        ]
        return web.json_response({"resources": found}) if found else web.json_response({}, status=404)

    async def _serve(self, request, verb, kind, *, namespace, name, sub):
        plural = kind[2]
        key = (namespace, name)
        match verb:
            case "LIST":
                return self._list(request, kind, namespace)
            case "WATCH":
                return await self._watch(request, kind, namespace)
            case "GET" if sub == "log":
                self._found(plural, key)
                return web.Response(text=self.logs.get(name, ""))
            case "GET":
                return web.json_response(self._found(plural, key))
            case "POST":
                return web.json_response(
                    self._create(plural, namespace, await request.json(), manager="post"), status=201
                )
            case "PUT":
                return web.json_response(self._replace(plural, key, await request.json()))
            case "PATCH":
                applied = request.content_type == "application/apply-patch+yaml"
                if applied and key not in self.objects[plural]:
                    return web.json_response(
                        self._create(plural, namespace, await request.json(), manager="apply")
                    )
                return web.json_response(self._patch(plural, key, sub, await request.json()))
            case _:
                self._delete(plural, key, await request.json() if request.can_read_body else {})
                return web.json_response({"kind": "Status", "status": "Success"})

    def _found(self, plural, key):
        one = self.objects[plural].get(key)
        if one is None:
            raise Refusal(404, "NotFound", f'{plural} "{key[1]}" not found')
        return one

    def _list(self, request, kind, namespace):
        matches = _selector(request.query)
        version, there = self.frozen.get(kind[2]) or (self.version, self.all(kind[2]))
        found = [
            one
            for one in sorted(there, key=lambda one: _key(kind[2], one))
            if (not namespace or one["metadata"].get("namespace") == namespace) and matches(one)
        ]
        limit, start = (
            int(request.query.get("limit") or 0) or len(found) + 1,
            int(request.query.get("continue") or 0),
        )
        rest = {"continue": str(start + limit)} if start + limit < len(found) else {}
        api = f"{kind[0]}/{kind[1]}" if kind[0] else kind[1]
        metadata = {"resourceVersion": str(version), **rest}
        return web.json_response(
            {
                "kind": f"{KINDS[kind][0]}List",
                "apiVersion": api,
                "metadata": metadata,
                "items": found[start : start + limit],
            }
        )

    async def _watch(self, request, kind, namespace):
        plural, since, matches = (
            kind[2],
            int(request.query.get("resourceVersion") or self.version),
            _selector(request.query),
        )
        if since < self.compacted[plural] and self.expires_plainly:
            raise Refusal(410, "Expired", "too old resource version")
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        await answer.prepare(request)
        if since < self.compacted[plural]:
            gone = {
                "kind": "Status",
                "status": "Failure",
                "reason": "Expired",
                "code": 410,
                "message": "too old resource version",
            }
            await answer.write(json.dumps({"type": "ERROR", "object": gone}).encode() + b"\n")
            return answer
        queue = asyncio.Queue()
        for line in self.history[plural]:
            if line[0] > since:
                queue.put_nowait(line)
        self.watchers[plural].add(queue)
        self.requests.append(Request("WATCH", plural, "", 200, request.headers.get("User-Agent", "")))
        api = f"{kind[0]}/{kind[1]}" if kind[0] else kind[1]
        try:
            while (line := await queue.get()) is not None:
                _, event, one = line
                if (not namespace or one["metadata"].get("namespace") == namespace) and matches(one):
                    whole = {"apiVersion": api, "kind": KINDS[kind][0], **one}
                    await answer.write(json.dumps({"type": event, "object": whole}).encode() + b"\n")
        except (ConnectionResetError, asyncio.CancelledError):
            pass
        finally:
            self.watchers[plural].discard(queue)
        return answer

    def _replace(self, plural, key, body):
        old = self._found(plural, key)
        _guard(body, old)
        new = {**body, "metadata": {**old["metadata"], **body["metadata"]}}
        if plural in WITH_STATUS:
            new["status"] = old.get("status", {})
        return self._store(plural, key, new, "MODIFIED")

    def _patch(self, plural, key, sub, body):
        old = self._found(plural, key)
        _guard(body, old)
        body = {
            **body,
            "metadata": {k: v for k, v in body.get("metadata", {}).items() if k != "resourceVersion"},
        }
        if sub == "status":
            body = {"status": body.get("status", {})}
        elif plural in WITH_STATUS:
            body.pop("status", None)
        new = _merged(copied(old), body)
        if plural == "finetunejobs" and new.get("spec") != old.get("spec"):
            new["metadata"]["generation"] += 1
        if new == old:
            return old
        return self._store(plural, key, new, "MODIFIED")

    def _delete(self, plural, key, options):
        one = self._found(plural, key)
        uid = options.get("preconditions", {}).get("uid")
        if uid and uid != one["metadata"]["uid"]:
            raise Refusal(409, "Conflict", "the uid in the precondition does not match")
        self.remove(
            plural,
            key[1],
            key[0],
            orphan=plural == "jobs" and options.get("propagationPolicy") != "Background",
        )


def _place(parts):
    """Path -> (group, version, plural), namespace, name, subresource."""
    if parts[:1] == ["api"] and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[:1] == ["apis"] and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    kind = (group, version, rest[0])
    if kind not in KINDS:
        return None
    return kind, namespace, rest[1] if len(rest) > 1 else None, rest[2] if len(rest) > 2 else None


def _verb(request, name):
    if request.method != "GET":
        return request.method
    if request.query.get("watch") in {"true", "1"}:
        return "WATCH"
    return "GET" if name else "LIST"


def _selector(query):
    labels = [part.split("=", 1) for part in query.get("labelSelector", "").split(",") if part]
    fields = [part.split("=", 1) for part in query.get("fieldSelector", "").split(",") if part]

    def matches(one):
        mine = one["metadata"].get("labels", {})
        if any(mine.get(name.rstrip("=")) != value.lstrip("=") for name, value in labels):
            return False
        return all(_dig(one, path) == value for path, value in fields)

    return matches


def _dig(one, path):
    for part in path.split("."):
        one = one.get(part, {}) if isinstance(one, dict) else {}
    return one


def _guard(body, old):
    wanted = body.get("metadata", {}).get("resourceVersion")
    if wanted and wanted != old["metadata"]["resourceVersion"]:
        raise Refusal(
            409, "Conflict", "the object has been modified; please apply your changes to the latest version"
        )


def _merged(old, patch):
    """RFC 7386."""
    for name, value in patch.items():
        if value is None:
            old.pop(name, None)
        elif isinstance(value, dict) and isinstance(old.get(name), dict):
            old[name] = _merged(old[name], value)
        else:
            old[name] = _merged({}, value) if isinstance(value, dict) else value
    return old


def _key(plural, body):
    return body["metadata"].get("namespace", ""), body["metadata"]["name"]


def copied(one):
    """A deep copy, five times as fast as `copy.deepcopy`."""
    return pickle.loads(pickle.dumps(one))  # noqa: S301  our own values


@contextlib.contextmanager
def listening(server, listener):
    server.listeners.append(listener)
    try:
        yield
    finally:
        server.listeners.remove(listener)
