"""Events on their way to the API server."""

import asyncio

import kube_objects
from finetune_operator.observe.job import job
from finetune_operator.reconcile.recorder import Recorder
from finetune_operator.status.transitions import Told


class Slow:
    """An API server that answers only when it is let."""

    def __init__(self):
        self.asked, self.lets = [], asyncio.Event()

    async def create(self, _resource, _namespace, body):
        self.asked.append((body["involvedObject"]["uid"], body["reason"]))
        await self.lets.wait()


async def test_events_of_one_job_keep_their_order_and_hold_up_no_other_job():
    cluster = Slow()
    recorder = Recorder(cluster, "test", burst=80)
    jobs = [job(kube_objects.fine_tune_job(uid=f"uid-{at}")) for at in range(40)]
    for one in jobs:
        recorder.tell(one, [Told("Normal", "First", ""), Told("Normal", "Second", "")], 0.0)
    sending = asyncio.create_task(recorder.forever())
    await asyncio.sleep(0.05)
    assert len(cluster.asked) > 1  # none has been answered yet
    cluster.lets.set()
    await asyncio.sleep(0.05)
    sending.cancel()
    assert len(cluster.asked) == 80
    for one in jobs:
        assert [reason for uid, reason in cluster.asked if uid == one.uid] == ["First", "Second"]


async def test_a_flood_of_events_is_sent_little_by_little_and_none_is_lost():
    cluster = Slow()
    cluster.lets.set()
    recorder = Recorder(cluster, "test", rate=100.0, burst=5)
    for at in range(30):
        recorder.tell(job(kube_objects.fine_tune_job(uid=f"uid-{at}")), [Told("Normal", "First", "")], 0.0)
    sending = asyncio.create_task(recorder.forever())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(cluster.asked) == 5
    while len(cluster.asked) < 30:  # noqa: ASYNC110  the test's own time limit ends it
        await asyncio.sleep(0.01)
    sending.cancel()
