"""One control plane for all: it takes seven seconds to start."""

import pytest

import policy_ground


@pytest.fixture(scope="session")
def kube():
    with policy_ground.control_plane() as kube:
        policy_ground.install(kube, policy_ground.VALUES)
        yield kube


@pytest.fixture
def namespace(kube):
    with kube.fresh_namespace() as name:
        yield name
