"""What can go wrong, as a user reads it.

    FineTuneError
    ├── Refused              the author or the admin must change something; waiting cannot help
    │   ├── SpecInvalid
    │   ├── NotYetSupported
    │   ├── PolicyDenied
    │   ├── ReferencedJobFailed
    │   ├── RunTooLarge
    │   └── RunLost
    ├── ProfileNotFound      somebody may still create it
    ├── JobNotFound          the same of a FineTuneJob
    ├── WaitingForJob        it is there, and has not ended yet
    └── ApiError             the API server said no, or nothing at all
        ├── NotFound, AlreadyExists, Conflict, Gone
        ├── Denied           forbidden: told to the author, tried again slowly
        │   └── Invalid      422 to a create: the spec makes an object that cannot be, and the job fails
        └── Unavailable      too many requests, 5xx, time-out: tried again soon

Every reason that reaches a condition or an Event stands in `errors.reasons`.
"""

from typing import ClassVar

from finetune_operator.errors.reasons import Reason


class FineTuneError(Exception):
    """`reason` is stable API; `str(error)` is the sentence that the condition shows."""

    reason: ClassVar[Reason]
    retry_after: float | None = None
    """Seconds until it is worth another try. None: waiting cannot help."""


class Refused(FineTuneError):
    """This job can never run as it stands."""


class SpecInvalid(Refused):
    """The spec says something that no schema could refuse."""

    reason = Reason.SPEC_INVALID


class NotYetSupported(Refused):
    """The field exists, its behaviour does not."""

    reason = Reason.NOT_YET_SUPPORTED


class PolicyDenied(Refused):
    """The profile does not allow it."""

    reason = Reason.POLICY_DENIED


class ReferencedJobFailed(Refused):
    """The job goes on from another one that has left nothing."""

    reason = Reason.REFERENCED_JOB_FAILED


class RunTooLarge(Refused):
    """The resolved run does not fit into its ConfigMap."""

    reason = Reason.RUN_TOO_LARGE


class RunLost(Refused):
    """The ConfigMap that holds the run is gone, so no later attempt could be the same run."""

    reason = Reason.RUN_LOST


class ProfileNotFound(FineTuneError):
    """The job names a profile that is not there."""

    reason = Reason.PROFILE_NOT_FOUND
    retry_after = 60.0  # the profile's own event brings it sooner


class JobNotFound(FineTuneError):
    """The job refers to another one that is not there."""

    reason = Reason.JOB_NOT_FOUND
    retry_after = 300.0  # the other job's own event brings it sooner


class WaitingForJob(FineTuneError):
    """The job goes on from what another one has not made yet."""

    reason = Reason.WAITING_FOR_JOB
    retry_after = 300.0  # as above


class ApiError(FineTuneError):
    """The API server refused a request, or did not answer it."""

    reason = Reason.API_UNAVAILABLE
    retry_after = 1.0

    def __init__(self, message: str, *, code: int = 0, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        if retry_after is not None:
            self.retry_after = retry_after


class NotFound(ApiError):
    """404."""


class AlreadyExists(ApiError):
    """409 to a create: the name is taken."""


class Conflict(ApiError):
    """409 to a write: the object has changed since it was read."""


class Gone(ApiError):
    """410: a list cannot be continued."""


class Denied(ApiError):
    """400, 403 and the like: the same request will get the same answer until somebody changes something."""

    reason = Reason.API_DENIED
    retry_after = 30.0


class Invalid(Denied):
    """422 to a create: the object can never be, since what it is made of is written down and does not change."""

    reason = Reason.SPEC_INVALID


class NameTaken(Denied):
    """A child's name is held by an object that is not ours."""

    reason = Reason.NAME_TAKEN


class Unavailable(ApiError):
    """429, 5xx, time-out, no connection."""
