"""Kueue as the operator sees it: a labelled Job is born suspended, gets a Workload, is admitted, and may be preempted."""

import copy

from fake_kubelet import now

QUEUE = "kueue.x-k8s.io/queue-name"
WHY = "couldn't assign flavors to pod set main: insufficient unused quota for nvidia.com/gpu in flavor default, 2 more needed"
PREEMPTED = (
    "Preempted to accommodate a workload (UID: 1, JobUID: 2) due to prioritization in the ClusterQueue"
)


class FakeKueue:
    """`install()` makes the API server serve Workloads; tests say who is admitted, and when."""

    def __init__(self, server, kubelet):
        self.server, self.kubelet = server, kubelet

    def install(self):
        self.server.absent.discard("kueue.x-k8s.io")
        self.server.webhooks.append(self._suspend)
        self.server.listeners.append(self._queue)

    def _suspend(self, plural, one):
        if plural == "jobs" and QUEUE in one["metadata"].get("labels", {}):
            one["spec"]["suspend"] = True

    def _queue(self, plural, event, one):
        if plural == "jobs" and event == "ADDED" and one["spec"].get("suspend"):
            self.server.put("workloads", workload(one, QuotaReserved=("False", "Pending", WHY)))

    def training(self):
        """The training Job."""
        jobs = self.server.all("jobs")
        return next(one for one in jobs if one["metadata"]["labels"]["finetune.dev/stage"] == "train")

    def admit(self):
        job = self.training()
        self.says(
            job, QuotaReserved=("True", "QuotaReserved", "Quota reserved"), Admitted=("True", "Admitted", "")
        )
        self.kubelet.run(self._suspended(job, on=False))

    def preempt(self):
        job = self.training()
        self.says(
            job,
            Evicted=("True", "Preempted", PREEMPTED),
            Preempted=("True", "InClusterQueue", PREEMPTED),
            QuotaReserved=("False", "Pending", PREEMPTED),
            Admitted=("False", "NoReservation", "The workload has no reservation"),
        )
        self._suspended(job, on=True)
        for pod in self.server.all("pods"):
            if pod["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]:
                self.server.change("pods", pod["metadata"]["name"], deleted)

    def says(self, job, **conditions):
        name = f"job-{job['metadata']['name']}"
        new = conditions_of(conditions)

        def set_them(one):
            old = [kept for kept in one["status"]["conditions"] if kept["type"] not in conditions]
            one["status"]["conditions"] = [*old, *copy.deepcopy(new)]

        self.server.change("workloads", name, set_them)

    def _suspended(self, job, *, on):
        return self.server.change("jobs", job["metadata"]["name"], lambda one: one["spec"].update(suspend=on))


def deleted(one):
    one["metadata"]["deletionTimestamp"] = now()


def conditions_of(conditions):
    return [
        {"type": kind, "status": truth, "reason": reason, "message": message, "lastTransitionTime": now()}
        for kind, (truth, reason, message) in conditions.items()
    ]


def workload(job, *, active=True, version="40", **conditions):
    """The Workload of a Job."""
    metadata = job["metadata"]
    owner = {"kind": "Job", "name": metadata["name"], "uid": metadata["uid"], "controller": True}
    template = {"metadata": {"labels": dict(job["spec"]["template"]["metadata"]["labels"])}}
    return {
        "apiVersion": "kueue.x-k8s.io/v1beta2",
        "kind": "Workload",
        "metadata": {
            "name": f"job-{metadata['name']}",
            "namespace": metadata["namespace"],
            "uid": f"{metadata['uid']}-workload",
            "resourceVersion": version,
            "ownerReferences": [owner],
        },
        "spec": {"active": active, "podSets": [{"name": "main", "count": 1, "template": template}]},
        "status": {"conditions": conditions_of(conditions)},
    }
