"""The supervisors of several nodes over real HTTP: one plan, one start, one stop, and nobody is waited for in vain."""

import contextlib
import threading
from types import SimpleNamespace

import pytest

import trainer_runs
from finetune_trainer import errors
from finetune_trainer.supervisor import gang, launch, serve

PLAN = gang.Plan(epoch=3, step=20, port=29500)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    for name, seconds in (("PAUSE", 0.02), ("LOOK", 0.01), ("SILENCE", 0.5), ("MEETING", 0.5)):
        monkeypatch.setattr(gang, name, seconds)


class Nodes:
    """Node 0 and its server, and as many others as are asked for."""

    def __init__(self, stack: contextlib.ExitStack, count: int) -> None:
        self.told = [False] * count
        self.lead = gang.Lead(count, attempt=2, told_to_stop=lambda: self.told[0])
        self.server = serve.Server(lambda: None, port=0, hear=self.lead.hear)
        stack.callback(self.server.close)
        self._stack = stack
        self.address = f"127.0.0.1:{self.server.port}"

    def member(self, node: int = 1, *, attempt: int = 2, address: str | None = None) -> gang.Member:
        made = gang.Member(
            address or self.address, node=node, attempt=attempt, told_to_stop=lambda: self.told[node]
        )
        self._stack.callback(made.end, 0)
        return made


@pytest.fixture
def make():
    with contextlib.ExitStack() as stack:
        yield lambda count=2: Nodes(stack, count)


def beside(work) -> SimpleNamespace:
    """`work` in a thread; `.join()` gives what came of it."""
    found: list = []

    def run() -> None:
        try:
            found.append(work())
        except errors.TrainerError as error:
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def join():
        thread.join(10)
        assert found, "it waits for ever"
        return found[0]

    return SimpleNamespace(join=join, waits=thread.is_alive)


def test_all_follow_node_0s_plan_and_start_together(make):
    nodes = make(3)
    first, second = nodes.member(1), nodes.member(2)
    plans = [beside(lambda one=one: one.plan(lambda: pytest.fail("not theirs"))) for one in (first, second)]
    assert nodes.lead.plan(lambda: PLAN) == PLAN
    assert [one.join() for one in plans] == [PLAN, PLAN]
    started = [beside(nodes.lead.meet), beside(first.meet)]
    assert all(one.waits() for one in started)
    started.append(beside(second.meet))
    assert [one.join() for one in started] == [None, None, None]


def test_one_that_is_told_to_stop_stops_all(make):
    nodes = make(3)
    nodes.lead.plan(lambda: PLAN)
    first, second = nodes.member(1), nodes.member(2)
    nodes.told[1] = True
    assert isinstance(beside(nodes.lead.meet).join(), errors.Interrupted)
    assert isinstance(beside(second.meet).join(), errors.Interrupted)
    assert second.stopping()
    assert first.lost() is None


def test_node_0_that_is_told_to_stop_stops_the_others(make):
    nodes = make()
    member = nodes.member()
    nodes.told[0] = True
    assert isinstance(beside(lambda: member.plan(lambda: PLAN)).join(), errors.Interrupted)


def test_a_node_that_never_comes_is_named(make):
    nodes = make(3)
    nodes.lead.plan(lambda: PLAN)
    nodes.member(1)
    with pytest.raises(errors.PeerMissing, match=r"^node 2 did not join within .* port 8080"):
        nodes.lead.meet()


def test_a_node_0_that_never_comes_is_told_with_its_address(make):
    member = make().member(address=f"127.0.0.1:{launch.free_port()}")
    with pytest.raises(errors.PeerMissing, match=r"^node 1 could not reach node 0 at 127\.0\.0\.1:"):
        member.plan(lambda: PLAN)


def test_who_falls_silent_is_lost_to_the_other(make):
    nodes = make()
    nodes.lead.plan(lambda: PLAN)
    member = nodes.member()
    started = beside(nodes.lead.meet), beside(member.meet)
    assert [one.join() for one in started] == [None, None]
    nodes.server.close()
    lost = beside(lambda: wait(member.lost)).join()
    assert lost.startswith("node 0 has not been heard from")
    assert wait(nodes.lead.lost).startswith("node 1 has not been heard from")


def test_who_ended_badly_is_lost_at_once_and_who_is_done_is_not(make):
    nodes = make(3)
    done, failed = nodes.member(1), nodes.member(2)
    nodes.lead.plan(lambda: PLAN)
    assert wait(done.plan, lambda: PLAN) == PLAN
    done.end(0)
    assert nodes.lead.lost() is None
    failed.end(64)
    assert nodes.lead.lost() == "node 2 ended with exit code 64"


def wait(look, *given):
    """The first thing seen."""
    for _ in gang._waits(gang.time.monotonic):
        if found := look(*given):
            return found
    raise AssertionError


def test_a_node_of_another_attempt_is_not_heard(make):
    nodes = make()
    nodes.lead.plan(lambda: PLAN)
    stranger = nodes.member(attempt=1)
    with pytest.raises(errors.PeerMissing):
        stranger.plan(lambda: PLAN)
    with pytest.raises(errors.PeerMissing):
        nodes.lead.meet()


def test_a_node_that_belonged_to_an_earlier_start_of_node_0_ends(make):
    nodes = make()
    nodes.lead.plan(lambda: PLAN)
    member = nodes.member()
    assert member.plan(lambda: PLAN) == PLAN
    nodes.lead._name = "started anew"
    assert wait(member.lost) == "node 0 has started again"


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"\xff", b'{"version": 2, "attempt": 2, "node": 1}', b'{"attempt": 2, "node": 9}']
)
def test_what_is_no_word_of_a_node_is_refused(make, raw):
    assert make().lead.hear(raw) is None


def test_a_launcher_that_cannot_be_reached_is_told(monkeypatch):
    monkeypatch.setattr(launch, "REACHING", 0.0)
    port = launch.free_port()
    with pytest.raises(errors.PeerMissing, match=f"could not be reached at 127.0.0.1:{port}"):
        launch.reach("127.0.0.1", port)


@pytest.mark.parametrize(("node", "main"), [(0, None), (2, "node-0:8080")])
def test_a_place_that_cannot_be_is_no_reason_to_train_alone(node, main):
    run = trainer_runs.run(resources={"nodes": 2})
    with pytest.raises(errors.InternalError, match="2 nodes were promised"):
        gang.of(run, node=node, main=main, attempt=1, told_to_stop=lambda: False)
