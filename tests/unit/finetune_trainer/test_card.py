"""What a person reads about the result."""

import dataclasses

import pytest

import trainer_runs
from finetune_trainer import card
from finetune_trainer.task import Evaluated, Measured, Trained

EVALUATION = Evaluated(
    rows=40, base=Measured(loss=3.5719, perplexity=35.58), tuned=Measured(loss=2.9978, perplexity=None)
)


def facts(
    *, evaluation: Evaluated | None = EVALUATION, uri: str = "hf://org/name@main", **changes
) -> card.Facts:
    given = {
        "run": trainer_runs.run(model={"uri": uri}),
        "base_model": "org/name",
        "revision": "c0ffee",
        "data": {"digest": "sha256:d", "format": "messages", "rows": 400, "evalRows": 40, "tokens": 54215},
        "resolved": {"learningRate": 0.0005, "targetModules": ["k_proj", "q_proj"]},
        "trained": Trained(
            step=30, total_steps=30, epoch=1.0, loss=2.5, tokens_per_second=100.0, evaluation=evaluation
        ),
        "samples": [
            {
                "messages": [{"role": "user", "content": "<script>alert(1)</script>"}],
                "expected": None,
                "base": "a & b",
                "tuned": "c",
            }
        ],
        "history": [{"step": 1, "loss": 3.5}, {"step": 2, "eval_loss": 3.1}, {"step": 2, "loss": 2.5}],
        "created": "2026-11-22 10:00 UTC",
    }
    return card.Facts(**{**given, **changes})


def test_a_model_of_the_hub_is_named_as_the_hub_wants_it():
    readme = card.render(facts())["README.md"]
    assert readme.startswith("---\nbase_model: org/name\nlibrary_name: peft\n")
    assert 'from_pretrained("org/name", revision="c0ffee")' in readme
    assert "| loss | 3.5719 | **2.9978** |" in readme
    assert "| targetModules | k_proj, q_proj |" in readme


def test_a_model_of_a_bucket_is_no_id_of_the_hub():
    readme = card.render(facts(uri="s3://models/name", base_model="s3://models/name", revision=None))[
        "README.md"
    ]
    assert "base_model:" not in readme
    assert 'from_pretrained("a local copy of s3://models/name")' in readme


def test_the_step_that_was_kept_is_told():
    made = facts()
    kept = dataclasses.replace(made, trained=made.trained.model_copy(update={"kept_step": 20}))
    assert "30 of 30 steps were trained. Checksums" in card.render(made)["README.md"]
    assert (
        "these are the weights of step 20, which had the lowest held-out loss."
        in card.render(kept)["README.md"]
    )


def test_what_was_not_measured_is_not_told():
    made = card.render(facts())
    assert "perplexity" not in made["README.md"]  # the tuned one is beyond all numbers
    for text in card.render(facts(evaluation=None)).values():
        assert "held-out rows" not in text


def test_the_models_words_are_text_and_not_html():
    report = card.render(facts())["report.html"]
    assert "<script>" not in report
    assert "&lt;script&gt;" in report
    assert "a &amp; b" in report


def test_the_curve_goes_down_as_the_loss_does():
    found = card.curve(facts().history)
    (x1, y1), (x2, y2) = (map(float, point.split(",")) for point in found.points.split())
    assert (x1 < x2, y1 < y2) == (True, True)  # SVG's y points down
    assert (found.highest, found.lowest, found.last_step) == (3.5, 2.5, 2)


@pytest.mark.parametrize("steps", [0, 1])
def test_one_step_is_no_curve(steps):
    assert card.curve([{"step": 1, "loss": 3.0}] * steps) is None
    assert "<svg" not in card.render(facts(history=[]))["report.html"]


def test_long_runs_are_thinned_out():
    found = card.curve([{"step": step, "loss": 1.0} for step in range(1, 10_001)])
    assert len(found.points.split()) <= card.MOST_POINTS


def test_what_only_the_tuned_model_has_stands_beside_a_dash():
    evaluation = Evaluated(
        rows=40,
        base=Measured(loss=0.6931, other={"chosenLoss": 3.0}),
        tuned=Measured(loss=0.1, other={"chosenLoss": 3.1, "rewardAccuracy": 0.95}),
    )
    made = card.render(facts(evaluation=evaluation, run=trainer_runs.run(method="DPO")))

    assert "Loss of a pair" in made["README.md"]
    assert "| chosenLoss | 3.0000 | **3.1000** |" in made["README.md"]
    assert "| rewardAccuracy | - | **0.9500** |" in made["README.md"]
    assert "<td>rewardAccuracy</td><td>-</td><td>0.9500</td>" in made["report.html"]


def test_whole_weights_are_loaded_as_a_model():
    readme = card.render(facts(run=trainer_runs.run(tuning={"type": "Full"})))["README.md"]

    assert "library_name: transformers" in readme
    assert "All weights after SFT of **org/name**" in readme
    assert "peft" not in readme.lower()
    assert "lora" not in readme.lower()
