"""The watches end when they are told to, whatever kopf makes of a cancellation."""

import asyncio

import kopf
import pytest

from finetune_operator.handlers import watch


class Gone(Exception):
    """What ends kopf's watcher of one kind."""


async def deaf(times: int) -> None:
    """Goes on after `times` cancellations, as kopf's watchers do that are told between two connections."""
    for _ in range(times):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            continue
    await asyncio.sleep(60)


async def fails() -> None:
    await asyncio.sleep(0.01)
    raise Gone


@pytest.fixture
def watchers(monkeypatch):
    """Tasks that stand for kopf's: two that it tells of, and two that these have started."""
    made = []

    async def spawn_tasks(**_):
        left_alone = [asyncio.create_task(deaf(times), name=f"{watch.WATCHER}{times}") for times in (0, 2)]
        roots = [asyncio.create_task(fails()), asyncio.create_task(asyncio.wait(left_alone))]
        made.extend([*roots, *left_alone])
        return roots

    monkeypatch.setattr(kopf, "spawn_tasks", spawn_tasks)
    monkeypatch.setattr(watch, "registry", lambda *_: kopf.OperatorRegistry())
    return made


async def test_where_one_has_failed_all_others_end_with_it(monkeypatch, watchers):
    monkeypatch.setattr(watch, "PATIENT", 0.01)
    with pytest.raises(Gone):
        await asyncio.wait_for(watch.watching(None, None, (), None, asyncio.Event()), 5)
    assert all(one.done() for one in watchers)


async def test_who_is_told_to_end_while_it_ends_ends_all_the_same(monkeypatch, watchers):
    """Kueue has come, so that the watches begin anew, and the pod is told to stop meanwhile."""
    monkeypatch.setattr(watch, "PATIENT", 0.05)
    watching = asyncio.create_task(watch.watching(None, None, (), None, asyncio.Event()))
    await asyncio.sleep(0.03)  # the first has failed, and the others are being ended
    assert not watching.done()
    for _ in range(2):
        watching.cancel()
        await asyncio.sleep(0.001)
    await asyncio.wait({watching}, timeout=5)
    assert all(one.done() for one in watchers)
