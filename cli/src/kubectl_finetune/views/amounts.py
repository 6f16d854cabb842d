"""Times, sizes and numbers as people say them."""

from datetime import datetime

MINUTE, HOUR, DAY = 60, 3600, 86400
UNITS = ("B", "KB", "MB", "GB", "TB")
STEP = 1000
MIB, GIB = 1 << 20, 1 << 30
WHOLE = 10000
"""From here on nobody needs a fraction."""


def duration(seconds: float) -> str:
    """`45s`, `4m10s`, `3h20m`, `5d4h`: the two largest units, a zero left out."""
    whole = max(round(seconds), 0)
    steps = ((DAY, "d", HOUR, "h"), (HOUR, "h", MINUTE, "m"), (MINUTE, "m", 1, "s"))
    for size, unit, part, lesser in steps:
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size}{unit}" + (f"{rest}{lesser}" if rest else "")
    return f"{whole}s"


def age(stamp: str | None, now: datetime) -> str:
    """How long ago `stamp` (RFC 3339) was; `-` where it is not said."""
    return duration((now - datetime.fromisoformat(stamp)).total_seconds()) if stamp else "-"


def size(count: float) -> str:
    """Bytes of files in decimal units, as bills and disks have them."""
    for unit in UNITS:
        if count < STEP or unit == UNITS[-1]:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= STEP
    raise AssertionError


def memory(count: float) -> str:
    """Bytes of memory in GiB, as YAML and machines have them; little of it in MiB."""
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / MIB:.1f} MiB"


def number(value: float) -> str:
    """At most four digits that matter."""
    return f"{value:.4g}" if abs(value) < WHOLE else f"{value:.0f}"
