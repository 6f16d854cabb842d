"""A FineTuneJob as the views need it: parsed once, asked for by name."""

from dataclasses import dataclass
from typing import Any, Self

from finetune_operator.api import status
from finetune_operator.api.status import Condition, FineTuneJobStatus
from finetune_operator.observe.job import is_settled

TOLD = ("Accepted", "Prepared", "Suspended", "Queued", "Running", "Published", "Succeeded")
"""Conditions for people; the others say the same to programs that know no FineTuneJob."""


@dataclass(frozen=True)
class Job:
    """What the API server says of one."""

    raw: dict[str, Any]
    status: FineTuneJobStatus
    is_local: bool = False
    """Whether it runs on this machine, and no cluster knows it."""

    @classmethod
    def of(cls, raw: dict[str, Any], *, is_local: bool = False) -> Self:
        """The object as it was read."""
        return cls(raw, status.parse(raw.get("status") or {}), is_local)

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.raw["metadata"]["name"])

    @property
    def uid(self) -> str:
        """What tells it from another one of its name."""
        return str(self.raw["metadata"]["uid"])

    @property
    def spec(self) -> dict[str, Any]:
        """What was asked for."""
        found: dict[str, Any] = self.raw.get("spec") or {}
        return found

    @property
    def state(self) -> str:
        """One word."""
        return "Deleting" if self.raw["metadata"].get("deletionTimestamp") else self.status.state or "Pending"

    @property
    def conditions(self) -> list[Condition]:
        """Those for people."""
        return [one for one in self.status.conditions or [] if one.type in TOLD]

    def condition(self, kind: str) -> Condition | None:
        """One observation."""
        return next((one for one in self.conditions if one.type == kind), None)

    @property
    def settled(self) -> bool:
        """Whether it has ended for good."""
        return is_settled(self.raw.get("status") or {})

    @property
    def succeeded(self) -> bool:
        """Whether it has ended well."""
        return self.settled and self.truth("Succeeded") == "True"

    def truth(self, kind: str) -> str:
        """The status of a condition; `Unknown` where nobody has said it."""
        found = self.condition(kind)
        return found.status if found else "Unknown"

    @property
    def suspended(self) -> bool:
        """Whether its author asks for a pause."""
        return bool((self.spec.get("runPolicy") or {}).get("suspend"))

    @property
    def says(self) -> tuple[str, str]:
        """Reason and sentence of how it is, or how it ended."""
        found = self.condition("Succeeded")
        return (
            (found.reason, found.message) if found else ("Pending", "no operator has looked at this job yet")
        )
