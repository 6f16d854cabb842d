"""How near a model's answers come to the rows' own ones: ROUGE, BLEU, chrF, exact match; each between 0 and 1.

The arithmetic is torchmetrics'. It is imported where it is needed: it takes a second. BERTScore, which needs a model, is in
`bertscore`.
"""

import re
import statistics
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

from finetune_trainer.metrics import FIGURES, GENERATED

UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3040-\u30ff\u3130-\u318f\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
"""Thai, Lao, Burmese, Khmer, kana and Han, whose words stand without spaces, and Hangul, whose words carry their particles."""

TOKEN = re.compile(rf"[{UNSPACED}]|(?:(?![{UNSPACED}])[^\W_]|[\u0300-\u036f\u0900-\u0dff])+")

Pair = tuple[str, str]
"""An answer, and the row's own."""


Score = Callable[[Sequence[Pair], Callable[[str], object]], dict[str, float]]
"""The figures of one metric over all pairs; what it is given last is called for every pair."""


def scores(
    pairs: Sequence[Pair],
    asked: Collection[str],
    move: Callable[[str], object],
    others: Mapping[str, Score] = MappingProxyType({}),
) -> dict[str, float]:
    """The figures of the metrics `asked` over `pairs`, of which there must be one; none where no metric compares answers.

    `move` is called for every pair. `others`: metrics that this module does not know.
    """
    known = {**_SCORES, **others}
    wanted = [metric for metric in FIGURES if metric in GENERATED and metric in asked]
    plain = [(_plain(answer), _plain(own)) for answer, own in pairs]
    found: dict[str, float] = {}
    for metric in wanted:
        move(f"computing {metric} of {len(pairs)} answers")
        found |= known[metric](plain, move)
    return found


def words(text: str) -> list[str]:
    """What ROUGE counts: words in lower case, and each character of a script without spaces by itself.

    On ASCII these are the tokens of Google's rouge-score, the field's reference; that one drops every other letter, so that
    Korean would always score 0.
    """
    return TOKEN.findall(text.lower())


def by_character(texts: Sequence[str]) -> bool:
    """Whether most letters are of scripts whose words stand without spaces: BLEU then goes by characters."""
    letters = [letter for text in texts for letter in text if letter.isalpha()]
    unspaced = sum(bool(re.match(f"[{UNSPACED}]", letter)) for letter in letters)
    return unspaced * 2 > len(letters)


def _plain(text: str) -> str:
    """One way to write the same letters."""
    return unicodedata.normalize("NFC", text.strip())


def _rouge(pairs: Sequence[Pair], move: Callable[[str], object]) -> dict[str, float]:
    from torchmetrics.functional.text import rouge_score  # noqa: PLC0415 - see above

    names = FIGURES["rouge"]

    def each() -> Iterator[dict[str, float]]:
        for number, (answer, own) in enumerate(pairs, start=1):
            move(f"computing rouge of answer {number} of {len(pairs)}")
            said = rouge_score(answer, own, normalizer=str, tokenizer=words, rouge_keys=names)
            yield {name: float(said[f"{name}_fmeasure"]) for name in names}

    every = list(each())
    return {name: statistics.fmean(one[name] for one in every) for name in names}


def _bleu(pairs: Sequence[Pair], move: Callable[[str], object]) -> dict[str, float]:
    from torchmetrics.functional.text import sacre_bleu_score  # noqa: PLC0415 - see above

    del move
    answers, own = _columns(pairs)
    tokenize: Literal["char", "13a"] = "char" if by_character(own) else "13a"
    return {"bleu": float(sacre_bleu_score(answers, [[one] for one in own], tokenize=tokenize))}


def _chrf(pairs: Sequence[Pair], move: Callable[[str], object]) -> dict[str, float]:
    from torchmetrics.functional.text import chrf_score  # noqa: PLC0415 - see above

    del move
    answers, own = _columns(pairs)
    found: Any = chrf_score(answers, [[one] for one in own], n_word_order=0)
    return {"chrf": float(found)}


def _exact(pairs: Sequence[Pair], move: Callable[[str], object]) -> dict[str, float]:
    del move
    return {"exactMatch": statistics.fmean(float(answer == own) for answer, own in pairs)}


def _columns(pairs: Sequence[Pair]) -> tuple[list[str], list[str]]:
    return [answer for answer, _ in pairs], [own for _, own in pairs]


_SCORES: dict[str, Score] = {"rouge": _rouge, "bleu": _bleu, "chrf": _chrf, "exactMatch": _exact}
