from pathlib import Path

import pytest

from localcluster import information
from localcluster.errors import ClusterError
from localcluster.places import places
from localcluster.toolchain import BUILDS

CURRENT = {
    "KUBECONFIG": "/mine",
    "FINETUNE_REGISTRY": "registry.example/team",
    "FINETUNE_S3_ENDPOINT": "https://s3.example",
    "FINETUNE_S3_BUCKET": "mine",
    "AWS_ACCESS_KEY_ID": "id",
    "AWS_SECRET_ACCESS_KEY": "secret",
}


def test_the_cache_follows_the_standard_variable():
    assert places({"HOME": "/home/me"}).cache == Path("/home/me/.cache/finetune-operator")
    assert places({"HOME": "/home/me", "XDG_CACHE_HOME": "/c"}).cache == Path("/c/finetune-operator")


def test_the_benchmark_control_plane_shares_the_cache_and_nothing_else():
    here = places({"HOME": "/home/me"})
    there = here.benchmark()
    assert there.cache == here.cache
    assert not {there.state, there.runtime, there.lock} & {here.state, here.runtime, here.lock}


def test_the_lock_outlives_the_state():
    here = places({})
    assert not here.lock.is_relative_to(here.state)


def test_purging_spares_the_caches_of_others():
    here = places({"HOME": "/home/me"})
    assert here.cache not in here.caches
    assert all(folder.parent == here.cache for folder in here.caches)


@pytest.fixture
def path(tmp_path) -> str:
    """A PATH with the programs that a user of Kubernetes has."""
    for name in ("kubectl", "helm"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    return str(tmp_path)


def test_somebody_elses_cluster_is_told_in_the_same_words_as_ours(path):
    here = places({"HOME": "/home/me"})
    ours, theirs = information.local(here), information.current({**CURRENT, "PATH": path}, here)
    assert theirs["tools"] == {"kubectl": f"{path}/kubectl", "helm": f"{path}/helm"}
    assert ours.keys() == theirs.keys()
    assert ours["s3"].keys() == theirs["s3"].keys()
    assert theirs["kubeconfig"] == "/mine"
    assert theirs["registry"] == {"push": "registry.example/team", "pull": "registry.example/team"}


def test_variables_that_are_missing_are_named():
    with pytest.raises(ClusterError, match="FINETUNE_S3_BUCKET"):
        information.current({**CURRENT, "FINETUNE_S3_BUCKET": ""}, places({}))


def test_programs_that_are_missing_are_named(tmp_path):
    with pytest.raises(ClusterError, match="kubectl and helm cannot be found"):
        information.current({**CURRENT, "PATH": str(tmp_path)}, places({"HOME": "/home/me"}))


def test_every_build_pins_what_it_needs():
    for build in BUILDS:
        assert (build.folder / "go.sum").exists()
        assert (build.folder / "go.mod").exists()
    assert len({build.key for build in BUILDS}) == len(BUILDS)
