"""Kubernetes time stamps <-> seconds since the epoch."""

import datetime as dt


def instant(stamp: str | None) -> float | None:
    """Seconds since the epoch, or None where there is no stamp that can be read."""
    if not stamp:
        return None
    try:
        return dt.datetime.fromisoformat(stamp).replace(tzinfo=dt.UTC).timestamp()
    except ValueError:
        return None


def stamp(instant: float) -> str:
    """metav1.Time: whole seconds, UTC."""
    return dt.datetime.fromtimestamp(int(instant), dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_stamp(instant: float) -> str:
    """metav1.MicroTime: always six digits."""
    return dt.datetime.fromtimestamp(instant, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
