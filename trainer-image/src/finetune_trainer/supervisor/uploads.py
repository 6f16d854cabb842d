"""Checkpoints on their way to the work area and back.

`<work>/checkpoints/step-N/` holds the files of a checkpoint and, written last, its manifest: a folder without one is
unfinished and is never read.
"""

import shutil
import threading
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

import pydantic

from finetune_trainer import checkpoint, errors, failpoints, report
from finetune_trainer.checkpoint import Manifest
from finetune_trainer.report import CheckpointSeen
from finetune_trainer.storage import Item, Store
from finetune_trainer.supervisor.fence import Fence

FOLDER = "checkpoints"
PAUSE = 1.0
"""Seconds between two looks for finished checkpoints."""

Say = Callable[[str], object]
"""Writes a line to the pod's log."""


class Uploads:
    """Takes finished checkpoints from the ranks to the work area, while training goes on."""

    def __init__(
        self,
        store: Store,
        finished: Path,
        *,
        fingerprint: str,
        keep: int,
        fence: Fence,
        say: Say,
        passed_over: AbstractSet[int] = frozenset(),
        clock: report.Clock = report.utc_now,
    ) -> None:
        """`passed_over`: steps of checkpoints that this run could not go on from; they count for nothing."""
        self._store = store
        self._finished = finished
        self._fingerprint = fingerprint
        self._keep = keep
        self._fence = fence
        self._say = say
        self._passed_over = set(passed_over)
        self._clock = clock
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="uploads", daemon=True)
        self.last: CheckpointSeen | None = None
        """The newest checkpoint that lies in the work area."""

    def start(self) -> None:
        """Begin to look for checkpoints."""
        self._thread.start()

    def end(self, *, seconds: float) -> None:
        """Send what is still here, and stop; tried again for `seconds`, for a storage that fails or is slow.

        A checkpoint that cannot be sent is told, not raised: the previous one stands.
        """
        until = time.monotonic() + seconds
        self._ended.set()
        self._thread.join(seconds)
        while not self._thread.is_alive() and not self._sweep() and time.monotonic() + PAUSE < until:
            time.sleep(PAUSE)
        if self._thread.is_alive():
            self._say(f"a checkpoint could not be sent within {seconds:.0f} s; the previous one is kept")

    def stop(self) -> None:
        """Stop after what is under way; what is still here is no longer needed."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(PAUSE):
            self._sweep()

    def _sweep(self) -> bool:
        """Send the newest finished checkpoint; older ones that wait behind it are of no use any more.

        Whether nothing is left to try: all is sent, or it is no longer ours to send.
        """
        waiting = sorted(self._finished.glob("step-*"), key=lambda path: _step(path.name))
        if not waiting:
            return True
        try:
            self.last = self._send(waiting[-1])
        except Exception as error:  # noqa: BLE001 - training must go on, whatever ails the storage
            self._say(f"the checkpoint {waiting[-1].name} could not be sent; it is tried again: {error}")
            return isinstance(error, errors.Superseded)
        for folder in waiting:
            shutil.rmtree(folder)
        return True

    def _send(self, folder: Path) -> CheckpointSeen:
        step = _step(folder.name)
        self._fence.check()
        manifest = checkpoint.sealed(folder, step=step, fingerprint=self._fingerprint, time=self._clock())
        for number, name in enumerate(manifest.files):
            self._store.put(f"{FOLDER}/{folder.name}/{name}", folder / name)
            if not number:
                failpoints.reach("Upload", step=step)
        self._fence.check()  # a later run reads and prunes what lies here
        self._store.put(
            f"{FOLDER}/{folder.name}/{checkpoint.MANIFEST}", manifest.model_dump_json(by_alias=True).encode()
        )
        self._passed_over.discard(step)
        prune(self._store, keep=self._keep, passed_over=self._passed_over)
        uri = self._store.uri_of(f"{FOLDER}/{folder.name}")
        self._say(f"the checkpoint of step {step} is at {uri}")
        return CheckpointSeen(step=step, uri=uri, time=manifest.time)


def prune(store: Store, *, keep: int, passed_over: AbstractSet[int] = frozenset()) -> None:
    """Remove all but the newest `keep` finished checkpoints, and unfinished ones that are older; each manifest first.

    Those that were `passed_over` are of no use to anybody: they go too.
    """
    steps = _listed(store)
    usable = {step for step, names in steps.items() if checkpoint.MANIFEST in names} - passed_over
    finished = sorted(usable, reverse=True)
    newest = finished[0] if finished else -1
    kept = set(finished[:keep]) | {step for step in steps.keys() - passed_over if step > newest}
    for step in sorted(steps.keys() - kept):
        for name in sorted(steps[step], key=lambda name: name != checkpoint.MANIFEST):
            store.delete(f"{FOLDER}/step-{step}/{name}")


@dataclass(frozen=True, kw_only=True)
class Found:
    """What lay in the work area."""

    checkpoint: CheckpointSeen | None
    """What to go on from; None: from the start."""
    passed_over: frozenset[int]
    """Steps of newer checkpoints that were of no use."""


def newest(store: Store, into: Path, *, fingerprint: str, say: Say) -> Found:
    """Fetch the newest checkpoint that holds what it promises into the folder `into`.

    One that is unfinished, damaged, or of other settings or data is told and passed over: the one before it is as true.
    """
    steps = _listed(store)
    passed_over: set[int] = set()
    for step in sorted(steps, reverse=True):
        try:
            seen = _fetched(store, step, steps[step], into, fingerprint)
        except _Unusable as error:
            say(f"the checkpoint of step {step} is passed over: {error}")
            passed_over.add(step)
        else:
            return Found(checkpoint=seen, passed_over=frozenset(passed_over))
    return Found(checkpoint=None, passed_over=frozenset(passed_over))


def of_step(store: Store, step: int, into: Path, *, fingerprint: str) -> CheckpointSeen:
    """Fetch the very checkpoint that node 0 has found whole. Raises `StorageUnavailable` where this node finds another thing."""
    try:
        return _fetched(store, step, _listed(store).get(step, {}), into, fingerprint)
    except _Unusable as error:
        raise errors.StorageUnavailable(
            f"{store.uri_of(f'{FOLDER}/step-{step}')}: node 0 goes on from this checkpoint, but on this node {error}; where the "
            "work area is a claim (pvc://), all nodes must be able to mount it (ReadWriteMany)"
        ) from error


class _Unusable(Exception):
    """Why a checkpoint is passed over, as half a sentence."""


def _fetched(
    store: Store, step: int, listed: dict[str, Item], into: Path, fingerprint: str
) -> CheckpointSeen:
    prefix = f"{FOLDER}/step-{step}"
    manifest = _manifest(store, step, listed)
    if manifest.fingerprint != fingerprint:
        raise _Unusable("it was made with other settings or data")
    lost = [name for name in manifest.files if name not in listed]
    if lost:
        raise _Unusable(f"{lost[0]} is missing")
    for _attempt in range(2):  # what was damaged on the way is whole the second time
        shutil.rmtree(into, ignore_errors=True)
        for name in manifest.files:
            store.get(f"{prefix}/{name}", into / name)
        wrong = checkpoint.damage(into, manifest.files)
        if not wrong:
            return CheckpointSeen(step=step, uri=store.uri_of(prefix), time=manifest.time)
    raise _Unusable(wrong)


def _manifest(store: Store, step: int, listed: dict[str, Item]) -> Manifest:
    if checkpoint.MANIFEST not in listed:
        raise _Unusable("it is unfinished")
    try:
        manifest = Manifest.model_validate_json(store.read(f"{FOLDER}/step-{step}/{checkpoint.MANIFEST}"))
    except (pydantic.ValidationError, errors.InternalError) as error:
        raise _Unusable("its manifest cannot be read") from error
    if any(name.startswith("/") or ".." in name.split("/") for name in manifest.files):
        raise _Unusable("its manifest names files outside of it")
    if manifest.step != step:
        raise _Unusable(f"its manifest is that of step {manifest.step}")
    return manifest


def _listed(store: Store) -> dict[int, dict[str, Item]]:
    """Step -> name -> object, of everything below `checkpoints/`."""
    steps: dict[int, dict[str, Item]] = {}
    for item in store.list(FOLDER):
        folder, _, name = item.key.removeprefix(f"{FOLDER}/").partition("/")
        if (step := _step(folder)) >= 0 and name:
            steps.setdefault(step, {})[name] = item
    return steps


def _step(name: str) -> int:
    """N of `step-N`; -1 for any other name."""
    prefix, _, digits = name.partition("-")
    return int(digits) if prefix == "step" and digits.isdecimal() else -1
