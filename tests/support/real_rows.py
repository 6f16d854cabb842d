"""Real data of many shapes from a package registry alone: the demo files of LLaMA-Factory, people's chats, Korean small talk.

Fetched once by pip into the user's cache, checked by digest, and unpacked from there. Nothing of it is committed.
"""

import functools
import hashlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import smollm2


@dataclass(frozen=True, kw_only=True)
class Archive:
    """One file of a registry."""

    requirement: str
    file: str
    sha256: str

    def path(self) -> Path:
        """The archive in the cache."""
        kept = smollm2.cache() / self.file
        if not kept.exists():
            smollm2.cache().mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=smollm2.cache()) as fresh:
                self._download(Path(fresh))
                (Path(fresh) / self.file).replace(kept)
        found = hashlib.sha256(kept.read_bytes()).hexdigest()
        if found != self.sha256:
            kept.unlink()
            raise RuntimeError(f"{self.file} has the digest {found}, not {self.sha256}; removed, try again")
        return kept

    def _download(self, into: Path) -> None:
        """By pip; an environment made by uv has none, the interpreter below it does."""
        name = self.requirement.partition("==")[0]
        source = ["--no-binary", name] if self.file.endswith(".tar.gz") else []
        for python in (sys.executable, str(Path(sys.base_prefix) / "bin" / "python3")):
            command = [python, "-m", "pip", "download", "--quiet", "--no-deps", *source, "--dest", str(into)]
            done = subprocess.run([*command, self.requirement], check=False, stderr=subprocess.PIPE)
            if done.returncode == 0:
                return
        raise RuntimeError(f"pip could not download {self.requirement}; is a package index reachable?")


DEMOS = Archive(
    requirement="llamafactory==0.9.5",
    file="llamafactory-0.9.5.tar.gz",
    sha256="1702c0bfb864e80577a59521d2edcacd2aab05ec6aee06188fcba335a589681f",
)
CHATS = Archive(
    requirement="chitchat-dataset==0.9.0",
    file="chitchat_dataset-0.9.0-py3-none-any.whl",
    sha256="7bf89f36645e2d5ec87d53370c8e851b5a688479c7beb7079cb4c87fc5acea3e",
)
SMALL_TALK = Archive(
    requirement="chatterbot-corpus==1.3.3",
    file="chatterbot_corpus-1.3.3-py2.py3-none-any.whl",
    sha256="86de5300afb9a80826386339d3bec79c0a72eb0358abb8327e2ecef5ae0ce154",
)


@functools.cache
def demos() -> dict[str, bytes]:
    """The data files of LLaMA-Factory's source distribution by name."""
    with tarfile.open(DEMOS.path()) as opened:
        members = [one for one in opened.getmembers() if "/data/" in one.name and ".json" in one.name]
        return {
            Path(one.name).name: file.read()
            for one in members
            if (file := opened.extractfile(one)) is not None
        }


@functools.cache
def chats() -> bytes:
    """7,168 chats between two people, as one JSON object."""
    with zipfile.ZipFile(CHATS.path()) as opened:
        return opened.read("chitchat_dataset/dataset.json")


@functools.cache
def small_talk(language: str) -> dict[str, bytes]:
    """Files of YAML by name: `conversations`, each a list of what two say in turn."""
    with zipfile.ZipFile(SMALL_TALK.path()) as opened:
        names = [one for one in opened.namelist() if f"/data/{language}/" in one and one.endswith(".yml")]
        return {Path(name).name: opened.read(name) for name in sorted(names)}
