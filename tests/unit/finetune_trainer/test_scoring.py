"""How near answers come to the rows' own ones, in English and in Korean."""

import re

import pytest

from finetune_trainer import metrics, scoring

SAME = ("The cat sat on the mat.", "The cat sat on the mat.")
NEAR = ("The cat sat on a mat", "The cat sat on the mat.")
FAR = ("Nothing of that kind", "The cat sat on the mat.")
BY_WORDS = sorted(metrics.GENERATED - {"bertscore"})
"""Those that need no model; BERTScore's are in `slow/test_bertscore.py`."""
KOREAN = ("고양이가 매트 위에 앉았다", "고양이는 매트 위에 앉았어요")


def scores(pairs: list[scoring.Pair], *asked: str) -> dict[str, float]:
    return scoring.scores(pairs, asked, lambda _: None)


@pytest.mark.parametrize("text", ["The CAT_sat, on 2 mats!", "don't", "", "a-b  c"])
def test_on_ascii_words_are_those_of_google_s_rouge(text):
    assert scoring.words(text) == re.sub(r"[^a-z0-9]+", " ", text.lower()).split()


def test_a_script_without_spaces_is_counted_by_character():
    assert scoring.words("서울의 weather") == ["서", "울", "의", "weather"]
    assert scoring.words("東京タワー") == ["東", "京", "タ", "ワ", "ー"]
    assert scoring.words("Café Ünïted") == ["café", "ünïted"]
    assert scoring.words("हिन्दी में") == ["हिन्दी", "में"]


def test_what_is_not_asked_for_is_not_reckoned():
    assert scores([SAME], "loss", "tokenAccuracy") == {}


def test_an_exact_match_knows_no_spaces_at_the_ends_and_one_way_to_write_a_letter():
    decomposed = "\u1112\u1161\u11ab"  # the syllable of the next line, as some systems store it
    pairs = [(" yes\n", "yes"), ("Yes", "yes"), (decomposed, "\ud55c"), ("", "no")]
    assert scores(pairs, "exactMatch") == {"exactMatch": 0.5}


@pytest.mark.slow  # imports torch
@pytest.mark.parametrize("metric", BY_WORDS)
def test_a_metric_gives_the_figures_that_the_table_names(metric):
    assert set(scores([SAME], metric)) == set(metrics.FIGURES[metric])


@pytest.mark.slow
@pytest.mark.parametrize("pair", [SAME, ("서울은 한국의 수도이다.", "서울은 한국의 수도이다.")])
def test_the_same_answer_scores_one(pair):
    assert scores([pair], *BY_WORDS) == pytest.approx(
        dict.fromkeys(("rouge1", "rouge2", "rougeL", "bleu", "chrf", "exactMatch"), 1.0), abs=1e-6
    )


@pytest.mark.slow
def test_scores_by_hand():
    """Five of six words are common, and three of five pairs; the longest common sequence has five words."""
    assert scores([NEAR], "rouge") == pytest.approx({"rouge1": 5 / 6, "rouge2": 3 / 5, "rougeL": 5 / 6})
    assert scores([NEAR, FAR], "rouge") == pytest.approx(
        {"rouge1": 5 / 12, "rouge2": 3 / 10, "rougeL": 5 / 12}
    )


@pytest.mark.slow
@pytest.mark.parametrize("answer", ["", " ", "...", "🙂"])
def test_no_words_score_nothing_and_break_nothing(answer):
    assert scores([(answer, "The cat")], *BY_WORDS) == dict.fromkeys(
        ("rouge1", "rouge2", "rougeL", "bleu", "chrf", "exactMatch"), 0.0
    )


@pytest.mark.slow
def test_korean_is_compared_by_syllable():
    """12 of 11 + 12 syllables are common but for 가/는 and 다/어요: 9 of 11 and 9 of 12."""
    found = scores([KOREAN], "rouge", "bleu")
    assert found["rouge1"] == pytest.approx(2 * 9 / (11 + 12))
    assert found["bleu"] > 0.5  # of words there is one of three


def test_bleu_goes_by_characters_where_most_letters_have_no_spaces():
    assert scoring.by_character(["서울의 날씨 weather"]) is False
    assert scoring.by_character(["서울의 날씨는 어때요 ok"]) is True
    assert scoring.by_character([""]) is False
