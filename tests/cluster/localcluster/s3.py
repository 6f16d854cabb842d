"""The S3 server: versitygw over a folder, with accounts of its own, so that a denied access is a real one."""

from dataclasses import dataclass
from pathlib import Path

from localcluster import addresses, probes, programs
from localcluster.daemons import Daemon
from localcluster.places import Places

REGION = "us-east-1"
BUCKET = "finetune"


@dataclass(frozen=True)
class Account:
    access_key: str
    secret_key: str


# No secrets: the server listens inside this machine alone, and tests need keys that they can write down.
OWNER = Account("finetune", "finetune-secret")
STRANGER = Account(
    "stranger", "stranger-secret"
)  # a valid account that may do nothing: its requests end in AccessDenied


def folder(places: Places) -> Path:
    """Where a bucket is a folder and an object is a file."""
    return places.state / "s3"


def daemon(places: Places, binaries: Path) -> Daemon:
    for path in (folder(places), places.state / "s3-accounts"):
        path.mkdir(parents=True, exist_ok=True)
    return Daemon(
        name="s3",
        argv=(
            str(binaries / "versitygw"),
            *("--port", f"{addresses.FIRST.address}:{addresses.S3_PORT}"),
            *("--region", REGION),
            *("--iam-dir", str(places.state / "s3-accounts")),
            *("--iam-cache-ttl", "1"),  # seconds; an account made or removed by a test counts at once
            *("--health", "/health"),
            "--quiet",
            "posix",
            str(folder(places)),
        ),
        environ={"ROOT_ACCESS_KEY": OWNER.access_key, "ROOT_SECRET_KEY": OWNER.secret_key},
        ready=probes.page(f"{addresses.S3_ENDPOINT}/health"),
        namespace=addresses.FIRST.namespace,
        advice="Its folder must lie on a file system with extended attributes.",
    )


def ensure_bucket(places: Places, binaries: Path, bucket: str, owner: str = OWNER.access_key) -> bool:
    """Have a bucket that only its owner and the administrator may use. True if it had to be made."""
    if (folder(places) / bucket).is_dir():
        return False
    _admin(binaries, "create-bucket", "--bucket", bucket, "--owner", owner)
    return True


def ensure_account(binaries: Path, account: Account) -> bool:
    """Have an account without any rights but on buckets of its own. True if it had to be made."""
    if account.access_key in _admin(binaries, "list-users").split():
        return False
    _admin(
        binaries,
        "create-user",
        "--access",
        account.access_key,
        "--secret",
        account.secret_key,
        "--role",
        "user",
    )
    return True


def remove_account(binaries: Path, access_key: str) -> None:
    """The key is unknown from now on (InvalidAccessKeyId)."""
    _admin(binaries, "delete-user", "--access", access_key)


def _admin(binaries: Path, *argv: str) -> str:
    endpoint = ("--endpoint-url", addresses.S3_ENDPOINT, "--region", REGION)
    keys = ("--access", OWNER.access_key, "--secret", OWNER.secret_key)
    return programs.run(binaries / "versitygw", "admin", *keys, *endpoint, *argv)
