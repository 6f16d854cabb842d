"""What runs below a node's cgroup is found, while the kubelet removes folders there."""

import os
from pathlib import Path

import pytest

from localcluster import addresses, cgroups


@pytest.fixture
def pods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three pods in one hierarchy."""
    top = tmp_path / addresses.FIRST.namespace / "kubepods"
    for name, pid in (("pod1", "11"), ("pod2", "12"), ("pod3", "13")):
        (top / name).mkdir(parents=True)
        (top / name / "cgroup.procs").write_text(f"{pid}\n")
    monkeypatch.setattr(cgroups, "hierarchies", lambda: [tmp_path])
    return top


def test_a_folder_that_vanishes_hides_no_other(pods: Path, monkeypatch: pytest.MonkeyPatch):
    real = os.scandir

    def scandir(path):
        if Path(path).name == "pod2":
            raise FileNotFoundError(path)
        return real(path)

    assert cgroups.processes(addresses.FIRST) == {11, 12, 13}
    monkeypatch.setattr(os, "scandir", scandir)
    assert cgroups.processes(addresses.FIRST) == {11, 13}


def test_all_folders_are_removed_the_deepest_first(pods: Path):
    for folder in pods.iterdir():
        (folder / "cgroup.procs").unlink()
    cgroups.remove(addresses.FIRST)
    assert not pods.parent.exists()
