"""A cluster of values in which anything may happen, and whose clock stands still unless it is moved.

The fake API server without its wire; what scheduler, kubelet, Job controller, Kueue and people do to it is one method each.
"""

import kube_objects
from fake_api_server import FakeApiServer
from simulation import START, stamp

GRACE = 30
"""Seconds that a pod has to end (of `spec.terminationGracePeriodSeconds`)."""
LOST_AFTER = 60
"""Seconds after which the operator may take a pod for lost that should have ended."""
FINAL, UNCOUNTED = {64, 65, 77, 86}, {69, 75}
"""Exit codes that end the job at once; exit codes that cost the author no attempt."""

GOOD = {"prepare": kube_objects.prepared(), "train": kube_objects.published()}
"""Last words of pods that have done their work."""


class WildCluster(FakeApiServer):
    """`tests/unit/finetune_operator/test_histories.py` says which of this happens when."""

    def __init__(self):
        super().__init__()
        self.now = START
        self.dead = set()
        """uids of pods whose node does not answer."""
        self.excused = set()
        """uids of pods that a queue has stopped: their Jobs do not count them."""
        self.good_ends = 0
        """Pods that ended well, and said what they have published."""
        self.real_failures = set()
        """Names of training Jobs whose pod failed by its own fault."""

    def now_stamp(self):
        return stamp(self.now)

    def _create(self, plural, namespace, body, *, manager):
        return super()._create(plural, namespace, {"status": {}, **body}, manager=manager)

    # What is

    def job(self):
        return self.get("finetunejobs", "support-bot")

    def pods_of(self, job):
        uid = job["metadata"]["uid"]
        return [one for one in self.all("pods") if one["metadata"]["ownerReferences"][0]["uid"] == uid]

    def live_jobs(self, stage="train"):
        return [one for one in self.all("jobs") if stage_of(one) == stage and not over(one)]

    def live_pods(self, stage="train"):
        """Pods that may still do something: not those whose node is dead, and whose time is up."""
        return [one for one in self.all("pods") if stage_of(one) == stage and self._alive(one)]

    def _alive(self, pod):
        if ended(pod):
            return False
        due = pod["metadata"].get("deletionSeconds")
        return not (pod["metadata"]["uid"] in self.dead and due is not None and self.now >= due + LOST_AFTER)

    # The Job controller and Kueue

    def control(self):
        """One look of the Job controller at every Job."""
        for job in self.all("jobs"):
            if not over(job):
                self._control(job)

    def _control(self, job):
        name, uid = job["metadata"]["name"], job["metadata"]["uid"]
        pods = self.pods_of(job)
        if job["spec"].get("suspend"):
            for pod in pods:
                self.excused.add(pod["metadata"]["uid"])
                self.take_away(pod)
            return
        mine = [pod for pod in pods if pod["metadata"]["uid"] not in self.excused]
        if any(ended(pod) for pod in mine):
            good = any(exit_code(pod) == 0 for pod in mine)
            self._finish(name, "Complete" if good else "Failed")
        elif not mine and job["status"].get("pod"):
            self._finish(name, "Failed")
        elif not mine and all(ended(pod) for pod in pods):
            pod = kube_objects.pod(
                job, name=f"{name}-{self.version}", uid=f"{uid}-{self.version}", created=self.now_stamp()
            )
            del pod["metadata"]["resourceVersion"]
            self.put("pods", pod)
            started = {"startTime": self.now_stamp(), "pod": True}
            self.change("jobs", name, lambda one: one.update(status=started))

    def _finish(self, name, kind):
        said = kube_objects.ended(kind, "BackoffLimitExceeded" if kind == "Failed" else "")
        said["conditions"][0]["lastTransitionTime"] = self.now_stamp()
        self.change("jobs", name, lambda one: one.update(status=said))

    def hold_back(self, job, *, suspend):
        """Kueue stops a Job, or lets it start."""

        def act(one):
            one["spec"]["suspend"] = suspend
            if suspend:
                one["status"] = {}

        self.change("jobs", job["metadata"]["name"], act)

    # The kubelet

    def start(self, pod):
        self._set(pod, running=True, started=self.now_stamp())

    def end(self, pod, code, *, word=None, message=None, reason=None, disrupted=None):
        """Its container ends like this."""
        if code == 0 and word == GOOD[stage_of(pod)]:
            self.good_ends += stage_of(pod) == "train"
        elif stage_of(pod) == "train" and self._by_its_own_fault(pod, code, disrupted, reason):
            self.real_failures.add(pod["metadata"]["ownerReferences"][0]["name"])
        began = (pod["status"].get("containerStatuses") or [{}])[0].get("state", {}).get("running", {})
        self._set(
            pod,
            exit_code=code,
            word=word,
            message=message,
            reason=reason,
            disrupted=disrupted,
            started=began.get("startedAt", self.now_stamp()),
            ended=self.now_stamp(),
        )

    def _by_its_own_fault(self, pod, code, disrupted, reason):
        if code == 0 or code in FINAL or reason == "OOMKilled":
            return True
        return code not in UNCOUNTED and not disrupted and "deletionTimestamp" not in pod["metadata"]

    def _set(self, pod, **state):
        status = kube_objects.pod_status(**state)
        self.change("pods", pod["metadata"]["name"], lambda one: one.update(status=status))

    def take_away(self, pod):
        """Somebody asks the pod to end."""
        metadata = pod["metadata"]
        if "deletionTimestamp" not in metadata:
            self._terminate(metadata["namespace"], metadata["name"])

    def _terminate(self, namespace, name):
        def mark(pod):
            pod["metadata"]["deletionTimestamp"] = stamp(self.now + GRACE)
            pod["metadata"]["deletionSeconds"] = self.now + GRACE

        self.change("pods", name, mark, namespace)

    def vanish(self, pod):
        """Nobody remembers it: removed by force, or collected."""
        if not ended(pod) and stage_of(pod) == "train":
            self.dead.add(pod["metadata"]["uid"])
        self.remove("pods", pod["metadata"]["name"])

    def die(self, pod):
        """Its node does not answer any more."""
        self.dead.add(pod["metadata"]["uid"])
        self.take_away(pod)

    # Time

    def passes(self, seconds):
        """Pods that are asked to end do so in time, where there is a kubelet."""
        self.now += seconds
        for pod in self.all("pods"):
            due = pod["metadata"].get("deletionSeconds")
            if due is not None and due <= self.now and pod["metadata"]["uid"] not in self.dead:
                if not ended(pod):
                    self.end(pod, 137)
                self.remove("pods", pod["metadata"]["name"])


def over(job):
    return bool(job["status"].get("conditions"))


def ended(pod):
    return pod["status"].get("phase") in {"Succeeded", "Failed"}


def running(pod):
    return pod["status"].get("phase") == "Running"


def exit_code(pod):
    return pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"]


def stage_of(one):
    return one["metadata"]["labels"]["finetune.dev/stage"]
