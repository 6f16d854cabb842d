"""The base model on a claim that the jobs of a namespace share: filled once, in Prepare, and read where the GPUs are.

    <cache>/models/<where it comes from>/<revision>/            the files, and manifest.json
    <cache>/models/<where it comes from>/.filling-<revision>.<filler>/   somebody is at it, as long as `beat` changes

A filler works in a folder of its own, which gets its real name when it is complete: no lock can be wrong in a way that
damages anything. A filler that died is inherited with all that it has downloaded, by renaming its folder, which only one can.
The cache is a help and no condition: what ails it is told, and training downloads the model itself.
"""

import contextlib
import errno
import hashlib
import os
import random
import re
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pydantic

from finetune_trainer import errors
from finetune_trainer.base_model import BaseModel
from finetune_trainer.layout import Layout
from finetune_trainer.prepared import FileFacts

MANIFEST = "manifest.json"
BEAT_FILE = "beat"
RELEASED = "released"
DOWNLOADED = frozenset({"hf", "s3", "gs", "az"})
"""Schemes that are worth it. A claim is no farther away than the cache."""

Told = Callable[[str], object]


@dataclass(frozen=True, kw_only=True)
class Patience:
    """Seconds."""

    beat: float = 5.0
    """Between two signs of life."""
    stale: float = 60.0
    """Without one, seen by the clock of the one who waits: the filler is dead."""
    look: float = 2.0
    """Between two looks at what another one does."""


class Manifest(pydantic.BaseModel):
    """What lies in a complete folder."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    source: str
    revision: str
    files: dict[str, FileFacts]


def fill(base: BaseModel, layout: Layout, told: Told, patience: Patience | None = None) -> None:
    """Have the model in the cache, if there is one. Whoever fills it already is waited for.

    Raises what the model's store raises: training could not download it either. What ails the claim is only told.
    """
    folder = _folder(base, layout)
    if folder is None:
        return
    try:
        _Filling(base, folder, told, patience or Patience()).run()
    except (OSError, errors.ScratchFull) as error:
        told(f"the model cache cannot be filled, training downloads the model itself: {_cause(error)}")


def link(base: BaseModel, layout: Layout, to: Path) -> bool:
    """Make the model's files in the folder `to` links into the cache. False where the cache has not all of them."""
    folder = _folder(base, layout)
    if folder is None or not _complete(base, folder):
        return False
    to.mkdir(parents=True, exist_ok=True)
    for item in (*base.small, *base.weights):
        file = to / item.key
        file.unlink(missing_ok=True)
        file.symlink_to(folder / item.key)
    return True


def _folder(base: BaseModel, layout: Layout) -> Path | None:
    """Where this revision lies or would lie; None without a cache."""
    if base.store.reference.scheme not in DOWNLOADED or not layout.cache.is_dir():
        return None
    origin = base.store.origin
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", origin.rstrip("/").rpartition("/")[2])[:64]
    digest = hashlib.sha256(origin.encode()).hexdigest()[:16]
    revision = re.sub(r"[^A-Za-z0-9._-]+", "-", base.facts.revision)
    return layout.cache / "models" / f"{base.store.reference.scheme}-{name}-{digest}" / revision


def _complete(base: BaseModel, folder: Path) -> bool:
    """Whether all files lie there as the manifest has them and as the source lists them now."""
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
        for item in (*base.small, *base.weights):
            facts = manifest.files.get(item.key)
            if facts is None or {facts.size, (folder / item.key).stat().st_size} != {item.size}:
                return False
            if (item.digest or "").startswith("sha256:") and item.digest != f"sha256:{facts.sha256}":
                return False
    except (OSError, ValueError):
        return False
    return True


class _Filling:
    """One attempt to have a folder filled."""

    def __init__(self, base: BaseModel, folder: Path, told: Told, patience: Patience) -> None:
        self._base = base
        self._folder = folder
        self._told = told
        self._patience = patience
        self._prefix = f".filling-{folder.name}."
        self._own = folder.with_name(self._prefix + uuid.uuid4().hex)
        self._seen: dict[str, tuple[str, float]] = {}
        """Filler -> its last sign of life, and since when we see it."""
        self._begun = False

    def run(self) -> None:
        """Fill, or wait until somebody else has."""
        while not _complete(self._base, self._folder):
            if self._taken():
                try:
                    self._fill()
                except OSError:
                    if self._alive():
                        raise
                    self._retreat()
            else:
                self._told("waiting for another job, which brings the model to the cache")
                time.sleep(self._patience.look)

    def _alive(self) -> bool:
        """Whether the folder is still ours. Whoever takes us for dead renames it, with our beat."""
        return not self._begun or (self._own / BEAT_FILE).exists()

    def _retreat(self) -> None:
        """Another goes on with our folder; what we have written since is of no use."""
        shutil.rmtree(self._own, ignore_errors=True)
        self._own = self._folder.with_name(self._prefix + uuid.uuid4().hex)

    def _taken(self) -> bool:
        """Whether it is ours to fill: nobody is at it, or who was is dead."""
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        others = self._others()
        for other in others:
            if self._dead(other):
                with contextlib.suppress(FileNotFoundError):  # somebody was quicker
                    other.rename(self._own)
                    return True
        if others:
            return False
        self._own.mkdir()
        if not self._others():
            return True
        self._own.rmdir()  # two began at once: each steps back, for a time of its own
        time.sleep(random.uniform(0, self._patience.look))  # noqa: S311 - no secret
        return False

    def _others(self) -> list[Path]:
        found = self._folder.parent.glob(f"{self._prefix}*")
        return sorted(path for path in found if path != self._own)

    def _dead(self, other: Path) -> bool:
        """Whether a filler has given up, or shown no sign of life for too long."""
        try:
            beat = (other / BEAT_FILE).read_text()
        except OSError:
            beat = ""
        before, since = self._seen.get(other.name, ("", -1.0))
        if since < 0 or beat != before:
            self._seen[other.name] = (beat, time.monotonic())
            return beat == RELEASED
        return beat == RELEASED or time.monotonic() - since > self._patience.stale

    def _fill(self) -> None:
        """Download what is missing, and give the folder its name."""
        items = [*self._base.small, *self._base.weights]
        with self._beating():
            self._base.fetch(
                items, self._own, moved=lambda how: self._told(f"filling the model cache: {how}")
            )
            self._told("filling the model cache: reading the files once more for their digests")
            files = {item.key: FileFacts.of(self._own / item.key) for item in items}
            manifest = Manifest(source=self._base.facts.uri, revision=self._base.facts.revision, files=files)
            _write(self._own / MANIFEST, manifest.model_dump_json(indent=1).encode())
        for left in self._own.iterdir():
            if left.name not in {*files, MANIFEST}:
                left.unlink() if left.is_file() else shutil.rmtree(left)
        self._publish()

    def _publish(self) -> None:
        if self._folder.exists() and not _complete(self._base, self._folder):
            broken = self._folder.with_name(f".broken-{uuid.uuid4().hex}")
            self._folder.rename(broken)
            shutil.rmtree(broken, ignore_errors=True)
        try:
            self._own.rename(self._folder)
        except OSError as error:
            if error.errno not in {errno.EEXIST, errno.ENOTEMPTY}:
                raise
            shutil.rmtree(self._own, ignore_errors=True)  # another has filled it meanwhile

    @contextlib.contextmanager
    def _beating(self) -> Iterator[None]:
        """Show signs of life; where the block fails, whoever comes next need not wait for our death."""
        ended = threading.Event()

        def show(sign: str) -> None:
            # Never made anew: in a folder that is another's by now, or that we have made by mistake, there is none.
            with contextlib.suppress(FileNotFoundError), (self._own / BEAT_FILE).open("r+") as file:
                file.truncate()
                file.write(sign)

        def beat() -> None:
            with contextlib.suppress(OSError):  # the claim is ill: the download will tell
                while not ended.wait(self._patience.beat):
                    show(uuid.uuid4().hex)

        (self._own / BEAT_FILE).write_text(uuid.uuid4().hex)
        self._begun = True
        thread = threading.Thread(target=beat, name="beat", daemon=True)
        thread.start()
        try:
            yield
        except BaseException:
            ended.set()
            thread.join()
            with contextlib.suppress(OSError):
                show(RELEASED)
            raise
        ended.set()
        thread.join()


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _cause(error: Exception) -> str:
    if isinstance(error, errors.ScratchFull):
        return "the claim is full"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
