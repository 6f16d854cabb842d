"""A FineTuneJob in a cluster that is nothing but values: decisions are carried out at once, and the test moves the pods.

No network, no clock, no tasks: a history of a job takes milliseconds, so properties can try thousands.
"""

import copy
import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime

import kube_objects
import life_table
from finetune_operator.observe import child as child_of
from finetune_operator.observe import job as job_of
from finetune_operator.observe import pod as pod_of
from finetune_operator.observe import words
from finetune_operator.observe import workload as workload_of
from finetune_operator.plan.accept import Installed
from finetune_operator.plan.config_map import run_plan
from finetune_operator.reconcile.decide import decide
from finetune_operator.reconcile.world import (
    CreateJob,
    CreateRun,
    CreateService,
    DeleteJob,
    ExpireChildren,
    World,
)
from finetune_operator.status import compose

START = datetime(2026, 11, 22, 10, 0, 0, tzinfo=UTC).timestamp()
INSTALLED = Installed(trainer_image="registry/finetune-trainer:1")


def stamp(seconds):
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Simulation:
    """`step()` reconciles once. What the operator sees may be older than what is: `stale`."""

    def __init__(self, *, profiles=None, installed=INSTALLED, **spec):
        self.raw = kube_objects.fine_tune_job(**spec)
        self.installed, self.profiles = installed, profiles or {}
        self.now = START
        self.jobs, self.pods, self.config_map = {}, {}, None
        self.workloads, self.kueue = [], False
        self.service = None
        self.cached_run = None
        self.events = []
        self.others = []
        """Other FineTuneJobs of the namespace."""
        self.progress = None
        self.version = 1000
        self.rules, self.statuses, self.created = [], [], []
        self.edges = []
        """(state before, rule, state after), one a decision."""
        self.most_live = 0
        self.seen = None
        self.expiry = "never said"

    # What is

    @property
    def status(self):
        return self.raw["status"]

    def condition(self, kind):
        return next((one for one in self.status.get("conditions", []) if one["type"] == kind), None)

    def said(self, kind):
        found = self.condition(kind)
        return (found["status"], found["reason"]) if found else None

    def attempts(self):
        return [(one["stage"], one["number"], one["outcome"]) for one in self.status.get("attempts", [])]

    def job(self, stage, number):
        return self.jobs.get(f"support-bot-{stem(self.raw)}-{stage}-{number}")

    def live(self):
        return [
            one
            for one in self.jobs.values()
            if not one["status"].get("conditions") and stage_of(one) == "train"
        ]

    # What happens

    def runs(self, stage, number, **state):
        """The pod of an attempt has this state."""
        job = self.job(stage, number)
        state = {"started": stamp(self.now), **state}
        if "exit_code" in state:
            state.setdefault("ended", stamp(self.now))
        index = state.get("index")
        if index is not None:
            state.setdefault("name", f"{job['metadata']['name']}-{index}-x")
            state.setdefault("uid", f"{job['metadata']['uid']}-pod-{index}")
        pod = kube_objects.pod(job, version=self._next(), created=stamp(self.now), **state)
        key = pod["metadata"]["name"] if index else job["metadata"]["name"]
        before = self.pods.get(key)
        if before is not None and not over(before) and owner(before) == owner(pod):
            pod["metadata"]["creationTimestamp"] = before["metadata"]["creationTimestamp"]
        self.pods[key] = pod

    def ends(self, stage, number, exit_code, word=None, **more):
        """Pod and Job are over."""
        self.runs(stage, number, exit_code=exit_code, word=word, **more)
        job = self.job(stage, number)
        job["status"] = kube_objects.ended("Complete" if exit_code == 0 else "Failed")
        job["metadata"]["resourceVersion"] = self._next()

    def deletes(self, stage, number, *, with_pod=True):
        """Somebody, or we, deleted the Job."""
        job = self.jobs.pop(f"support-bot-{stem(self.raw)}-{stage}-{number}", None)
        if job is not None and with_pod:
            self._drop_pods(job["metadata"]["name"])

    def gang(self, number, *states):
        """The pods of a training attempt, by rank."""
        for index, state in enumerate(states):
            self.runs("train", number, **{"index": index, "node": f"node-{index}", **state})

    def fails(self, number):
        """Its Job is over."""
        job = self.job("train", number)
        job["status"] = kube_objects.ended("Failed")
        job["metadata"]["resourceVersion"] = self._next()

    def passes(self, seconds):
        self.now += seconds

    def _next(self):
        self.version += 1
        return str(self.version)

    # What the operator does

    def snapshot(self):
        """What a watch would have told by now."""
        return copy.deepcopy((list(self.jobs.values()), list(self.pods.values())))

    def world(self, stale=None):
        jobs, pods = stale if stale is not None else self.snapshot()
        return World(
            job=job_of.job(self.raw),
            now=self.now,
            installed=self.installed,
            profiles={name: job_of.profile(raw) for name, raw in self.profiles.items()},
            children=tuple(filter(None, map(child_of.child, jobs))),
            pods=tuple(filter(None, map(pod_of.pod, pods))),
            workloads=tuple(filter(None, map(workload_of.workload, self.workloads))),
            kueue=self.kueue,
            run=self.cached_run,
            progress=self.progress,
        )

    def step(self, stale=None, *, crash=False):
        """One pass of the loop, as reconcile/loop.py has it. `crash`: cut off before the status is written."""
        world = self.world(stale)
        for _ in range(8):
            decision = decide(world)
            life_table.hold(decision)
            if decision.look is not None:
                world = self._look(world, decision.look)
                continue
            world = self._act(world, decision.actions)
            if not decision.again:
                break
        else:
            raise AssertionError("no decision")
        self.rules.append(decision.rule)
        before = self.status.get("state") or "Pending"
        after = decision.status.state if decision.status is not None else before
        self.edges.append((before, decision.rule, after))
        if crash:
            self.cached_run = None
            return decision
        if decision.status is not None:
            wire = decision.status.wire()
            assert compose.patch(self.status, wire), "a write that changes nothing"
            self.raw["status"] = json.loads(json.dumps(wire))
            self.raw["metadata"]["resourceVersion"] = self._next()
            self.statuses.append(self.raw["status"])
        elif decision.observe is not None:
            self.raw["status"]["observedGeneration"] = decision.observe
        return decision

    def rest(self):
        """Until nothing is written any more; returns the last decision."""
        for _ in range(12):
            before = json.dumps(self.status)
            decision = self.step()
            if json.dumps(self.status) == before and not decision.actions:
                return decision
        raise AssertionError(f"it does not come to rest: {self.rules[-12:]}")

    def _look(self, world, what):
        if what == "events":
            return replace(world, events=tuple(pod_of.event(one) for one in self.events))
        if what == "others":
            return replace(world, others={raw["metadata"]["name"]: job_of.other(raw) for raw in self.others})
        if what == "run":
            if self.config_map is None:
                return replace(world, run=None, run_missing=True, run_looked=True)
            self.cached_run = run_plan(self.config_map)
            return replace(world, run=self.cached_run, run_looked=True)
        jobs, pods = self.snapshot()
        return replace(
            world,
            children=tuple(filter(None, map(child_of.child, jobs))),
            pods=tuple(filter(None, map(pod_of.pod, pods))),
            confirmed=True,
        )

    def _act(self, world, actions):
        for action in actions:
            match action:
                case CreateRun(manifest):
                    self.config_map = self.config_map or json.loads(json.dumps(manifest))
                    self.cached_run = run_plan(self.config_map)
                    world = replace(world, run=self.cached_run)
                case CreateService(manifest):
                    self.service = manifest
                case CreateJob(manifest):
                    self._create(manifest)
                case DeleteJob(name, uid):
                    job = self.jobs.get(name)
                    if job is not None and job["metadata"]["uid"] == uid:
                        del self.jobs[name]
                        self._drop_pods(name)
                case ExpireChildren(at):
                    self.expiry = at
        return world

    def _drop_pods(self, job):
        """A Job's pods go with it."""
        self.pods = {
            name: pod for name, pod in self.pods.items() if name != job and not name.startswith(f"{job}-")
        }

    def _create(self, manifest):
        name = manifest["metadata"]["name"]
        if name in self.jobs:
            return  # 409, and ours
        self.created.append(name.partition("-" + stem(self.raw) + "-")[2])
        status = {}
        self.jobs[name] = kube_objects.batch_job(
            manifest, f"uid-{self._next()}", version=self._next(), created=stamp(self.now), **status
        )
        live = len(self.live())
        pods = {
            name
            for name, pod in self.pods.items()
            if pod["metadata"]["ownerReferences"][0]["name"] not in self.jobs
            and not over(pod)
            and "-train-" in name
        }
        self.most_live = max(self.most_live, live + len(pods))

    def polled(self, document, failures=0):
        """The newest training pod was asked."""
        uids = [pod["metadata"]["uid"] for pod in self.pods.values() if stage_of(pod) == "train"]
        self.progress = words.ProgressSeen(uids[-1], document, failures)


def over(pod):
    return pod["status"].get("phase") in {"Succeeded", "Failed"}


def owner(pod):
    return pod["metadata"]["ownerReferences"][0]["uid"]


def stage_of(job):
    return job["metadata"]["labels"]["finetune.dev/stage"]


def stem(raw):
    return hashlib.sha256(raw["metadata"]["uid"].encode()).hexdigest()[:8]


def prepared_job(**spec):
    """A simulation in which Prepare is done and train-1 has just been created."""
    sim = Simulation(**spec)
    sim.step()
    sim.ends("prepare", 1, 0, kube_objects.prepared())
    sim.step()
    return sim
