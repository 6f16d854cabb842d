"""The installer's choices: environment variables with the prefix FINETUNE_, read once at start.

| variable | default | what |
|---|---|---|
| FINETUNE_TRAINER_IMAGE | required | image of jobs whose profile names none |
| FINETUNE_NAMESPACES | empty | comma-separated namespaces to serve; empty: the whole cluster |
| FINETUNE_WORKERS | 16 | jobs that are reconciled at the same time |
| FINETUNE_API_RATE, _API_BURST | 300, 500 | requests per second to the API server, and at once |
| FINETUNE_API_TIMEOUT | 15 | longest request (s) |
| FINETUNE_PROGRESS_INTERVAL | 30 | shortest time between two progress writes of one job (s) |
| FINETUNE_RESYNC_INTERVAL | 300 | time between two full lists (s) |
| FINETUNE_START_GRACE | 10 | how long a pod may take to start before we ask why (s) |
| FINETUNE_RETRY_BASE, _RETRY_CAP | 15, 300 | first and longest pause before another attempt (s) |
| FINETUNE_PENDING_DEADLINE | 86400 | `pendingDeadlineSeconds` of jobs that say nothing (s) |
| FINETUNE_STALL_TIMEOUT | 900 | `stallTimeoutSeconds` of jobs that say nothing (s) |
| FINETUNE_KEEP_ATTEMPTS | 3 | Jobs of ended attempts that are kept for their logs |
| FINETUNE_LEADER_ELECTION | true | serve only while holding the Lease |
| FINETUNE_LEASE_NAME, _LEASE_NAMESPACE | finetune-operator, default | the Lease |
| FINETUNE_LEASE_DURATION, _RENEW_DEADLINE, _RETRY_PERIOD | 15, 10, 2 | its times (s) |
| FINETUNE_IDENTITY | host name | who we are in the Lease |
| FINETUNE_HTTP_PORT | 8080 | `/metrics`, `/healthz`, `/readyz` |
| FINETUNE_LOG_FORMAT | json | `json` or `text` |
| FINETUNE_LOG_LEVEL | INFO | DEBUG, INFO, WARNING, ERROR |
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pydantic

PREFIX = "FINETUNE_"

Positive = Annotated[float, pydantic.Field(gt=0)]


class Settings(pydantic.BaseModel):
    """See the module's table."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    trainer_image: Annotated[str, pydantic.Field(min_length=1)]
    namespaces: tuple[str, ...] = ()
    workers: Annotated[int, pydantic.Field(ge=1, le=256)] = 16
    api_rate: Positive = 300.0
    api_burst: Annotated[int, pydantic.Field(ge=1)] = 500
    api_timeout: Positive = 15.0
    progress_interval: Positive = 30.0
    resync_interval: Positive = 300.0
    start_grace: Positive = 10.0
    retry_base: Positive = 15.0
    retry_cap: Positive = 300.0
    pending_deadline: Positive = 86400.0
    stall_timeout: Annotated[int, pydantic.Field(ge=1)] = 900
    keep_attempts: Annotated[int, pydantic.Field(ge=1)] = 3
    leader_election: bool = True
    lease_name: str = "finetune-operator"
    lease_namespace: str = "default"
    lease_duration: Annotated[int, pydantic.Field(ge=3)] = 15
    renew_deadline: Positive = 10.0
    retry_period: Positive = 2.0
    identity: str = "finetune-operator"
    http_port: Annotated[int, pydantic.Field(ge=0, le=65535)] = 8080
    log_format: Literal["json", "text"] = "json"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @pydantic.field_validator("namespaces", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        """Commas and blanks separate names."""
        return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value

    @pydantic.model_validator(mode="after")
    def _lease_in_order(self) -> "Settings":
        """The leader must give up before another one may take over."""
        if not self.retry_period < self.renew_deadline < self.lease_duration:
            raise ValueError(
                "FINETUNE_RETRY_PERIOD must be below FINETUNE_RENEW_DEADLINE, and that below FINETUNE_LEASE_DURATION"
            )
        return self


def refusals(error: pydantic.ValidationError) -> list[str]:
    """One sentence for each variable that cannot be read: which, what is wrong, what to do."""
    found = []
    for one in error.errors(include_url=False):
        where = ".".join(str(part) for part in one["loc"]).upper()
        wrong = one["msg"].removeprefix("Value error, ")
        if not where:
            found.append(wrong)
        elif one["type"] == "missing":
            found.append(f"{PREFIX}{where} is not set; finetune-operator --help says what belongs there")
        else:
            said = f"{wrong[0].lower()}{wrong[1:]}"
            found.append(
                f"{PREFIX}{where} is {one['input']!r}: {said}; finetune-operator --help says what belongs there"
            )
    return found


def from_environment(environment: Mapping[str, str], *, identity: str) -> Settings:
    """Settings out of `FINETUNE_*`. What is not ours (Kubernetes adds FINETUNE_..._SERVICE_HOST) is left alone."""
    given = {
        name: environment[PREFIX + name.upper()]
        for name in Settings.model_fields
        if environment.get(PREFIX + name.upper(), "") != ""
    }
    return Settings.model_validate({"identity": identity, **given})
