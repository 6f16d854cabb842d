"""A job whose training ran out of memory and went on with fewer rows says so, while it runs and when it has ended."""

import pytest

from kube_objects import published, training_result, word
from simulation import prepared_job

FEWER = {"microBatchSize": 2, "outOfMemory": 1}


@pytest.fixture
def sim():
    found = prepared_job()
    found.runs("train", 1, running=True)
    found.step()
    return found


def told(sim):
    return {name: sim.status["resolved"].get(name) for name in ("microBatchSize", "outOfMemory", "maxLength")}


def test_while_it_runs(sim):
    before = told(sim)
    assert before["outOfMemory"] is None
    sim.polled({"version": 1, "step": 3, **FEWER})
    sim.step()
    assert told(sim) == {**before, **FEWER}


def test_what_is_told_stays_when_the_next_progress_is_silent(sim):
    sim.polled({"version": 1, "step": 3, **FEWER})
    sim.step()
    before = told(sim)
    sim.passes(60)
    sim.polled({"version": 1, "step": 4})
    sim.step()
    assert told(sim) == before


@pytest.mark.parametrize(
    ("code", "last"),
    [
        (0, {**published(), "result": {**training_result(), "resolved": FEWER}}),
        (75, {**word("Train", "Interrupted", "stopped"), "result": {"resolved": FEWER}}),
        (86, {**word("Train", "OutOfMemory", "out of memory"), "result": {"resolved": FEWER}}),
    ],
)
def test_when_it_has_ended(sim, code, last):
    sim.ends("train", 1, code, last)
    sim.step()
    assert FEWER.items() <= told(sim).items()


def test_a_last_word_that_tells_nonsense_changes_nothing(sim):
    before = told(sim)
    nonsense = {"resolved": {"microBatchSize": "two", "outOfMemory": 1}}
    sim.ends("train", 1, 75, {**word("Train", "Interrupted", "stopped"), "result": nonsense})
    sim.step()
    assert told(sim) == before
