"""Kubernetes time stamps <-> seconds since the epoch."""

import datetime


def instant(stamp: str | None) -> float | None:
    """Seconds since the epoch, or None where there is no stamp that can be read."""
    if not stamp:
        return None
    try:
        return datetime.datetime.fromisoformat(stamp).replace(tzinfo=datetime.UTC).timestamp()
    except ValueError:
        return None


def stamp(instant: float) -> str:
    """metav1.Time: whole seconds, UTC."""
    return datetime.datetime.fromtimestamp(int(instant), datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_stamp(instant: float) -> str:
    """metav1.MicroTime: always six digits."""
    return datetime.datetime.fromtimestamp(instant, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
