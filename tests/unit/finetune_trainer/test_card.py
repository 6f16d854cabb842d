"""What a person reads about the result."""

import dataclasses

import trainer_runs
from card_facts import facts
from finetune_trainer import card
from finetune_trainer.task import Evaluated, Measured


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


def test_figures_of_tasks_are_said_to_be_lm_evals():
    task = {"name": "trivia", "data": {"uri": "pvc://a/b"}, "prompt": "{q}", "target": "a", "generate": {}}
    asked = card.render(facts(run=trainer_runs.run(evaluation={"tasks": [task]})))
    assert "`triviaExactMatch`: tasks of lm-eval, asked on rows of their own." in asked["README.md"]
    assert (
        "triviaExactMatch: tasks of lm-eval, asked on rows of their own, which are listed under"
        in asked["report.html"]
    )
    assert not any("lm-eval" in text for text in card.render(facts()).values())


def test_the_step_that_was_kept_is_told():
    made = facts()
    kept = dataclasses.replace(made, trained=made.trained.model_copy(update={"kept_step": 20}))
    assert "Training ran 30 of 30 steps. Checksums" in card.render(made)["README.md"]
    assert (
        "these are the weights of step 20, which had the lowest held-out loss."
        in card.render(kept)["README.md"]
    )


def test_what_was_not_measured_is_not_told():
    made = card.render(facts())
    assert "perplexity" not in made["README.md"]  # the tuned one is beyond all numbers
    for text in card.render(facts(evaluation=None)).values():
        assert "held-out rows" not in text


def test_what_only_the_tuned_model_has_stands_beside_a_dash():
    evaluation = Evaluated(
        rows=40,
        base=Measured(loss=0.6931, other={"chosenLoss": 3.0}),
        tuned=Measured(loss=0.1, other={"chosenLoss": 3.1, "rewardAccuracy": 0.95}),
    )
    made = card.render(facts(evaluation=evaluation, run=trainer_runs.run(method="DPO")))

    assert "DPO's mean loss per pair (lower is better)" in made["README.md"]
    assert "| chosenLoss | 3.0000 | **3.1000** |" in made["README.md"]
    assert "| rewardAccuracy | - | **0.9500** |" in made["README.md"]
    assert "<td>rewardAccuracy</td><td>-</td><td>0.9500</td>" in made["report.html"]


def test_whole_weights_are_loaded_as_a_model():
    readme = card.render(facts(run=trainer_runs.run(tuning={"type": "Full"})))["README.md"]

    assert "library_name: transformers" in readme
    assert "All weights after SFT of **org/name**" in readme
    assert "peft" not in readme.lower()
    assert "lora" not in readme.lower()
