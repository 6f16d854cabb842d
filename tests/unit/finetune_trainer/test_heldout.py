"""What log probabilities of held-out sequences come to: numbers worked out by hand."""

import math

import pytest

from finetune_trainer import errors, heldout

PAIRS = {"prompt_ids": [[1, 2], [3]], "chosen_ids": [[4, 5], [6]], "rejected_ids": [[7], [8, 9]]}
VERDICTS = {"prompt_ids": [[1, 2], [3]], "completion_ids": [[4, 5], [6]], "label": [True, False]}


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_of_a_pair_both_answers_are_asked_for_and_no_word_of_the_question():
    found = heldout.held_out("DPO", PAIRS, beta=0.1, max_length=9)
    assert found.sequences == [
        {"input_ids": [1, 2, 4, 5], "labels": [-100, -100, 4, 5]},
        {"input_ids": [3, 6], "labels": [-100, 6]},
        {"input_ids": [1, 2, 7], "labels": [-100, -100, 7]},
        {"input_ids": [3, 8, 9], "labels": [-100, 8, 9]},
    ]


def test_dpo_for_the_base_is_ln_2_and_no_accuracy_that_means_nothing():
    found = heldout.held_out("DPO", PAIRS, beta=0.1, max_length=9).judged([-6.0, -3.0, -7.0, -2.0], None)
    assert found.loss == pytest.approx(math.log(2))
    assert found.perplexity is None
    assert found.other == {"chosenLoss": 9 / 3, "chosenLikelier": 0.5}


def test_dpo_for_the_tuned_model_goes_by_what_has_changed():
    held = heldout.held_out("DPO", PAIRS, beta=0.5, max_length=9)
    found = held.judged([-2.0, -4.0, -9.0, -2.0], [-6.0, -3.0, -7.0, -2.0])
    margins = [0.5 * (4.0 + 2.0), 0.5 * (-1.0 - 0.0)]
    assert found.loss == pytest.approx(sum(-math.log(sigmoid(m)) for m in margins) / 2)
    assert found.other["rewardAccuracy"] == 0.5
    assert found.other["rewardMargin"] == pytest.approx(sum(margins) / 2)


def test_orpo_is_the_loss_of_question_and_answer_and_the_odds():
    held = heldout.held_out("ORPO", PAIRS, beta=0.2, max_length=9)
    own = [-2.0, -1.0, -3.0, -2.0, -8.0, -1.0]  # chosen, rejected, whole chosen sequences
    odds = []
    for good, bad in ((-1.0, -3.0), (-1.0, -1.0)):  # per token
        odds.append(math.log(math.exp(good) / (1 - math.exp(good)) / (math.exp(bad) / (1 - math.exp(bad)))))
    expected = 9.0 / 4 - 0.2 * sum(math.log(sigmoid(one)) for one in odds) / 2
    for reference in (None, [-1.0] * 6):
        found = held.judged(own, reference)
        assert found.loss == pytest.approx(expected)
        assert found.other["rewardAccuracy"] == 0.5
        assert found.other["rewardMargin"] == pytest.approx(0.2 * 1.0)


@pytest.mark.parametrize("loss_type", ["kto", "apo_zero_unpaired"])
def test_kto_goes_by_the_verdict_and_the_distance(loss_type):
    held = heldout.held_out("KTO", VERDICTS, beta=0.5, loss_type=loss_type, max_length=9)
    assert held.judged([-4.0, -3.0, -5.0, -5.0], None).loss == 0.5
    found = held.judged([-2.0, -4.0, -4.0, -3.0], [-4.0, -3.0, -5.0, -5.0])
    distance = 1.5 if loss_type == "kto" else 0.0
    expected = [1 - sigmoid(0.5 * (2.0 - distance)), 1 - sigmoid(0.5 * (distance + 1.0))]
    assert found.loss == pytest.approx(sum(expected) / 2)
    assert found.other == {
        "desirableLoss": 1.0,
        "rewardAccuracy": 1.0,
        "rewardMargin": pytest.approx(0.5 * 3.0),
    }


@pytest.mark.parametrize("method", ["DPO", "KTO", "ORPO"])
def test_what_is_no_number_is_no_result(method):
    held = heldout.held_out(method, VERDICTS if method == "KTO" else PAIRS, beta=0.1, max_length=9)
    with pytest.raises(errors.NonFiniteLoss):
        held.judged([math.nan] * len(held.sequences), [0.0] * len(held.sequences))


@pytest.mark.parametrize(
    ("method", "table", "right", "share"),
    [
        ("SFT", {"input_ids": [[1, 2, 3], [4, 5]], "labels": [[-100, 2, 3], [-100, 5]]}, [1, 1], 2 / 3),
        ("DPO", PAIRS, [1, 1, 9, 9], 2 / 3),  # rejected answers count for nothing
        ("ORPO", PAIRS, [2, 0, 9, 9, 9, 9], 2 / 3),
        ("KTO", VERDICTS, [1, 9, 9, 9], 1 / 2),  # nor do unwelcome ones
    ],
)
def test_token_accuracy_is_over_the_tokens_of_good_answers(method, table, right, share):
    held = heldout.held_out(method, table, beta=0.1, max_length=9)
    assert held.token_accuracy(right) == pytest.approx(share)
