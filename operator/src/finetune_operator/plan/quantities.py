"""Kubernetes quantities as numbers."""

import decimal

SUFFIXES: dict[str, int | decimal.Decimal] = {
    "": 1,
    "m": decimal.Decimal("0.001"),
    **{letter: 1000**power for power, letter in enumerate("kMGTPE", start=1)},
    **{letter + "i": 1024**power for power, letter in enumerate("KMGTPE", start=1)},
}


def number(quantity: str) -> decimal.Decimal:
    """`500m` -> 0.5, `8Gi` -> 8589934592. The schema has seen to the form."""
    digits = quantity.rstrip("mkMGTPEKi")
    return decimal.Decimal(digits) * SUFFIXES[quantity[len(digits) :]]


def whole(quantity: str) -> int:
    """Bytes, rounded up."""
    return int(number(quantity).to_integral_value(rounding=decimal.ROUND_CEILING))
