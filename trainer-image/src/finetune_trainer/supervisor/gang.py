"""Several nodes: their supervisors keep together, led by node 0's (contract section 6).

Every second each of the others tells node 0 how it is, and hears what the run is to be and how the rest are. So all go on from
one checkpoint under one number, all stop where one is told to stop, and whoever falls silent is missed within a minute:
the ranks alone would wait in a collective for ever.
"""

import contextlib
import http.client
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Literal, Protocol

import pydantic

from finetune_trainer import config, errors
from finetune_trainer.supervisor.micro_batch import MicroBatch

PATH = "/gang"

PAUSE = 1.0
"""Seconds between two words of a node."""

SILENCE = 60.0
"""Seconds without a word after which a node is taken for lost."""

MEETING = 600.0
"""Seconds that a node which is ready waits for one that has never been heard of: its pod may still want a GPU."""

FAREWELLS = 5
"""How often a node says that it has ended, where nobody answers: one who is done must not be taken for lost."""

LOOK = 0.2
"""Seconds between two looks at what was heard."""

ASKING = 5.0
"""Seconds that one word and its answer may take."""

MAX_BYTES = 4096
"""Of an answer."""


class Word(config.Value):
    """What a node tells node 0."""

    version: Literal[1] = 1
    attempt: int
    node: int
    gang: str | None = None
    """The gang that it belongs to; None before the first answer."""
    ready: bool = False
    """Whether it has all that its ranks need."""
    stopping: bool = False
    """Whether its pod was told to end."""
    ended: int | None = None
    """Its exit code, where it has ended."""


class Plan(config.Value):
    """What node 0 has decided for all."""

    epoch: int
    """The run's number (fence.py)."""
    step: int | None = None
    """Of the checkpoint to go on from; None: from the start."""
    port: int
    """Where the ranks meet, at node 0."""
    micro_batch: MicroBatch | None = None
    """What memory left of it."""


class Answer(config.Value):
    """What a node hears."""

    version: Literal[1] = 1
    attempt: int
    gang: str
    """Of this one start of node 0's pod: whoever belongs to another is not taken for a member."""
    plan: Plan | None = None
    start: bool = False
    """Whether all nodes are ready."""
    stopping: bool = False
    """Whether any of them was told to end."""


class Gang(Protocol):
    """What a supervisor knows of the others."""

    leads: bool
    """Whether this one decides, saves and publishes."""
    node: int
    main_host: str
    """Where this node's ranks meet the others."""

    @property
    def hear(self) -> Callable[[bytes], bytes | None] | None:
        """Answers the others' words, at node 0."""

    def plan(self, make: Callable[[], Plan]) -> Plan:
        """What all shall do; `make` decides it, where this node leads. Raises `PeerMissing`, `PeerLost`, `Interrupted`."""

    def meet(self) -> None:
        """Return when all are ready to start their ranks. Raises the same."""

    def stopping(self) -> bool:
        """Whether another node was told to end."""

    def lost(self) -> str | None:
        """Who has gone, as a sentence."""

    def end(self, exit_code: int) -> None:
        """Say good-bye."""


def of(
    run: config.Run, *, node: int, main: str | None, attempt: int, told_to_stop: Callable[[], bool]
) -> Gang:
    """This node's part. `main`: host:port of node 0's supervisor."""
    nodes = run.resources.nodes
    if nodes == 1:
        return Alone()
    if main is None or node >= nodes:
        raise errors.InternalError(
            f"{nodes} nodes were promised, and this is number {node}, with {'no ' * (main is None)}address of node 0; please "
            "report it"
        )
    if node == 0:
        return Lead(nodes, attempt=attempt, told_to_stop=told_to_stop)
    return Member(main, node=node, attempt=attempt, told_to_stop=told_to_stop)


class Alone:
    """One node."""

    leads = True
    node = 0
    main_host = "127.0.0.1"
    hear = None

    def plan(self, make: Callable[[], Plan]) -> Plan:
        """See `Gang`."""
        return make()

    def meet(self) -> None:
        """Nobody else is to come."""

    def stopping(self) -> bool:
        """Nobody else is told anything."""
        return False

    def lost(self) -> str | None:
        """Nobody can be."""
        return None

    def end(self, exit_code: int) -> None:
        """Nobody listens."""


class Lead:
    """Node 0."""

    leads = True
    node = 0
    main_host = "127.0.0.1"

    def __init__(
        self,
        nodes: int,
        *,
        attempt: int,
        told_to_stop: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._others = range(1, nodes)
        self._attempt = attempt
        self._told_to_stop = told_to_stop
        self._clock = clock
        self._name = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._heard: dict[int, tuple[float, Word]] = {}
        self._plan: Plan | None = None
        self._start = False

    def hear(self, raw: bytes) -> bytes | None:
        """The answer to a node's word, both as JSON; None where it is none of this gang's. Called by the server's threads."""
        try:
            word = Word.model_validate_json(raw)
        except pydantic.ValidationError:
            return None
        if (
            word.attempt != self._attempt
            or word.node not in self._others
            or word.gang not in {None, self._name}
        ):
            return None
        with self._lock:
            self._heard[word.node] = self._clock(), word
        answer = Answer(
            attempt=self._attempt,
            gang=self._name,
            plan=self._plan,
            start=self._start,
            stopping=self._told_to_stop() or self.stopping(),
        )
        return answer.model_dump_json(by_alias=True).encode()

    def plan(self, make: Callable[[], Plan]) -> Plan:
        """See `Gang`."""
        self._plan = make()
        return self._plan

    def meet(self) -> None:
        """See `Gang`."""
        for waited in _waits(self._clock):
            words = self._words()
            if len(words) == len(self._others) and all(word.ready for word in words.values()):
                self._start = True
                return
            missing = [node for node in self._others if node not in words]
            if missing and waited > MEETING:
                raise errors.PeerMissing(
                    f"{_named(missing)} did not join within {MEETING / 60:.0f} minutes after node 0 was ready: the pod is not "
                    "running, or cannot reach node 0's port 8080 (does a NetworkPolicy forbid it?); it is tried again"
                )
            _check(self)

    def stopping(self) -> bool:
        """See `Gang`."""
        return any(word.stopping for word in self._words().values())

    def lost(self) -> str | None:
        """See `Gang`."""
        with self._lock:
            heard = dict(self._heard)
        for node, (at, word) in sorted(heard.items()):
            if word.ended:
                return f"node {node} ended with exit code {word.ended}"
            if word.ended is None and self._clock() - at > SILENCE:
                return f"node {node} has not been heard from for {SILENCE:.0f} s"
        return None

    def end(self, exit_code: int) -> None:
        """The others see it by themselves."""

    def _words(self) -> dict[int, Word]:
        with self._lock:
            return {node: word for node, (_, word) in self._heard.items()}


class Member:
    """Any other node."""

    leads = False
    hear = None

    def __init__(
        self,
        main: str,
        *,
        node: int,
        attempt: int,
        told_to_stop: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._main = main
        self.main_host = main.rpartition(":")[0]
        self.node = node
        self._attempt = attempt
        self._told_to_stop = told_to_stop
        self._clock = clock
        self._ready = False
        self._answer: Answer | None = None
        self._heard_at = clock()
        self._turned_away = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gang", daemon=True)
        self._thread.start()

    def plan(self, make: Callable[[], Plan]) -> Plan:
        """See `Gang`."""
        del make
        for waited in _waits(self._clock):
            answer = self._answer
            if answer and answer.plan:
                return answer.plan
            if answer is None and waited > MEETING:
                raise errors.PeerMissing(
                    f"node {self.node} could not reach node 0 at {self._main} for {MEETING / 60:.0f} minutes: node 0's pod is not "
                    "running, or cannot be reached there (does a NetworkPolicy forbid it?); it is tried again"
                )
            _check(self)
        raise AssertionError("waits for ever")

    def meet(self) -> None:
        """See `Gang`."""
        self._ready = True
        for _waited in _waits(self._clock):
            if self._answer and self._answer.start:
                return
            _check(self)

    def stopping(self) -> bool:
        """See `Gang`."""
        return self._answer is not None and self._answer.stopping

    def lost(self) -> str | None:
        """See `Gang`."""
        if self._turned_away:
            return "node 0 has started again"
        if self._answer and self._clock() - self._heard_at > SILENCE:
            return f"node 0 has not been heard from for {SILENCE:.0f} s"
        return None

    def end(self, exit_code: int) -> None:
        """See `Gang`."""
        self._ended.set()
        self._thread.join()
        for _try in range(FAREWELLS):
            if self._tell(exit_code):
                return
            time.sleep(PAUSE)

    def _run(self) -> None:
        self._tell(None)
        while not self._ended.wait(PAUSE):
            self._tell(None)

    def _tell(self, ended: int | None) -> bool:
        """One word, and what is heard; whether it got through. Whatever goes wrong, the next one may."""
        answer = self._answer
        word = Word(
            attempt=self._attempt,
            node=self.node,
            gang=answer.gang if answer else None,
            ready=self._ready,
            stopping=self._told_to_stop(),
            ended=ended,
        )
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            status, body = _posted(self._main, word.model_dump_json(by_alias=True).encode())
            if status == http.client.CONFLICT and answer:
                self._turned_away = True
            if status == http.client.OK:
                self._answer, self._heard_at = Answer.model_validate_json(body), self._clock()
                return True
        return False


def _posted(main: str, body: bytes) -> tuple[int, bytes]:
    """Status and body of what `main` (host:port) answers."""
    connection = http.client.HTTPConnection(main, timeout=ASKING)
    try:
        connection.request("POST", PATH, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read(MAX_BYTES)
    finally:
        connection.close()


def _waits(clock: Callable[[], float]) -> Iterator[float]:
    """Seconds since the beginning, for ever, with a pause between two."""
    began = clock()
    while True:
        yield clock() - began
        time.sleep(LOOK)


def _check(gang: Gang) -> None:
    """Raises where this wait leads nowhere."""
    if sentence := gang.lost():
        raise errors.PeerLost(f"{sentence}; training goes on from the last checkpoint")
    if gang.stopping():
        raise errors.Interrupted("another node was told to stop; nothing that was saved is lost")


def _named(nodes: list[int]) -> str:
    return f"node{'s' * (len(nodes) > 1)} {', '.join(map(str, nodes))}"
