"""The gate's entries: what is read, what is refused with which words, and when they hold."""

import pytest

import trainer_runs
from finetune_trainer import errors, gate, heldout, metrics
from finetune_trainer.task import Evaluated, Measured

FOUND = Evaluated(
    rows=40,
    base=Measured(loss=3.0, perplexity=20.0, other={"rougeL": 0.2, "exactMatch": 0.0}),
    tuned=Measured(loss=2.4, perplexity=None, other={"rougeL": 0.3, "exactMatch": 0.5}),
)

HOLDS = {
    "tuned.loss < base.loss": True,
    "tuned.loss < 0.7 * base.loss": False,
    "tuned.loss <= 0.9*base.loss": True,
    "base.loss - tuned.loss > .5": True,
    "(tuned.rougeL + base.rougeL) / 2 >= 2.5e-1": True,
    "-tuned.loss > -base.loss": True,
    "tuned.rougeL > 1.6 * base.rougeL": False,
    "tuned.exactMatch / base.exactMatch > 1": False,  # a division by zero
    "1 > tuned.perplexity": False,  # beyond all numbers
}

REFUSED = {
    "tuned.loss": "it is not a comparison",
    "tuned.loss <": "it is not an expression",
    "tuned.loss == base.loss": "it is not a comparison",
    "1 < tuned.loss < base.loss": "it makes more than one comparison",
    "tuned.loss < 2 and tuned.rougeL > 1": "`and` is not needed",
    "tuned.loss < 2 or tuned.rougeL > 1": "it is not a comparison",
    "1 < 2": "it compares only numbers",
    "loss < 2": "`loss` is neither a figure nor a number",
    "best.loss < 2": "`best.loss` is neither a figure nor a number",
    "tuned.other.loss < 2": "`tuned.other.loss` is neither a figure nor a number",
    "tuned.loss ** 2 < 2": "`tuned.loss ** 2` is neither a figure nor a number",
    "tuned.loss < True": "True is not a number",
    "tuned.loss < 1e999": "it holds a number that is too large",
    "tuned.loss < " + "9" * 200: "it is longer than 200 characters",
    "tuned.loss < 'a'": "`'a'` is neither a figure nor a number",
    "tuned.loss < 1j": "`1j` is neither a figure nor a number",
    "tuned.loss < tuned['loss']": "`tuned['loss']` is neither a figure nor a number",
    "tuned.loss < __import__('os').getpid()": "is neither a figure nor a number",
    "(lambda: tuned.loss)() < 1": "is neither a figure nor a number",
    "tuned.l\u043ess < 1": "it has characters outside ASCII",
    "(" * 140 + "1" + ")" * 40 + "< tuned.loss": "it is not an expression",
    "tuned.loss < 1\0": "it is not an expression",
}


@pytest.mark.parametrize("text", HOLDS)
def test_an_entry_holds_by_its_figures(text):
    assert gate.parse(text, field="f").holds(gate._of(FOUND)) is HOLDS[text]


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_comparison_of_figures_is_refused_with_its_reason(text):
    with pytest.raises(errors.InvalidGate) as told:
        gate.parse(text, field="spec.evaluation.gate[0]")
    assert str(told.value).startswith("spec.evaluation.gate[0]: ")
    assert REFUSED[text] in str(told.value)
    assert "for example `tuned.loss < 0.9 * base.loss`" in str(told.value)


def test_a_long_number_is_one_all_the_same():
    assert gate.parse("tuned.loss < " + "9" * 180, field="f").holds(gate._of(FOUND))


def test_what_is_not_met_is_told_with_its_figures():
    run = trainer_runs.run(
        evaluation={"gate": ["tuned.loss < base.loss", "tuned.loss < 2", "tuned.rewardMargin > 0"]}
    )
    assert gate.unmet(run, FOUND) == [
        "tuned.loss < 2 (tuned.loss is 2.4)",
        "tuned.rewardMargin > 0 (tuned.rewardMargin could not be measured)",
    ]


@pytest.mark.parametrize(
    ("evaluation", "method", "said"),
    [
        (
            {"gate": ["tuned.rougeL > 0.2"]},
            "SFT",
            "spec.evaluation.gate[0]: tuned.rougeL is not measured; add rouge to spec.evaluation.metrics",
        ),
        (
            {"gate": ["tuned.loss < 1", "tuned.rewardAccuracy > 0.5"]},
            "SFT",
            "spec.evaluation.gate[1]: tuned.rewardAccuracy is not measured; measured are loss, perplexity",
        ),
        (
            {"gate": ["tuned.rewardAccuracy > base.rewardAccuracy"]},
            "DPO",
            "spec.evaluation.gate[0]: base.rewardAccuracy is not measured; measured are chosenLikelier, chosenLoss, loss",
        ),
        (
            {"gate": ["tuned.perplexity < 9"]},
            "KTO",
            "spec.evaluation.gate[0]: tuned.perplexity is not measured by this method; use loss",
        ),
    ],
)
def test_a_figure_that_nobody_measures_is_refused(evaluation, method, said):
    with pytest.raises(errors.InvalidGate) as told:
        gate.check(trainer_runs.run(method=method, evaluation=evaluation))
    assert str(told.value) == said


def test_figures_that_are_measured_pass():
    gate.check(
        trainer_runs.run(
            evaluation={"metrics": ["rouge"], "gate": ["tuned.rougeL > base.rougeL", "tuned.perplexity < 9"]}
        )
    )
    gate.check(trainer_runs.run(method="DPO", evaluation={"gate": ["tuned.rewardAccuracy > 0.5"]}))
    task = {"name": "arc", "data": {"uri": "pvc://a/b"}, "prompt": "{question}", "target": "right"}
    task |= {"multipleChoice": {"choicesColumn": "answers", "metrics": ["accNorm"]}}
    gate.check(
        trainer_runs.run(evaluation={"tasks": [task], "gate": ["tuned.arcAccNorm >= base.arcAccNorm"]})
    )
    with pytest.raises(
        errors.InvalidGate, match=r"tuned\.arcAcc is not measured; measured are arcAccNorm, loss"
    ):
        gate.check(trainer_runs.run(evaluation={"tasks": [task], "gate": ["tuned.arcAcc > 0.5"]}))


@pytest.mark.parametrize("method", metrics.METHODS)
def test_a_method_measures_what_the_table_says(method):
    """Of rows that hold both good and bad answers."""
    tables = {
        "SFT": {"input_ids": [[1, 2], [3, 4]], "labels": [[-100, 2], [-100, 4]]},
        "KTO": {"prompt_ids": [[1], [2]], "completion_ids": [[3], [4]], "label": [True, False]},
    }
    pairs = {"prompt_ids": [[1], [2]], "chosen_ids": [[3], [4]], "rejected_ids": [[5], [6]]}
    held = heldout.held_out(method, tables.get(method, pairs), beta=0.1, max_length=8)
    said = [-1.0] * len(held.sequences)

    for side, reference in (("base", None), ("tuned", said)):
        measured = gate._named(held.judged(said, reference))
        assert set(measured) == metrics.measured(method, [], side)
