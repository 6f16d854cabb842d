"""A bad connection to a good server, on loopback: it breaks, dribbles or falls silent, whatever is spoken over it."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Fault:
    """What is wrong. It may be changed while connections are open."""

    break_after: int | None = None
    """Bytes of answers after which a connection is cut."""
    breaks: int = 1
    """How many connections are cut; the ones after them are good."""
    dead_after: int | None = None
    """Bytes of all answers together after which every connection is cut, new ones too."""
    silent_after: int | None = None
    """Bytes of answers after which nothing more comes, and the connection stays open."""
    pause: float = 0.0
    """Seconds before each piece of an answer."""
    upload_pause: float = 0.0
    """Seconds before each piece that is sent to the server."""
    piece: int = 65536
    """Bytes that are passed on at once."""
    passed: int = 0
    """Bytes of answers that went through."""
    connections: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextlib.contextmanager
def before(port: int, fault: Fault) -> Iterator[int]:
    """Stand before the server on `port`; the port to ask instead."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.1)
        accepting = threading.Thread(target=_accept, args=(listening, port, fault, ended), daemon=True)
        accepting.start()
        try:
            yield int(listening.getsockname()[1])
        finally:
            ended.set()
            accepting.join()


def _accept(listening: socket.socket, port: int, fault: Fault, ended: threading.Event) -> None:
    while not ended.is_set():
        with contextlib.suppress(TimeoutError):
            client, _ = listening.accept()
            client.setblocking(True)  # noqa: FBT003 - socket's signature
            fault.connections += 1
            threading.Thread(target=_serve, args=(client, port, fault, ended), daemon=True).start()


def _serve(client: socket.socket, port: int, fault: Fault, ended: threading.Event) -> None:
    with client, socket.create_connection(("127.0.0.1", port)) as server, contextlib.suppress(OSError):
        threading.Thread(target=_questions, args=(client, server, fault), daemon=True).start()
        _answers(server, client, fault, ended)


def _questions(client: socket.socket, server: socket.socket, fault: Fault) -> None:
    with contextlib.suppress(OSError):
        while piece := client.recv(fault.piece):
            time.sleep(fault.upload_pause)
            server.sendall(piece)
        server.shutdown(socket.SHUT_WR)


def _answers(server: socket.socket, client: socket.socket, fault: Fault, ended: threading.Event) -> None:
    there = 0
    while piece := server.recv(fault.piece):
        time.sleep(fault.pause)
        if fault.silent_after is not None and there + len(piece) > fault.silent_after:
            ended.wait()
            return
        with fault.lock:
            dead = fault.dead_after is not None and fault.passed + len(piece) > fault.dead_after
            breaks = (
                fault.break_after is not None and fault.breaks > 0 and there + len(piece) > fault.break_after
            )
            fault.breaks -= breaks
        if dead or breaks:
            if breaks:
                client.sendall(piece[: (fault.break_after or 0) - there])
            # Closing is not enough while another thread reads from it.
            client.shutdown(socket.SHUT_RDWR)
            return
        client.sendall(piece)
        there += len(piece)
        with fault.lock:
            fault.passed += len(piece)
