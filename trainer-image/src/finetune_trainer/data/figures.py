"""What there is to say about a whole dataset in numbers: for the advice, and for the data report. Pure: facts in, figures out."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from finetune_trainer import config
from finetune_trainer.data import facts as arrays
from finetune_trainer.data.deciding import Decision
from finetune_trainer.data.facts import KINDS, Facts, Indexes
from finetune_trainer.data.filters import MAX_PLACES
from finetune_trainer.data.rows import Conversation

PERCENTILES = (5, 25, 50, 75, 95, 99)
WHOLE = 95
"""Percent of rows that the advised maxLength keeps whole."""
STEP = 64
"""Tokens: lengths are advised in multiples of it."""

Numbers = npt.NDArray[np.int32]
Hashes = npt.NDArray[np.uint64]
ODD = np.uint64(0x9E3779B97F4A7C15)


class Lengths(config.Value):
    """How a number of tokens is spread over rows."""

    rows: int
    shortest: int
    percentiles: dict[str, int]
    """`p50` is the median: half of the rows are no longer."""
    longest: int
    mean: float
    histogram: tuple[tuple[int, int], ...]
    """Pairs: rows of at most so many tokens (16, 32, 64, ...), but more than the pair before says."""

    @classmethod
    def of(cls, tokens: Numbers) -> "Lengths":
        """Of at least one row."""
        most = max(4, math.ceil(math.log2(max(int(tokens.max()), 1))))
        edges = [2**power for power in range(4, most + 1)]
        counts = np.bincount(np.searchsorted(edges, tokens), minlength=len(edges))
        ranks = np.percentile(tokens, PERCENTILES, method="inverted_cdf")
        return cls(
            rows=len(tokens),
            shortest=int(tokens.min()),
            percentiles={f"p{share}": int(value) for share, value in zip(PERCENTILES, ranks, strict=True)},
            longest=int(tokens.max()),
            mean=round(float(tokens.mean()), 1),
            histogram=tuple(zip(edges, counts.tolist(), strict=True)),
        )


class Source(config.Value):
    """What became of one source."""

    part: str
    """`train` or `eval`."""
    uri: str
    format: str
    loss_on: str
    rows_read: int
    rows: int
    """Of them trained on or examined by."""
    seen: int
    """Rows of it in one epoch; 0 for rows of `dataset.eval`."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """The dataset in numbers. Rows are training rows, each counted once however often it is seen, where nothing else is said."""

    read: int
    rows: int
    held: int
    dropped: dict[str, int]
    first: dict[str, str]
    """By reason, the first place."""
    cut: int
    """Rows longer than maxLength, whether they are examined by or left out because nothing learned was left of them."""
    cut_places: tuple[str, ...]
    whole: int
    """The maxLength that would keep 95 % of all rows whole (tokens)."""
    tokens: Lengths
    learned: Lengths
    endless: int
    quoting: int
    """Rows in which somebody says what looks like special tokens of the tokenizer."""
    quoting_place: str
    """The first of them; empty where there is none. So it is with the other places."""
    rendered: int
    """Rows of plain text with special tokens that the chat template writes."""
    rendered_place: str
    broken: int
    """Rows with letters that were read in the wrong encoding."""
    broken_place: str
    refusals: int
    """Rows whose answer begins as refusals of other models do."""
    refusals_place: str
    copies: int
    """Rows that say what another one says, and are trained on all the same."""
    common_answer: int
    """Rows with the answer that most rows have."""
    mixed_prompts: int
    """Rows whose prompt stands in another row with another answer."""
    contradictions: int
    """Rows whose answer to its prompt is liked in one place and disliked in another."""
    swapped: int
    """Pairs that stand there a second time with the better and the worse answer swapped."""
    echoes: int
    """Rows whose answer is what was said before it."""
    liked: int
    disliked: int
    longer_chosen: int
    """Pairs whose better answer is the longer one."""
    pairs: int
    chosen_characters: int
    rejected_characters: int
    sources: tuple[Source, ...]


def figures(known: Facts, decision: Decision, sources: Sequence[Source]) -> Figures:
    """The figures. `sources`: what is known of each before, their counts filled in here."""
    train, seen = np.unique(decision.train, return_counts=True)
    traits = known.traits[train]
    wanted = _wanted(known, decision)
    cut = np.flatnonzero(known.cut & wanted)
    compared = traits["rejected"] > 0
    spoken = known.kind[train] == KINDS.index(Conversation.__name__)
    quoting, rendered = known.quoting[train] & spoken, known.quoting[train] & ~spoken
    return Figures(
        read=len(known),
        rows=len(train),
        held=len(decision.held),
        dropped=dict(sorted(decision.drops.rows.items())),
        first={reason: places[0] for reason, places in decision.drops.places.items()},
        cut=len(cut),
        cut_places=tuple(
            f"{known.place(row)} ({known.whole[row]} tokens)" for row in cut[:MAX_PLACES].tolist()
        ),
        whole=_whole(known.whole[wanted]),
        tokens=Lengths.of(known.tokens[train]),
        learned=Lengths.of(known.supervised[train]),
        endless=int(known.endless[train].sum()),
        quoting=int(quoting.sum()),
        quoting_place=_first(known, train[quoting]),
        rendered=int(rendered.sum()),
        rendered_place=_first(known, train[rendered]),
        broken=int(traits["broken"].sum()),
        broken_place=_first(known, train[traits["broken"]]),
        refusals=int(traits["refuses"].sum()),
        refusals_place=_first(known, train[traits["refuses"]]),
        copies=int((arrays.first_alike(known.key[train]) != np.arange(len(train))).sum()),
        common_answer=int(np.unique(traits["answer"], return_counts=True)[1].max()),
        mixed_prompts=_mixed(traits["prompt"], traits["answer"], traits["asked"] > 0),
        contradictions=_mixed(traits["prompt"] ^ traits["answer"], traits["liked"], traits["liked"] >= 0),
        swapped=_swapped(traits["prompt"][compared], traits["answer"][compared], traits["worse"][compared]),
        echoes=int(traits["echo"].sum()),
        liked=int((traits["liked"] == 1).sum()),
        disliked=int((traits["liked"] == 0).sum()),
        longer_chosen=int((traits["answered"] > traits["rejected"])[compared].sum()),
        pairs=int(compared.sum()),
        chosen_characters=int(traits["answered"][compared].sum()),
        rejected_characters=int(traits["rejected"][compared].sum()),
        sources=tuple(_counted(known, decision, train, seen, sources)),
    )


def _wanted(known: Facts, decision: Decision) -> arrays.Flags:
    """Rows that stay, and those that would if they were shorter."""
    wanted: arrays.Flags = known.reason == (
        known.reasons.index("TooLong") if "TooLong" in known.reasons else -1
    )
    wanted[decision.train] = wanted[decision.held] = True
    return wanted


def _whole(tokens: Numbers) -> int:
    """The length that keeps 95 % of rows whole, in steps of 64."""
    least = int(np.percentile(tokens, WHOLE, method="inverted_cdf")) if len(tokens) else 0
    return math.ceil(least / STEP) * STEP


def _first(known: Facts, rows: Indexes) -> str:
    """Where the first of `rows` stands; empty where there is none."""
    return str(known.place(int(rows[0]))) if len(rows) else ""


def _swapped(prompt: Hashes, better: Hashes, worse: Hashes) -> int:
    """How many pairs stand there a second time with their answers swapped. Rankings (A over B, B over C) contradict nothing."""
    differ = better != worse  # but for upper and lower case
    asked, one, other = prompt[differ], better[differ], worse[differ]
    there = np.sort((asked ^ other) * ODD ^ one)
    wanted = (asked ^ one) * ODD ^ other
    at = np.minimum(np.searchsorted(there, wanted), len(there) - 1)
    return int((there[at] == wanted).sum()) if len(there) else 0


def _mixed(group: Hashes, value: npt.NDArray[np.generic], where: arrays.Flags) -> int:
    """How many rows, of those in `where`, are in a group with different values."""
    groups, values = (np.unique(numbers[where], return_inverse=True)[1] for numbers in (group, value))
    if not len(groups):
        return 0
    pairs = np.sort(groups * (values.max() + 1) + values)
    pairs = pairs[np.diff(pairs, prepend=-1) != 0]  # np.unique: see copies._once
    different = np.bincount(pairs // (values.max() + 1)) > 1
    return int(different[groups].sum())


def _counted(
    known: Facts, decision: Decision, train: Indexes, seen: Indexes, sources: Sequence[Source]
) -> Iterator[Source]:
    """Each source with its counts."""
    count = len(sources)
    read = np.bincount(known.source, minlength=count)
    learned = np.bincount(known.source[train], minlength=count)
    often = np.bincount(known.source[train], weights=seen, minlength=count)
    examined = np.bincount(known.source[decision.held], minlength=count)
    for at, source in enumerate(sources):
        kept = learned[at] + examined[at]
        yield source.model_copy(
            update={"rows_read": int(read[at]), "rows": int(kept), "seen": int(often[at])}
        )
