"""JSON that a pod wrote. The pod is not ours to trust: sizes, numbers and characters are tamed before anybody reads them."""

import json
import math
from typing import Any

MAX_DEPTH = 16
LARGEST = 2**63 - 1  # the API server holds whole numbers in 64 bits


def parsed(text: str | bytes) -> dict[str, Any] | None:
    """The object that `text` is, with every value such that the API server gives it back unchanged; None if it is none."""
    try:
        found = json.loads(text, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return None
    return _tamed(found, MAX_DEPTH) if isinstance(found, dict) else None


def _tamed(value: Any, depth: int) -> Any:
    """`value` without infinities, numbers beyond 64 bits, lone surrogates and bottomless nesting."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8").replace("\0", "")
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if abs(value) <= LARGEST else None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth == 0:
        return None
    if isinstance(value, list):
        return [_tamed(item, depth - 1) for item in value]
    return {_tamed(key, 0): _tamed(item, depth - 1) for key, item in value.items()}
