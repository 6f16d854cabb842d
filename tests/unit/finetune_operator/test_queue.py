"""The work queue: folds, never two workers on one key, fair between namespaces."""

import asyncio

import pytest
import uvloop

from finetune_operator.names import Key
from finetune_operator.reconcile.queue import WorkQueue

A, B = Key("a", "1"), Key("b", "1")


async def test_a_key_that_waits_is_folded():
    queue = WorkQueue()
    for _ in range(300):
        queue.add(A)
    assert await queue.get() == A
    assert len(queue) == 0


async def test_a_key_that_is_worked_on_comes_again_afterwards():
    queue = WorkQueue()
    queue.add(A)
    await queue.get()
    queue.add(A)
    waiting = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    assert not waiting.done()
    queue.done(A)
    assert await waiting == A


async def test_namespaces_take_turns():
    queue = WorkQueue()
    for number in range(1000):
        queue.add(Key("many", str(number)))
    queue.add(B)
    order = [await queue.get() for _ in range(3)]
    assert B in order


async def test_of_several_timers_the_earliest_counts():
    queue = WorkQueue()
    queue.add_after(A, 30)
    queue.add_after(A, 0.01)
    queue.add_after(A, 20)
    assert await asyncio.wait_for(queue.get(), 1) == A


@pytest.mark.parametrize("delay", [0.0, 0.0001, 0.01])
def test_timers_of_the_operators_own_loop(delay):
    """uvloop calls soon what is to be called in less than a millisecond."""

    async def told_twice() -> Key:
        queue = WorkQueue()
        queue.add_after(A, delay)
        queue.add_after(A, delay)
        queue.add_after(A, 30)
        return await asyncio.wait_for(queue.get(), 1)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(told_twice()) == A


async def test_retries_come_later_each_time_until_it_goes_well():
    queue = WorkQueue(base=1, cap=8)
    loop = asyncio.get_running_loop()
    delays = []
    for _ in range(6):
        queue.retry(A)
        due, timer = queue._timers.pop(A)
        delays.append(due - loop.time())
        timer.cancel()
    assert all(0.7 * 2**n <= delay <= 1.5 * 2**n for n, delay in zip(range(4), delays, strict=False))
    assert max(delays) <= 12.1
    queue.forget(A)
    queue.retry(A)
    assert queue._timers[A][0] - loop.time() <= 1.5
    queue.drop(A)
    assert not queue._timers


async def test_a_closed_queue_gives_out_nothing():
    queue = WorkQueue()
    queue.add(A)
    queue.close()
    waiting = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0.01)
    assert not waiting.done()
    waiting.cancel()
