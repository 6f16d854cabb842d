"""The data report: what was read, what was left out and why, line by line, how long rows are, and what to do about it.

For programs it is data-report.json, for people data-report.md; both say the same and stay below 64 KiB.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

from finetune_trainer import config
from finetune_trainer.data.figures import Figures, Lengths, Source
from finetune_trainer.data.filters import REASONS
from finetune_trainer.prepared import Dropped, Packed

JSON = "data-report.json"
MARKDOWN = "data-report.md"
MAX_BYTES = 64 * 1024
FEWER_PLACES = (20, 10, 5, 2, 1, 0)
"""Places named for each reason, until the report is small enough."""
BAR = 40
"""Characters of the longest bar."""


class DataReport(config.Value):
    """data-report.json."""

    version: Literal[1] = 1
    rows_read: int
    rows: int
    """Different rows that are trained on."""
    eval_rows: int
    max_length: int
    """Tokens."""
    sources: tuple[Source, ...]
    dropped: dict[str, Dropped]
    cut: Dropped
    """Rows longer than maxLength, with their tokens."""
    tokens: Lengths
    """Of training rows."""
    learned: Lengths
    """Tokens that are learned, of training rows."""
    packed: Packed | None = None
    """With packing alone."""
    advice: tuple[str, ...]

    @classmethod
    def of(
        cls,
        figures: Figures,
        dropped: Mapping[str, Dropped],
        *,
        max_length: int,
        advice: Iterable[str],
        packed: Packed | None = None,
    ) -> "DataReport":
        """The report of a dataset, with as many places as fit."""
        whole = cls(
            rows_read=figures.read,
            rows=figures.rows,
            eval_rows=figures.held,
            max_length=max_length,
            sources=figures.sources,
            dropped=dict(dropped),
            cut=Dropped(rows=figures.cut, places=figures.cut_places),
            tokens=figures.tokens,
            learned=figures.learned,
            packed=packed,
            advice=tuple(advice),
        )
        shorter = [whole.with_places(most) for most in FEWER_PLACES]
        return next((made for made in shorter if made.fits), shorter[-1])

    def files(self) -> dict[str, str]:
        """Name -> text."""
        return {JSON: self.model_dump_json(by_alias=True, indent=1) + "\n", MARKDOWN: self.markdown()}

    def write(self, folder: Path) -> tuple[str, ...]:
        """Write both files; their names."""
        for name, text in self.files().items():
            (folder / name).write_text(text, encoding="utf-8")
        return JSON, MARKDOWN

    def markdown(self) -> str:
        """For people."""
        return "\n".join([*self._head(), *self._sources(), *self._left_out(), *self._cut(), *self._lengths()])

    @property
    def fits(self) -> bool:
        """Whether no file is larger than it may be."""
        return all(len(text.encode()) <= MAX_BYTES for text in self.files().values())

    def with_places(self, most: int) -> "DataReport":
        """The same with at most `most` places for each reason."""
        dropped = {name: _first(one, most) for name, one in self.dropped.items()}
        return self.model_copy(update={"dropped": dropped, "cut": _first(self.cut, most)})

    def _head(self) -> Iterator[str]:
        out = sum(one.rows for one in self.dropped.values())
        yield from ("# Data report", "")
        yield (
            f"{self.rows_read:,} row{'' if self.rows_read == 1 else 's'} read: {self.rows:,} to train on, {self.eval_rows:,} held "
            f"out, {out:,} left out, "
            f"{self.cut.rows:,} longer than {self.max_length:,} tokens."
        )
        if self.packed:
            count, share = self.packed.packs, self.packed.fill_rate
            into = "one sequence" if count == 1 else f"{count:,} sequences"
            yield f"Packed into {into} of at most {self.max_length:,} tokens, {share:.1%} full."
        if self.advice:
            yield from ("", "## Advice", "", *(f"- {_plain(sentence)}" for sentence in self.advice))

    def _sources(self) -> Iterator[str]:
        yield from (
            "",
            "## Sources",
            "",
            "| part | source | format | learned | rows read | rows used | seen in an epoch |",
        )
        yield "|---|---|---|---|---|---|---|"
        for one in self.sources:
            counts = (f"{number:,}" for number in (one.rows_read, one.rows, one.seen))
            yield _row(one.part, _plain(one.uri), one.format, one.loss_on, *counts)

    def _left_out(self) -> Iterator[str]:
        if not self.dropped:
            return
        yield from ("", "## Left out", "", "| reason | rows | why |", "|---|---|---|")
        for reason, one in self.dropped.items():
            yield _row(reason, f"{one.rows:,}", REASONS.get(reason, ""))
        for reason, one in self.dropped.items():
            yield from _listed(reason, one)

    def _cut(self) -> Iterator[str]:
        if self.cut.rows:
            yield from ("", f"## Longer than maxLength ({self.max_length:,} tokens)")
            yield from _listed(
                "The end of these rows is not learned; those listed as TooLong are left out", self.cut
            )

    def _lengths(self) -> Iterator[str]:
        names = list(self.tokens.percentiles)
        yield from ("", "## Tokens of a training row", "")
        yield _row("", "shortest", *names, "longest", "mean")
        yield "|---" * (len(names) + 4) + "|"
        for name, one in (("all", self.tokens), ("learned", self.learned)):
            shares = (f"{value:,}" for value in one.percentiles.values())
            yield _row(name, f"{one.shortest:,}", *shares, f"{one.longest:,}", f"{one.mean:,}")
        yield from ("", "```", *_bars(self.tokens), "```", "")


def _bars(lengths: Lengths) -> Iterator[str]:
    """The histogram, a line for each power of two."""
    most = max(rows for _, rows in lengths.histogram)
    least = 1
    for tokens, rows in lengths.histogram:
        yield f"{least:>9,} to {tokens:>9,} tokens  {rows:>9,}  {'#' * -(-rows * BAR // most)}".rstrip()
        least = tokens + 1


def _first(one: Dropped, most: int) -> Dropped:
    return one.model_copy(update={"places": one.places[:most]})


def _listed(name: str, one: Dropped) -> Iterator[str]:
    """The places of one reason."""
    yield from ("", f"{name}:", "")
    yield from (f"- {_plain(place)}" for place in one.places)
    if one.rows > len(one.places):
        yield f"- and {one.rows - len(one.places):,} more"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """One line that Markdown takes as it is: names of files may hold anything."""
    line = " ".join(text.split())
    return "".join(f"\\{sign}" if sign in r"\`*[]<>|#" else sign for sign in line if sign.isprintable())
