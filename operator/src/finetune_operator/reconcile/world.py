"""What a decision sees, and what it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from finetune_operator.api.status import FineTuneJobStatus
from finetune_operator.errors import FineTuneError
from finetune_operator.observe.child import ChildSeen
from finetune_operator.observe.job import JobSeen, OtherSeen, ProfileSeen
from finetune_operator.observe.pod import EventSeen, PodSeen
from finetune_operator.observe.words import ProgressSeen
from finetune_operator.observe.workload import WorkloadSeen
from finetune_operator.plan.accept import Installed
from finetune_operator.plan.run_plan import RunPlan

Look = Literal["children", "run", "events", "others"]
"""Facts that cost a request, and are therefore gathered only when a decision asks for them."""


@dataclass(frozen=True)
class World:
    """Everything that one decision may know. The clock is in it; randomness is not."""

    job: JobSeen
    now: float
    installed: Installed
    profiles: Mapping[str, ProfileSeen] = field(default_factory=dict)
    children: tuple[ChildSeen, ...] = ()
    pods: tuple[PodSeen, ...] = ()
    workloads: tuple[WorkloadSeen, ...] = ()
    kueue: bool = False
    """There is a Kueue, and we may read its Workloads: what is not there does not exist."""
    confirmed: bool = False
    """`children` and `pods` were just listed from the API server."""
    run: RunPlan | None = None
    run_missing: bool = False
    """The ConfigMap was looked for, and is not there."""
    run_looked: bool = False
    """The ConfigMap was looked for in this pass: what an Event says of it is older."""
    events: tuple[EventSeen, ...] | None = None
    others: Mapping[str, OtherSeen] | None = None
    """The FineTuneJobs that this one goes on from, and those that they wait for, by name; None: not looked for."""
    progress: ProgressSeen | None = None
    progress_due: bool = True
    """Long enough since the last write for progress alone."""
    trouble: FineTuneError | None = None
    """Why the last action, or look, was refused."""

    def workload_of(self, child: ChildSeen | None) -> WorkloadSeen | None:
        """What Kueue says of that Job."""
        mine = [one for one in self.workloads if child is not None and one.child_uid == child.uid]
        return max(mine, key=lambda one: one.version, default=None)


@dataclass(frozen=True)
class CreateRun:
    """Write the RunPlan down."""

    manifest: dict[str, Any]


@dataclass(frozen=True)
class CreateService:
    """Let the pods of several nodes find each other."""

    manifest: dict[str, Any]


@dataclass(frozen=True)
class CreateJob:
    """Start an attempt."""

    manifest: dict[str, Any]


@dataclass(frozen=True)
class DeleteJob:
    """Stop an attempt, or drop the leftovers of an old one."""

    name: str
    uid: str


@dataclass(frozen=True)
class ExpireChildren:
    """Let Kubernetes remove the Jobs of a job that has ended, at a time (s since the epoch); None: never."""

    at: float | None


Action = CreateRun | CreateService | CreateJob | DeleteJob | ExpireChildren


@dataclass(frozen=True)
class Decision:
    """What is to be done, and what the status shall say."""

    rule: str
    """Name of the rule that decided, for the log and the docs."""
    actions: tuple[Action, ...] = ()
    status: FineTuneJobStatus | None = None
    """None: as it is."""
    look: Look | None = None
    """Gather this and decide again."""
    again: bool = False
    """Carry out the actions and decide again."""
    requeue_after: float | None = None
    """Seconds until time alone may change the decision."""
    observe: int | None = None
    """Write this observedGeneration and nothing else."""
