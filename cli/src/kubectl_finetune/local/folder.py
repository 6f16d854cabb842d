"""The folder of one job on this machine: what stands for its pod's file system, the logs, and how far it is."""

import fcntl
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finetune_operator.observe import words
from finetune_operator.observe.words import LastWord
from kubectl_finetune import errors

FILE = "file://"


@dataclass(frozen=True)
class StandIns:
    """What is on this machine for things of a cluster, by their names."""

    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """The keys of each."""
    claims: Mapping[str, Path] = field(default_factory=dict)
    configmaps: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Folder:
    """`NAME.finetune`."""

    root: Path

    @property
    def pod(self) -> Path:
        """The trainer's `--layout-root`; what lies where in it is in section 1 of docs/contract.md."""
        return self.root / "pod"

    @property
    def run(self) -> Path:
        """run.json."""
        return self.pod / "etc" / "run.json"

    @property
    def last_word(self) -> Path:
        """What stands for /dev/termination-log."""
        return self.pod / "termination-log"

    @contextmanager
    def taken(self) -> Iterator[int]:
        """While this process works in it nobody else does. `NotYet` where somebody does.

        The file descriptor of the lock: a stage that holds it, too, keeps the folder where this program is killed.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise errors.NotYet(
                    f"another run works in {self.root} at this moment; wait until it has ended, or give another folder with --dir"
                ) from error
            yield lock.fileno()

    def make(self, run: Mapping[str, Any]) -> None:
        """The folder with run.json in it. What an interrupted run of the same job has left stays."""
        self.run.parent.mkdir(parents=True, exist_ok=True)
        (self.root / "logs").mkdir(exist_ok=True)
        self.run.write_text(json.dumps(run, indent=2), encoding="utf-8")

    def mount(self, at_hand: StandIns) -> None:
        """Everything that stands for something of a cluster."""
        for name, keys in at_hand.secrets.items():
            self._write_secret(name, keys)
        for kind, places in (("claims", at_hand.claims), ("etc/configmaps", at_hand.configmaps)):
            for name, place in places.items():
                self._link(kind, name, place)

    def _write_secret(self, name: str, keys: Mapping[str, str]) -> None:
        folder = self.pod / "etc" / "credentials" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, mode=0o700)
        for key, value in keys.items():
            (folder / key).touch(mode=0o600)
            (folder / key).write_text(value, encoding="utf-8")

    def _link(self, kind: str, name: str, folder: Path) -> None:
        if not folder.is_dir():
            raise errors.NotThere(f"there is no folder {folder}; correct the path")
        place = self.pod / kind / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        place.symlink_to(folder.absolute())

    def log(self, stage: str) -> tuple[Path, int]:
        """The file of a new attempt's log, and the attempt's number."""
        number = len(list((self.root / "logs").glob(f"{stage}-*.log"))) + 1
        return self.root / "logs" / f"{stage}-{number}.log", number

    def logs(self, stage: str) -> list[Path]:
        """Those that there are."""
        return sorted((self.root / "logs").glob(f"{stage}-*.log"), key=lambda path: path.stat().st_mtime)

    def keep_prepared(self, uid: str) -> None:
        """Prepare need not run again for this very job."""
        (self.root / f"prepared-{uid}.json").write_bytes(self.last_word.read_bytes())

    def prepared(self, run: Mapping[str, Any]) -> LastWord | None:
        """What Prepare said of this very job; None where it has not run to its end, or somebody has removed what it left."""
        word = _word(self.root / f"prepared-{run['job']['uid']}.json")
        left = _dataset(run, word) if word else None
        published = Path(str(run["output"]["uri"]).removeprefix(FILE), "finetune-manifest.json")
        is_lost = left is not None and not left.is_dir() and not published.is_file()
        return None if is_lost else word

    def said(self) -> LastWord | None:
        """The last word of the stage that ended last."""
        return _word(self.last_word)


def refuse_foreign(output: str) -> None:
    """`Mistake` where a result on this machine would lie among files of somebody else: it would replace those of its names."""
    if not output.startswith(FILE):
        return
    place = Path(output.removeprefix(FILE))
    known = {".finetune", "finetune-manifest.json"}
    found = sorted(path.name for path in place.iterdir()) if place.is_dir() else []
    if found and known.isdisjoint(found):
        raise errors.Mistake(
            f"{place} holds other files ({found[0]}), which the result could replace; name a folder of its own (--to DIR)"
        )


def _dataset(run: Mapping[str, Any], word: LastWord) -> Path | None:
    """Where the prepared rows lie; None where that is no folder of this machine."""
    output = run["output"]
    base, digest = (
        output.get("workUri") or output["uri"],
        ((word.result or {}).get("dataset") or {}).get("digest"),
    )
    if not base.startswith(FILE) or not digest:
        return None
    place = Path(str(base).removeprefix(FILE), ".finetune", run["job"]["uid"])
    return place / "dataset" / str(digest).removeprefix("sha256:")


def _word(path: Path) -> LastWord | None:
    try:
        return words.last_word(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def keys(file: Path) -> dict[str, str]:
    """A Secret's keys from a file of KEY=VALUE lines."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise errors.NotThere(f"there is no file {file}; correct the path") from error
    except UnicodeDecodeError as error:
        raise errors.Mistake(f"{file} is not text; write one KEY=VALUE on each line") from error
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        said = line.strip().removeprefix("export ")
        if not said or said.startswith("#"):
            continue
        key, equals, value = said.partition("=")
        if not equals or not key.replace("_", "").isalnum():
            raise errors.Mistake(f"{file} line {number}: is not KEY=VALUE; write one KEY=VALUE on each line")
        found[key] = value.strip().strip("'\"")
    return found
