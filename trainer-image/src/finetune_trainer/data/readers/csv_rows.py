"""CSV and TSV to rows: the first line names the columns, quoted fields may span lines."""

import csv
from collections.abc import Iterator
from typing import IO, Any

from finetune_trainer import errors
from finetune_trainer.data.readers import text as texts
from finetune_trainer.data.rows import Place, Row
from finetune_trainer.plural import counted

SHOWN = 20
"""Columns that a sentence names."""
DELIMITERS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
SUFFIXES = {",": ".csv", "\t": ".tsv"}


def csv_rows(file: IO[bytes], name: str, delimiter: str = ",") -> Iterator[Row]:
    """The rows of CSV in UTF-8."""
    csv.field_size_limit(texts.MAX_ROW)  # Python's own limit of 128 Ki is too small for documents
    lines = _Lines(file, name)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        columns = [column.strip() for column in next(filter(None, reader), [])]
        _check_columns(columns, name, delimiter)
        lines.next_row()
        for cells in reader:
            place = Place(name, lines.begun)
            lines.next_row()
            if cells:
                yield Row(place, _cells(columns, cells, place))
    except csv.Error as error:
        raise _broken(error, lines) from error


def tsv_rows(file: IO[bytes], name: str) -> Iterator[Row]:
    """The rows of tab-separated values in UTF-8."""
    yield from csv_rows(file, name, delimiter="\t")


class _Lines:
    """Lines as the CSV reader takes them, and where the row and the quoted field begin that it is reading."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self.name = name
        self.number = 0
        """Of the line given last."""
        self.begun = 1
        """The line on which the row begins."""
        self.quoted: int | None = None
        """The line on which a quote was opened that is not closed yet."""
        self._lines = texts.lines(file, name)
        self._held = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        self.number, raw = next(self._lines)
        try:
            text = raw.decode("utf-8-sig" if self.number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise texts.no_utf8(raw, error.start, Place(self.name, self.number)) from error
        self._held += len(text)
        if self._held > texts.MAX_ROW:
            raise csv.Error("field larger than field limit")
        if '"' in text:
            self._count(text.replace('""', "").count('"'))
        return text

    def _count(self, quotes: int) -> None:
        """Take note of the quotes of a line: an odd number opens a field or closes it, an even one may do both."""
        if quotes % 2:
            self.quoted = None if self.quoted else self.number
        elif self.quoted and quotes:
            self.quoted = self.number

    def next_row(self) -> None:
        """The row has ended with the line given last."""
        self.begun, self.quoted, self._held = self.number + 1, None, 0


def _broken(error: csv.Error, lines: _Lines) -> errors.InvalidRow:
    """What the CSV reader says, in words that help."""
    said = str(error)
    if lines.quoted and ("unexpected end" in said or "field limit" in said):
        place = Place(lines.name, lines.quoted)
        return errors.InvalidRow(
            f'{place}: a quote is opened here and never closed; close it, or write "" for a quote inside'
        )
    if "field limit" in said:
        return texts.too_long(Place(lines.name, lines.begun), "row")
    place = Place(lines.name, lines.number)
    if "new-line character" in said:
        return errors.InvalidRow(
            f"{place}: has a carriage return that does not end a line; save the file with line ends LF or CRLF, and put fields "
            "that hold line ends into quotes"
        )
    row = f", in the row that begins at line {lines.begun}" if lines.begun < lines.number else ""
    return errors.InvalidRow(
        f'{place}: is not valid CSV ({said}){row}; quote fields that hold quotes, commas or line ends, and write "" for a quote '
        "inside"
    )


def _check_columns(columns: list[str], name: str, delimiter: str) -> None:
    """Raises `InvalidFile` where the first line cannot be the names of columns."""
    if len(set(columns)) != len(columns):
        twice = sorted({column for column in columns if columns.count(column) > 1})
        what = f"the column {twice[0][:40]!r} twice" if twice[0].strip() else "several columns without a name"
        raise errors.InvalidFile(f"{name}: the first line names {what}; give each column a name of its own")
    first = "".join(columns[:1])
    if first.lstrip().startswith(("{", "[")):
        raise errors.InvalidFile(f"{name}: holds JSON, not CSV; let its name end in .jsonl or .json")
    found = max(DELIMITERS, key=first.count)
    if len(columns) == 1 and found != delimiter and first.count(found):
        raise errors.InvalidFile(
            f"{name}: its fields are separated by {DELIMITERS[found]}, not by {DELIMITERS[delimiter]}; "
            + (
                f"let its name end in {SUFFIXES[found]}"
                if found in SUFFIXES
                else f"save it with {DELIMITERS[delimiter]}"
            )
        )


def _cells(columns: list[str], cells: list[str], place: Place) -> dict[str, Any]:
    if len(cells) != len(columns):
        found = counted(len(cells), "field")
        named = ", ".join(columns[:SHOWN]) + ", ..." * (len(columns) > SHOWN)
        cure = "quote fields that hold the separator"
        if len(cells) < len(columns):
            cure = "fill in what is missing, and quote fields that hold line ends"
        raise errors.InvalidRow(
            f"{place}: has {found}, but the first line names {counted(len(columns), 'column')} ({named}); {cure}"
        )
    return dict(zip(columns, cells, strict=True))
