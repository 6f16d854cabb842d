"""Lines of bounded length, UTF-8, and the text around a spot."""

from collections.abc import Iterator
from typing import IO

from finetune_trainer import errors
from finetune_trainer.data.rows import Place

MAX_ROW = 64 * 1024 * 1024
"""Bytes of a line, characters of a JSON value or of a CSV field: far more than any model reads at once."""
AROUND = 40
"""Characters shown on both sides of the spot where a row breaks."""
BOM = "\ufeff"
"""Stands at the start of files from Windows, and wherever such files were put one behind the other."""


def lines(file: IO[bytes], name: str, first: int = 1) -> Iterator[tuple[int, bytes]]:
    """Number (from `first`) and bytes of each line, its end included. Lines end with LF, and nothing else.

    Raises `InvalidRow` for one of more than `MAX_ROW` bytes.
    """
    number = first - 1
    while raw := file.readline(MAX_ROW + 1):
        number += 1
        if len(raw) > MAX_ROW:
            raise too_long(Place(name, number), "line")
        yield number, raw


def too_long(place: Place, what: str) -> errors.InvalidRow:
    """The error for a row that does not end."""
    return errors.InvalidRow(
        f"{place}: the {what} that begins here is longer than {MAX_ROW // 2**20} MiB, the most that is read as one row; split "
        "it, or check how the file was written"
    )


def decoded(raw: bytes, place: Place) -> str:
    """`raw` as text, without a byte order mark."""
    try:
        return raw.decode("utf-8").removeprefix(BOM)
    except UnicodeDecodeError as error:
        raise no_utf8(raw, error.start, place) from error


def no_utf8(raw: bytes, spot: int, place: Place) -> errors.InvalidRow:
    """The error for a byte at `spot` that belongs to no character."""
    before = raw[max(spot - 4 * AROUND, 0) : spot].decode("utf-8", errors="ignore")[-AROUND:]
    after = raw[spot : spot + AROUND].decode("utf-8", errors="replace")
    return errors.InvalidRow(
        f"{place}: byte 0x{raw[spot]:02x} is not UTF-8, at: {shown(before + after)}; save the file as UTF-8"
    )


def around(text: str, spot: int) -> str:
    """The text around `spot`, on one line."""
    start, end = max(spot - AROUND, 0), spot + AROUND
    return f"{'…' * (start > 0)}{shown(text[start:end])}{'…' * (end < len(text))}"


def shown(text: str) -> str:
    """`text` with its line ends, tabs and NULs written out."""
    return text.translate({0: "\\0", 9: "\\t", 10: "\\n", 13: "\\r"})
