"""A World read through once: the old status parsed, open attempts judged. The rules of `decide` work on it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from finetune_operator.api import status as api_status
from finetune_operator.api.status import Attempt, CheckpointSeen, FineTuneJobStatus, Resolved, State, Usage
from finetune_operator.names import Stage
from finetune_operator.plan.run_plan import RunPlan
from finetune_operator.reconcile import judging
from finetune_operator.reconcile.world import Action, Decision, World
from finetune_operator.status import attempts, compose, results, usage
from finetune_operator.status.conditions import Sayings, Says
from finetune_operator.status.judge import LOST_AFTER, Judged
from finetune_operator.status.usage import Rate


@dataclass(frozen=True)
class Case:
    """One job, read."""

    world: World
    old: FineTuneJobStatus
    judged: tuple[Judged, ...]
    """Attempts that were open when the status was last written."""
    attempts: list[Attempt]
    """All that are known, the judged ones as they stand now."""
    says: dict[Any, Says | None] = field(default_factory=dict)
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def accepted(self) -> bool:
        """Whether the run is written down, as far as the status knows."""
        return self.old.run is not None

    @property
    def live(self) -> Judged | None:
        """The attempt that is on its way."""
        return next((one for one in reversed(self.judged) if one.outcome == "Running"), None)

    @property
    def run(self) -> RunPlan | None:
        """The resolved run, if it is at hand."""
        return self.world.run

    @property
    def adopted(self) -> bool:
        """Whether there are Jobs that the status does not know: it was wiped, or we were cut off before we wrote it."""
        known = {(one.stage, one.number) for one in self.old.attempts or ()}
        return any((one.stage, one.number) not in known for one in self.judged)

    @property
    def failures(self) -> int:
        """Training runs that cost an attempt. Added up, since the list keeps ten: each is judged from open to ended once."""
        return (self.old.failures or 0) + sum(
            one.stage == "Train" and one.outcome == "Failed" for one in self.judged
        )

    @property
    def ended(self) -> tuple[Judged, ...]:
        """Attempts that have ended since the status was last written."""
        return tuple(one for one in self.judged if one.outcome != "Running")

    @property
    def saved(self) -> CheckpointSeen | None:
        """The newest checkpoint that we have heard of."""
        return _newest(self.old.checkpoint, self.ended)

    @property
    def resolved(self) -> Resolved | None:
        """The settings in force, with what memory made of them."""
        found = self.old.resolved
        for one in self.ended:
            if one.stage == "Train" and one.word is not None:
                found = results.in_force(found, (one.word.result or {}).get("resolved"))
        return found

    @property
    def rate(self) -> Rate:
        """What a second of training costs, as far as the run is at hand."""
        if self.run is None:
            return Rate()
        pods = self.run.pods
        return Rate(pods.gpus, pods.nodes, pods.gpu_hour, pods.currency)

    @property
    def usage(self) -> Usage | None:
        """What training has taken, the attempts included that have just ended."""
        return usage.spent(self.old.usage, self.ended, saved=self.saved, rate=self.rate, now=self.world.now)

    @property
    def active_seconds(self) -> float:
        """How long training has run, over all attempts."""
        found = self.usage
        live = usage.ran(self.live, self.world.now) if self.live is not None else 0.0
        return (found.seconds or 0.0 if found is not None else 0.0) + live

    def last(self, stage: Stage) -> Attempt | None:
        """The newest attempt of a stage."""
        mine = attempts.of(stage, self.attempts)
        return mine[-1] if mine else None

    def says_now(self, kind: str) -> Says | None:
        """What a condition says in the old status."""
        found = next((one for one in self.old.conditions or () if one.type == kind), None)
        return Says(found.status, found.reason, found.message) if found else None

    def since(self, kind: str) -> str | None:
        """Since when it says so."""
        return next((one.last_transition_time for one in self.old.conditions or () if one.type == kind), None)

    def adding(self, says: Sayings, **changes: Any) -> "Case":
        """With more to say, whatever else is decided."""
        return replace(self, says={**self.says, **says}, changes={**self.changes, **changes})

    def decided(
        self,
        rule: str,
        state: State,
        says: Sayings,
        *,
        actions: tuple[Action, ...] = (),
        after: float | None = None,
        **changes: Any,
    ) -> Decision:
        """A decision with the whole status in it; no status where it would change nothing."""
        noted = {
            "attempts": self.attempts or None,
            "failures": self.failures or None,
            "checkpoint": self.saved,
            "resolved": self.resolved,
            "usage": self.usage,
        }
        new = compose.composed(
            self.old,
            generation=self.world.job.generation,
            now=self.world.now,
            state=state,
            sayings={**self.says, **says},
            changes={**noted, **self.changes, **changes},
        )
        written = None if new.wire() == self.old.wire() else new
        soonest = min((one for one in (after, self._until_lost) if one is not None), default=None)
        return Decision(rule, actions=actions, status=written, requeue_after=soonest)

    @property
    def _until_lost(self) -> float | None:
        """Seconds until a pod that is being deleted is taken for lost, if nobody tells its end before."""
        ends = [one.ends_by for one in self.world.pods if not one.ended and one.ends_by is not None]
        left = [end + LOST_AFTER - self.world.now for end in ends]
        return min((one for one in left if one > 0), default=None)


def case(world: World) -> Case:
    """Read `world`."""
    old = api_status.parse(json.loads(world.job.status or b"{}"))
    judged = tuple(judging.judged(world, old))
    saved = _newest(old.checkpoint, [one for one in judged if one.outcome != "Running"])
    step = saved.step if saved is not None else None
    lines = [attempts.attempt(one, now=world.now, checkpoint_step=step) for one in judged]
    known = {(one.stage, one.number): one for one in old.attempts or ()}
    return Case(
        world, old, judged, attempts.merged(old.attempts or (), [_steady(one, known) for one in lines])
    )


def _newest(old: CheckpointSeen | None, ended: Iterable[Judged]) -> CheckpointSeen | None:
    """The newest checkpoint: of progress documents, or of last words."""
    found = [old, *(results.checkpoint((one.word.result if one.word else None) or {}) for one in ended)]
    return max(
        (one for one in found if one is not None and one.step is not None),
        key=lambda one: one.step or 0,
        default=old,
    )


def _steady(new: Attempt, known: Mapping[tuple[Stage, int], Attempt]) -> Attempt:
    """An attempt that has not ended keeps its start time: a pod that starts is no reason to write."""
    before = known.get((new.stage, new.number))
    if before is None or new.outcome != "Running" or new.node != before.node:
        return new
    return new.model_copy(update={"start_time": before.start_time})
