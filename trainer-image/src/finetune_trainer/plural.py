"""Numbers of things in sentences: `1 row`, `2 rows`."""


def counted(number: int, one: str, many: str = "") -> str:
    """`number` with the noun that fits it: `one`, else `many` (`one` with an s where nothing is given)."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"
