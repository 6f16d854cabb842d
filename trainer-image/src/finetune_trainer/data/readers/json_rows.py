"""JSON to rows: one a line, or the elements of an array, or objects one behind the other."""

import codecs
import json
import re
from collections.abc import Iterator
from typing import IO, Any

from finetune_trainer import errors
from finetune_trainer.data.readers import text as texts
from finetune_trainer.data.readers import values
from finetune_trainer.data.rows import Place, Row

CHUNK = 1024 * 1024
"""Bytes read at once."""
BLANK = re.compile(r"[ \t\r\n]*")
NEAR = 16
"""An error in so many last characters of what is read may only mean that more is to come: `-Infinity`, `\\ud83d\\ude00`."""


def jsonl_row(raw: bytes, place: Place) -> Row | None:
    """The row that one line holds; None for a blank one. Raises `InvalidRow`."""
    line = texts.decoded(raw, place).strip()
    return Row(place, values.record(values.whole(line, place), line, place)) if line else None


def jsonl(file: IO[bytes], name: str) -> Iterator[Row]:
    """One row a line."""
    for number, raw in texts.lines(file, name):
        if row := jsonl_row(raw, Place(name, number)):
            yield row


def json_values(file: IO[bytes], name: str) -> Iterator[Row]:
    """The elements of an array; or objects one behind the other, as JSONL under the wrong name has them."""
    window = _Window(file, name)
    window.skip_blank()
    if window.next == "[":
        yield from _array(window)
    else:
        yield from _objects(window)


def _array(window: "_Window") -> Iterator[Row]:
    """The elements, each with the line it starts at."""
    window.step()
    while window.next not in {"]", ""}:
        place, value, source = window.value()
        yield Row(place, values.record(value, source, place))
        if window.next == ",":
            window.step()
        elif window.next not in {"]", ""}:
            raise errors.InvalidRow(
                f"{place}: a comma or a closing ] is missing after this row; put it there: {window.around()}"
            )
    if not window.next:
        raise errors.InvalidFile(
            f"{window.name}: the JSON array does not end; the file is cut off, upload it again"
        )
    window.step()
    if window.next:
        raise errors.InvalidFile(
            f"{window.name}: line {window.line} goes on after the JSON array has ended: {window.around()}; put all rows into one "
            "array, or each on a line of its own, without brackets around them"
        )


def _objects(window: "_Window") -> Iterator[Row]:
    """Objects one behind the other. A single one may be something else than a row."""
    first: Row | None = None
    while window.next:
        place, value, source = window.value()
        row = Row(place, values.record(value, source, place))
        if first is None and not window.next and (advice := values.rows_inside(row.values)):
            raise errors.InvalidFile(f"{window.name}: is one object, not a list of rows; {advice}")
        first = first or row
        yield row
        if window.next == ",":
            raise errors.InvalidRow(
                f"{place}: a comma follows this row; put [ before the first row and ] after the last, or remove the commas"
            )


class _Window:
    """A part of a text that moves over the whole of it: no more is held than the value that is being read, and a chunk."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self.name = name
        self.line = 1
        """Of the next character."""
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._at = 0
        self._before = 0
        """Characters between the last line end that was let go of and what is held."""
        self._ended = False

    @property
    def next(self) -> str:
        """The next character; empty at the end."""
        return self._text[self._at : self._at + 1]

    def around(self) -> str:
        """The text around the next character."""
        return texts.around(self._text, self._at)

    def step(self) -> None:
        """Go behind the next character, and the white space after it."""
        self._move(self._at + 1)
        self.skip_blank()

    def skip_blank(self) -> None:
        """Go to the next character that is no white space."""
        while True:
            self._move(BLANK.match(self._text, self._at).end())  # type: ignore[union-attr] # it fits an empty text too
            if self._at < len(self._text) or not self._read(CHUNK):
                return

    def value(self) -> tuple[Place, Any, str]:
        """The value that begins here, where it stands, and the text it was read from; then go behind it and white space."""
        place = Place(self.name, self.line)
        while True:
            try:
                value, end = values.DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                unfinished = error.msg.startswith("Unterminated") or error.pos > len(self._text) - NEAR
                if unfinished and self._more(place):
                    continue
                if error.msg.startswith("Unterminated") or not self._text[error.pos :].strip():
                    raise errors.InvalidRow(
                        f"{place}: the row that begins here does not end; close its quotes and brackets, or upload the file again "
                        f"if it is cut off: {texts.around(self._text, self._at)}"
                    ) from error
                with values.told(self._text, place, self._at, self._before):
                    raise
            except (RecursionError, ValueError):
                with values.told(self._text, place, self._at, self._before):
                    raise
            else:
                source = self._text[self._at : end]
                self._move(end)
                self.skip_blank()
                return place, value, source

    def _more(self, place: Place) -> bool:
        """Read on, twice as much as there is, so that a long value is not tried too often; False at the end of the file."""
        held = len(self._text) - self._at
        if held > texts.MAX_ROW:
            raise texts.too_long(place, "value")
        return self._read(max(CHUNK, min(held, texts.MAX_ROW)))

    def _read(self, wanted: int) -> bool:
        """Let go of what is behind, and read `wanted` bytes more; False at the end of the file."""
        if self._ended:
            return False
        raw = self._file.read(wanted)
        try:
            more = self._decoder.decode(raw, final=not raw)
        except UnicodeDecodeError as error:
            before = self._text[self._at :].count("\n") + error.object[: error.start].count(b"\n")
            raise texts.no_utf8(error.object, error.start, Place(self.name, self.line + before)) from error
        if not raw:
            self._ended = True
            return False
        line = self._text.rfind("\n", 0, self._at)
        self._before = self._at - line - 1 + (self._before if line < 0 else 0)
        self._text, self._at = self._text[self._at :] + more, 0
        return True

    def _move(self, to: int) -> None:
        self.line += self._text.count("\n", self._at, to)
        self._at = to
