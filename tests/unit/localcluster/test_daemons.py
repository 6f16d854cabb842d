import dataclasses
import os
import time

import pytest

from localcluster import daemons
from localcluster.daemons import Daemon, Record
from localcluster.errors import ClusterError
from localcluster.places import Places


@pytest.fixture
def places(tmp_path):
    return Places(state=tmp_path / "state", runtime=tmp_path / "run", cache=tmp_path / "cache")


@pytest.fixture
def sleeper(places):
    daemon = Daemon(name="sleeper", argv=("sleep", "60"), ready=lambda: True)
    yield daemon
    daemons.stop(places, daemon.name)


def test_a_running_daemon_is_found_again(places, sleeper):
    assert daemons.ensure(places, sleeper)
    pid = daemons.record(places, "sleeper").pid
    assert not daemons.ensure(places, sleeper)
    assert daemons.record(places, "sleeper").pid == pid
    assert os.getsid(pid) == pid  # of its own session: survives the shell


def test_a_dead_one_is_started_again(places, sleeper):
    daemons.ensure(places, sleeper)
    os.kill(daemons.record(places, "sleeper").pid, 9)
    time.sleep(0.05)
    assert not daemons.alive(places, "sleeper")
    assert daemons.ensure(places, sleeper)
    assert daemons.alive(places, "sleeper")


def test_another_configuration_starts_it_anew(places, sleeper):
    daemons.ensure(places, sleeper)
    pid = daemons.record(places, "sleeper").pid
    changed = dataclasses.replace(sleeper, files={places.state / "conf": "new"})
    assert daemons.ensure(places, changed)
    assert (places.state / "conf").read_text() == "new"
    assert daemons.start_time(pid) is None


def test_stopping_forgets_it(places, sleeper):
    daemons.ensure(places, sleeper)
    pid = daemons.record(places, "sleeper").pid
    daemons.stop(places, "sleeper")
    assert daemons.start_time(pid) is None
    assert daemons.names(places) == []


def test_a_process_with_the_number_of_an_earlier_one_is_left_alone():
    later = Record(pid=os.getpid(), started="1", boot=daemons.boot(), fingerprint="")
    assert not later.alive()
    daemons.end(later.pid, later.started, patience=1)  # would end this test


def test_nothing_lives_on_from_an_earlier_boot():
    mine = daemons.start_time(os.getpid())
    assert Record(os.getpid(), mine, daemons.boot(), "").alive()
    assert not Record(os.getpid(), mine, "another boot", "").alive()


def test_one_that_ends_at_once_is_reported_with_its_last_words(places):
    daemon = Daemon(
        name="broken", argv=("sh", "-c", "echo no such flag; exit 3"), ready=lambda: False, advice="Do this."
    )
    with pytest.raises(ClusterError, match=r"(?s)broken ended.*no such flag.*Do this\."):
        daemons.ensure(places, daemon)
    daemons.stop(places, "broken")


def test_the_network_is_entered_and_the_mounts_are_not():
    command = Daemon(name="x", argv=("etcd",), ready=lambda: True, namespace="n1", niceness=-5).command()
    assert command == ["nice", "-n", "-5", "nsenter", "--net=/run/netns/n1", "--", "etcd"]
