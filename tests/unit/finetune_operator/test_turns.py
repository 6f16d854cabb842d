"""Turns: many workers leave the event loop to others between two decisions."""

import asyncio

from finetune_operator.reconcile.turns import Turns

WORKERS, EACH = 16, 5


async def test_between_two_rounds_of_others_there_is_one_decision_at_most():
    turns, done = Turns(), []

    async def worker():
        for _ in range(EACH):
            await turns.take()
            done.append("decision")

    async def event_on_its_way():
        while done.count("decision") < WORKERS * EACH:
            await asyncio.sleep(0)
            done.append("round")

    await asyncio.gather(event_on_its_way(), *(worker() for _ in range(WORKERS)))
    assert "decision decision" not in " ".join(done)
