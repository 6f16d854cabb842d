"""The loop around a decision."""

import kube_objects
from finetune_operator import errors
from finetune_operator.observe.job import job
from finetune_operator.reconcile.actions import Actions
from finetune_operator.reconcile.caches import Caches
from finetune_operator.reconcile.loop import Reconciler
from finetune_operator.reconcile.metrics import Metrics
from finetune_operator.reconcile.queue import WorkQueue
from finetune_operator.reconcile.recorder import Recorder
from simulation import INSTALLED


class WithoutTheJob:
    """An API server that takes every child, and knows no FineTuneJob."""

    def __init__(self):
        self.created = []

    async def create(self, *place_and_body):
        body = place_and_body[-1]
        self.created.append(body["kind"])
        body["metadata"] |= {"uid": f"uid-{len(self.created)}", "resourceVersion": "50"}
        return body

    async def patch_status(self, *_):
        raise errors.NotFound("there is none", code=404)


def around(cluster: WithoutTheJob, caches: Caches, queue: WorkQueue) -> Reconciler:
    return Reconciler(
        cluster,
        caches,
        queue,
        Metrics("test"),
        Recorder(cluster, "test"),
        Actions(cluster, caches),
        INSTALLED,
    )


async def test_a_deleted_job_that_a_late_list_brought_back_is_forgotten():
    cluster, caches, queue = WithoutTheJob(), Caches(), WorkQueue()
    reconciler = around(cluster, caches, queue)
    seen = job(kube_objects.fine_tune_job())
    caches.put_job(seen)
    queue.add_after(seen.key, 60)
    await reconciler._patch(seen, {})
    assert not queue._timers
    caches.put_job(seen)
    await reconciler.reconcile(seen.key)
    assert cluster.created == ["ConfigMap", "Job"]
    assert (caches.jobs, caches.children, caches.runs) == ({}, {}, {})
    await reconciler.reconcile(seen.key)
    assert cluster.created == ["ConfigMap", "Job"]


async def test_a_job_that_was_made_anew_under_the_name_stays():
    caches, queue = Caches(), WorkQueue()
    cluster = WithoutTheJob()
    reconciler = around(cluster, caches, queue)
    new = job(kube_objects.fine_tune_job(uid="second", version="20"))
    caches.put_job(new)
    queue.add_after(new.key, 60)
    await reconciler._patch(job(kube_objects.fine_tune_job()), {})
    assert caches.jobs == {new.key: new}
    assert caches.key_of("second") == new.key
    queue.drop(new.key)
