"""Keys and certificates, by the openssl program: no Python package is needed to start a cluster."""

from dataclasses import dataclass
from pathlib import Path

from localcluster import documents, programs

DAYS = "3650"  # a cluster lives for days; its certificates should never be why it stops
CURVE = (
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-noenc",
)  # made in milliseconds, unlike RSA


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Authority:
    """Signs certificates; each is made once and found again."""

    folder: Path
    name: str

    @property
    def pair(self) -> Pair:
        return Pair(self.folder / f"{self.name}.crt", self.folder / f"{self.name}.key")

    def ensure(self) -> Pair:
        if not self.pair.certificate.exists():
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _openssl(
                self.pair, f"/CN={self.name}", "-addext", "keyUsage=critical,keyCertSign,digitalSignature"
            )
        return self.pair

    def issue(self, name: str, common_name: str, *, group: str = "", hosts: tuple[str, ...] = ()) -> Pair:
        """A certificate for both ends of a connection. `group` is what Kubernetes reads from O, `hosts` are IPs or names."""
        pair = Pair(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        if not pair.certificate.exists():
            _openssl(
                pair,
                (f"/O={group}" if group else "") + f"/CN={common_name}",
                *("-CA", str(self.pair.certificate), "-CAkey", str(self.pair.key)),
                *("-addext", "basicConstraints=critical,CA:FALSE"),
                *("-addext", "extendedKeyUsage=clientAuth,serverAuth"),
                *(("-addext", alternative_names(hosts)) if hosts else ()),
            )
        return pair

    def kubeconfig(self, file: Path, server: str, client: Pair) -> Path:
        """A kubeconfig that trusts this authority. Not rewritten when it is right, so that daemons see no change."""
        text = documents.kubeconfig(server, self.pair.certificate, client.certificate, client.key)
        if not file.exists() or file.read_text() != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            file.chmod(0o600)
        return file


def signing_key(file: Path) -> Path:
    """The key that service-account tokens are signed with, in the older of the two formats: the API server reads no other."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        programs.run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", file)
    return file


def alternative_names(hosts: tuple[str, ...]) -> str:
    """The subjectAltName extension in openssl's words."""
    kinds = ("IP" if host.replace(".", "").isdecimal() else "DNS" for host in hosts)
    return "subjectAltName=" + ",".join(f"{kind}:{host}" for kind, host in zip(kinds, hosts, strict=True))


def _openssl(pair: Pair, subject: str, *more: str) -> None:
    # The certificate appears under its name only when it is whole: a run cut off in between starts over.
    unfinished = pair.certificate.with_suffix(".new")
    programs.run(
        "openssl",
        "req",
        "-x509",
        *CURVE,
        "-days",
        DAYS,
        "-subj",
        subject,
        "-keyout",
        pair.key,
        "-out",
        unfinished,
        *more,
    )
    unfinished.rename(pair.certificate)
