"""One colour for each kind of news."""

GOOD, BAD, WAITING, WORKING = "green", "bold red", "yellow", "cyan"
STATES = {
    "Succeeded": GOOD,
    "Failed": BAD,
    "Suspended": WAITING,
    "Queued": WAITING,
    "Pending": WAITING,
    "Running": WORKING,
    "Preparing": WORKING,
}


def of(state: str) -> str:
    """The colour of a job's state."""
    return STATES.get(state, "")
