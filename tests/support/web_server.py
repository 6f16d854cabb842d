"""A web server on an address of this machine, for as long as a test needs it; with TLS under an authority of its own if asked."""

import contextlib
import datetime as dt
import functools
import http.server
import ipaddress
import pathlib
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

CLOSED_WITHIN = 0.02
"""Seconds; half a second, as is usual, would be half of many a test."""


@contextlib.contextmanager
def running(
    handler: Callable[..., Any], address: str, context: ssl.SSLContext | None = None
) -> Iterator[int]:
    """Serve with `handler`; the port."""
    server = http.server.ThreadingHTTPServer((address, 0), handler)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(CLOSED_WITHIN,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def answering(status: int, body: bytes = b"") -> Iterator[str]:
    """A server that says the same to everything; its address."""

    class Same(http.server.BaseHTTPRequestHandler):
        def reply(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = reply  # noqa: N815 - http.server's names

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    with running(Same, "127.0.0.1") as port:
        yield f"http://127.0.0.1:{port}"


class Files(http.server.SimpleHTTPRequestHandler):
    """The files of a folder, without a line on standard error for each."""

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@contextlib.contextmanager
def files(folder: pathlib.Path, address: str, keys: pathlib.Path) -> Iterator[tuple[str, str]]:
    """Serve `folder` by https; its address, and the authority's certificate (PEM) that a client has to trust."""
    authority = certificate_files(address, keys)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys / "server.crt", keys / "server.key")
    with running(functools.partial(Files, directory=str(folder)), address, context) as port:
        yield f"https://{address}:{port}", authority


def certificate_files(address: str, keys: pathlib.Path) -> str:
    """Write server.crt and server.key for `address` into `keys`; the authority that signed them (PEM)."""
    authority_key, server_key = (
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP256R1()),
    )
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test's authority")])
    authority = (
        draft(name, name, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
    server = (
        draft(subject, name, server_key.public_key())
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False
        )
        .sign(authority_key, hashes.SHA256())
    )
    keys.joinpath("server.crt").write_bytes(server.public_bytes(serialization.Encoding.PEM))
    keys.joinpath("server.key").write_bytes(
        server_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return authority.public_bytes(serialization.Encoding.PEM).decode()


def draft(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    """A certificate of one day, not signed yet."""
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
    )
