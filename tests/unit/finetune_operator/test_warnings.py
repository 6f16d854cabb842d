"""Why pods do not start is asked for once a namespace, not once a pod."""

import asyncio

from finetune_operator.cluster.api import Page
from finetune_operator.reconcile import warnings
from finetune_operator.reconcile.warnings import Warnings


class Events:
    """An API server that has Events alone, and takes its time."""

    def __init__(self, takes: float = 0.0) -> None:
        self.now, self.takes, self.asked = 0.0, takes, []
        self.items = [one("pod-1", "a"), one("pod-2", "b"), one("pod-1", "c")]

    async def list(self, resource, *, namespace, fields):
        self.asked.append((resource.plural, namespace, fields))
        await asyncio.sleep(0)
        self.now += self.takes
        yield Page(self.items, 1)


def one(uid: str, message: str) -> dict:
    return {
        "metadata": {"creationTimestamp": "2026-11-22T10:00:00Z"},
        "involvedObject": {"uid": uid},
        "reason": "FailedCreate",
        "message": message,
    }


def asker(events: Events) -> Warnings:
    return Warnings(events, clock=lambda: events.now)


async def test_a_thousand_pods_that_do_not_start_cost_one_list():
    events = Events()
    found = asker(events)
    told = await asyncio.gather(*(found.about("team-a", [f"pod-{number}"]) for number in range(1000)))
    assert events.asked == [("events", "team-a", "type=Warning")]
    assert [[seen.message for seen in each] for each in told[:4]] == [[], ["a", "c"], ["b"], []]


async def test_a_list_grows_old_and_namespaces_have_their_own():
    events = Events()
    found = asker(events)
    await found.about("team-a", ["pod-1"])
    await found.about("team-b", ["pod-1"])
    events.now = warnings.FRESH
    events.items = []
    assert await found.about("team-a", ["pod-1"]) == ()
    assert [namespace for _, namespace, _ in events.asked] == ["team-a", "team-b", "team-a"]


async def test_a_slow_list_is_good_for_longer():
    events = Events(takes=3.0)
    found = asker(events)
    await found.about("team-a", ["pod-1"])
    events.now += 0.9 * 3.0 / warnings.SHARE
    await found.about("team-a", ["pod-1"])
    assert len(events.asked) == 1
    events.now += 0.2 * 3.0 / warnings.SHARE
    await found.about("team-a", ["pod-1"])
    assert len(events.asked) == 2


async def test_namespaces_that_nobody_asks_about_are_forgotten():
    events = Events()
    found = asker(events)
    for number in range(50):
        events.now = number * 10.0
        await found.about(f"team-{number}", [])
    assert len(found._namespaces) == 1
