"""Claims and ConfigMaps: folders that the kubelet has mounted. `file://` is for tests and for trying things by hand."""

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from finetune_trainer import errors
from finetune_trainer.layout import Layout
from finetune_trainer.storage.bucket import CHUNK_BYTES, disk
from finetune_trainer.storage.reference import Item, Reference, Role, Store, Told, nobody

DENIED = frozenset({errno.EPERM, errno.EACCES, errno.ENOTDIR, errno.EISDIR, errno.EROFS})
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
ILL = frozenset({errno.EIO, errno.ETIMEDOUT, errno.ESTALE})
"""What network file systems answer while their server is away."""

ROOTS_OWN = "lost+found"
"""In the root of every ext4 volume, for root alone."""
MOST_TRIES = 100


class FileStore(Store):
    """A mounted folder, or one file of it."""

    def __init__(self, reference: Reference, layout: Layout) -> None:
        super().__init__(reference)
        self._root = _root(reference, layout)

    def list(self, prefix: str = "") -> list[Item]:
        """See `Store`."""
        with self._translated(prefix):
            found = [item for path in _files_below(self._path(prefix)) if (item := self._item_if_there(path))]
        # The kubelet keeps the real files of a ConfigMap below `..data`; half-written ones start with a dot as well.
        shown = [item for item in found if not any(part.startswith("..") for part in item.key.split("/"))]
        return sorted((item for item in shown if not _half_written(item.key)), key=lambda item: item.key)

    def head(self, key: str) -> Item | None:
        """See `Store`."""
        with self._translated(key):
            return self._item_if_there(self._path(key))

    def get(self, key: str, to: Path, told: Told = nobody) -> None:
        """See `Store`."""
        to.parent.mkdir(parents=True, exist_ok=True)
        unfinished = to.with_name(f".{to.name}.part")
        with self._translated(key), disk(to), self._path(key).open("rb") as source:
            with unfinished.open("wb") as copy:
                while chunk := source.read(CHUNK_BYTES):
                    copy.write(chunk)
                    told(len(chunk))
            unfinished.replace(to)

    def read(self, key: str) -> bytes:
        """See `Store`."""
        with self._translated(key):
            return self._path(key).read_bytes()

    def put(self, key: str, content: bytes | Path) -> None:
        """See `Store`."""
        with self._translated(key), self._written(content, beside=self._path(key)) as written:
            written.replace(self._path(key))

    def put_if_absent(self, key: str, content: bytes) -> bool:
        """See `Store`. A hard link is made or not made, in one step, on local and network file systems alike."""
        with self._translated(key), self._written(content, beside=self._path(key)) as written:
            try:
                os.link(written, self._path(key))
            except FileExistsError:
                return False
        return True

    def delete(self, key: str) -> None:
        """See `Store`."""
        with self._translated(key):
            path = self._path(key)
            path.unlink(missing_ok=True)
            self._prune(path.parent)

    def _prune(self, folder: Path) -> None:
        """Remove folders that became empty, as buckets have none. Another pod may fill or remove them meanwhile."""
        while folder != self._root:
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent

    def _path(self, key: str) -> Path:
        return self._root / key if key else self._root

    def _item_if_there(self, path: Path) -> Item | None:
        """The file at `path`; None where there is none, or no longer: another pod may write to the same claim."""
        try:
            facts = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISREG(facts.st_mode):
            return None
        key = "" if path == self._root else path.relative_to(self._root).as_posix()
        return Item(key=key, size=facts.st_size, tag=f"{facts.st_size}-{facts.st_mtime_ns}")

    @contextmanager
    def _written(self, content: bytes | Path, *, beside: Path) -> Iterator[Path]:
        """A complete file with `content` in the folder of `beside`, to be moved; what is left of it is removed."""
        written = _new_file_in(beside.parent)
        try:
            if isinstance(content, Path):
                shutil.copyfile(content, written)
            else:
                written.write_bytes(content)
            written.chmod(0o644)  # mkstemp's 0600 would hide it from others who mount the claim
            yield written
        finally:
            written.unlink(missing_ok=True)

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        """Turn the file system's errors into ours."""
        try:
            yield
        except FileNotFoundError as error:
            raise self.reference.missing(self.uri_of(key)) from error
        except OSError as error:
            made = self._ours(error, key)
            if made is None:
                raise
            raise made from error

    def _ours(self, error: OSError, key: str) -> errors.TrainerError | None:
        """Our error for the file system's; None for what is not its fault."""
        field, uri = self.reference.field, self.uri_of(key)
        if error.errno in DENIED:
            cure = "the pod runs as user 65532: give that user access to the files, or ask the admin to set fsGroup in the profile"
            if self.reference.scheme == "file":  # a laptop
                cure = "give yourself access to it, or name another place"
            return errors.AccessDenied(f"{field}: {uri} cannot be read or written ({error.strerror}); {cure}")
        if error.errno in FULL:
            return errors.StorageUnavailable(
                f"{field}: {self._volume} is full while writing {uri} ({error.strerror}); make room there, or enlarge it; "
                "it is tried again later"
            )
        if error.errno in ILL:
            return errors.StorageUnavailable(
                f"{field}: {self._volume} does not answer as it should for {uri} ({error.strerror}); it is tried again later"
            )
        return None

    @property
    def _volume(self) -> str:
        """What the kubelet has mounted, as a person calls it."""
        kinds = {"pvc": "claim", "configmap": "ConfigMap"}
        kind = kinds.get(self.reference.scheme)
        return f"the {kind} {self.reference.place!r}" if kind else "the disk"


def _half_written(key: str) -> bool:
    return key.rpartition("/")[2].startswith(".finetune-writing-")


def _files_below(folder: Path) -> Iterator[Path]:
    """Whatever is no folder below `folder`. A folder that may not be read is an error: what lies there would be missed."""

    def unless_gone(error: OSError) -> None:
        name = os.path.basename(error.filename)  # noqa: PTH119 - a str of os.walk's
        if not isinstance(error, (FileNotFoundError, NotADirectoryError)) and name != ROOTS_OWN:
            raise error

    for parent, _, names in os.walk(folder, onerror=unless_gone):
        yield from (Path(parent, name) for name in names)


def _new_file_in(folder: Path) -> Path:
    """An empty file in `folder`, which is made. Tried again while another pod removes the folder, empty as it is."""
    for _attempt in range(MOST_TRIES):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=folder, prefix=".finetune-writing-")
        except (FileNotFoundError, FileExistsError) as error:
            gone = error
        else:
            os.close(handle)
            return Path(name)
    raise gone


def _root(reference: Reference, layout: Layout) -> Path:
    """Where the kubelet has put it."""
    match reference.scheme:
        case "configmap":
            folder = layout.configmaps / reference.place
            if not folder.is_dir() or not any(folder.iterdir()):
                raise errors.ConfigMapMissing(
                    f"{reference.field}: the ConfigMap {reference.place!r} does not exist in the job's namespace, or is "
                    "empty; create it, and the job goes on by itself"
                )
        case "pvc":
            folder = layout.claims / reference.place
            if not folder.is_dir() and reference.role is not Role.OUTPUT:
                raise reference.missing()
        case _:
            folder = Path("/")
    return folder / reference.path
