"""Taking the lead, and giving it up."""

import asyncio
import logging
from types import SimpleNamespace

import pytest
from kubernetes.aio import client

from finetune_operator import errors
from finetune_operator.handlers.serve import Operator
from finetune_operator.reconcile.elector import Elector
from finetune_operator.settings import Settings

SETTINGS = Settings(trainer_image="registry/trainer:1", retry_period=0.001, http_port=0)


class Leases:
    """Answers one after the other; the last is the Lease itself, taken by nobody."""

    def __init__(self, *answers):
        self.answers = list(answers)

    async def get(self, *_):
        if self.answers:
            raise self.answers.pop(0)
        return {"metadata": {"resourceVersion": "1"}, "spec": {}}

    async def replace(self, *place_and_body):
        return place_and_body[-1]


async def test_why_the_lease_cannot_be_had_is_told_once(caplog):
    caplog.set_level(logging.WARNING)
    denied = [errors.Denied("leases is forbidden", code=403)] * 3
    away = [errors.Unavailable("no connection"), TimeoutError()]
    await asyncio.wait_for(Elector(Leases(*denied, *away, denied[0]), SETTINGS).acquired(), 5)
    told = [one.error for one in caplog.records if one.message == "lease not acquired"]
    assert told == ["leases is forbidden", "no connection", "no answer within 10 s", "leases is forbidden"]


class Parts:
    """Elector and lists, each moved by the test."""

    def __init__(self):
        self.gone, self.listed = asyncio.Event(), asyncio.Event()
        self.renewing, self.enqueued = False, 0

    async def acquired(self):
        pass

    async def lost(self):
        self.renewing = True
        await self.gone.wait()
        self.renewing = False

    async def prime(self):
        await self.listed.wait()

    def enqueue(self):
        self.enqueued += 1


@pytest.fixture
async def taking_over():
    """An operator that has just acquired the Lease; its parts; its task."""
    operator, parts = Operator(SETTINGS, client.Configuration(), "test"), Parts()
    operator.elector = operator.sync = parts
    operator.primed.set()
    leading = asyncio.create_task(operator._lead())
    await asyncio.sleep(0.01)
    yield SimpleNamespace(operator=operator, parts=parts, leading=leading)
    leading.cancel()
    await asyncio.gather(leading, return_exceptions=True)
    await operator.cluster.close()


async def test_the_lease_is_renewed_while_the_lists_are_read(taking_over):
    parts, operator = taking_over.parts, taking_over.operator
    assert parts.renewing
    assert not operator.leading.is_set()
    parts.listed.set()
    await asyncio.wait_for(operator.leading.wait(), 1)
    assert parts.renewing
    assert parts.enqueued == 1
    parts.gone.set()
    await asyncio.wait_for(taking_over.leading, 1)


async def test_a_lease_that_is_lost_meanwhile_is_given_up(taking_over):
    parts, operator = taking_over.parts, taking_over.operator
    parts.gone.set()
    await asyncio.wait_for(taking_over.leading, 1)
    parts.listed.set()
    await asyncio.sleep(0.01)
    assert not operator.leading.is_set()
    assert parts.enqueued == 0
