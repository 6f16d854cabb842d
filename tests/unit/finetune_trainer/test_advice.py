"""Advice: each rule speaks where it should, and is silent just short of it; of good data nothing is said at all."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import trainer_world
from data_figures import GOOD, source
from finetune_trainer import resolve
from finetune_trainer.data import advice
from finetune_trainer.data.advice import Seen
from finetune_trainer.data.figures import Lengths
from finetune_trainer.prepared import Packed, Resolved

DOCS = Path(__file__).parents[3] / "docs/data-quality.md"


PAIRS = {
    "pairs": 5000,
    "longer_chosen": 2600,
    "chosen_characters": 2_000_000,
    "rejected_characters": 1_800_000,
}
VERDICTS = {"liked": 2600, "disliked": 2400}
RESOLVED = Resolved(
    epochs=3.0,
    total_steps=500,
    learning_rate=2e-4,
    global_batch_size=32,
    micro_batch_size=4,
    max_length=1024,
    target_modules=("q_proj",),
)


def seen(
    run=None,
    resolved=None,
    *,
    positions: int | None = 8192,
    plain: bool = False,
    packed: Packed | None = None,
    **figures,
) -> Seen:
    parsed = trainer_world.run(**(run or {}))
    rate = resolve.usual_rate(parsed)
    return Seen(
        figures=dataclasses.replace(GOOD, **figures),
        run=parsed,
        resolved=RESOLVED.model_copy(update={"learning_rate": rate, **(resolved or {})}),
        usual_rate=rate,
        positions=positions,
        plain=plain,
        packed=packed,
    )


def full(**more):
    return {"tuning": {"type": "Full"}, **more}


@pytest.mark.parametrize(
    "good",
    [
        seen(),
        seen(full()),
        seen({"method": "DPO"}, **PAIRS),
        seen({"method": "ORPO"}, **PAIRS),
        seen({"method": "KTO"}, **VERDICTS),
    ],
    ids=["LoRA", "Full", "DPO", "ORPO", "KTO"],
)
def test_nothing_is_advised_of_good_data(good):
    assert advice.advice(good) == []


CASES = {
    "one_sided": [
        (
            seen({"method": "KTO"}, liked=5000),
            "every answer is liked: KTO learns from the difference to disliked ones",
            seen({"method": "KTO"}, liked=4000, disliked=1000),
        ),
        (seen({"method": "KTO"}, disliked=5000), "every answer is disliked", seen(disliked=5000)),
    ],
    "many_dropped": [
        (
            seen(
                read=7000, dropped={"EmptyAnswer": 1500, "TooShort": 1}, first={"EmptyAnswer": "a.json row 3"}
            ),
            "1501 of 7000 rows were left out, most of them for EmptyAnswer (1500; the first: a.json row 3)",
            seen(read=7000, dropped={"EmptyAnswer": 1400, "NotDrawn": 5000, "TooLong": 100}),
        )
    ],
    "unprepared": [
        (
            seen({"method": "DPO"}, plain=True, **PAIRS),
            "fine-tune it by SFT first",
            seen(
                {"method": "DPO", "model": {"uri": "pvc://a/b", "adapterFrom": {"uri": "s3://a/b"}}},
                plain=True,
                **PAIRS,
            ),
        ),
        (
            seen({"method": "KTO"}, plain=True, **VERDICTS),
            "KTO refines a model",
            seen({"method": "KTO"}, **VERDICTS),
        ),
    ],
    "few_rows": [
        (seen(rows=49), "49 rows are few for SFT", seen(rows=50)),
        (
            seen({"method": "DPO"}, rows=199, **PAIRS),
            "199 rows are few for DPO",
            seen({"method": "DPO"}, rows=200, **PAIRS),
        ),
    ],
    "cut": [
        (
            seen(cut=600, dropped={"TooLong": 100}, whole=1536),
            (
                "600 of 5350 rows are longer than spec.training.maxLength (1024 tokens) and lose their end, often "
                "the answer; 1536 would"
            ),
            seen(cut=525),
        ),
        (
            seen(cut=600, whole=9000),
            "the model takes no more than 8192: raise it to that and split long rows",
            seen(cut=500, whole=9000),
        ),
        (
            seen(cut=600, whole=2112, positions=1024),
            "the model takes no more than 1024: split long rows, or use a model with a longer context",
            seen(cut=500, positions=1024),
        ),
        (seen(cut=600, whole=9024, positions=None), "; 9024 would keep", seen(cut=0, positions=None)),
    ],
    "nothing_held_out": [(seen(held=0), "nothing is held out", seen(held=10))],
    "few_held_out": [(seen(held=3), "3 held-out rows are too few", seen(held=10))],
    "rate": [
        (
            seen(resolved={"learning_rate": 2.1e-3}),
            "0.0021 is high for SFT of adapters",
            seen(resolved={"learning_rate": 2e-3}),
        ),
        (
            seen(resolved={"learning_rate": 2e-5}),
            "2e-05 is low for SFT of adapters",
            seen(resolved={"learning_rate": 3e-5}),
        ),
        (
            seen(full(), resolved={"learning_rate": 3e-4}),
            "0.0003 is high for SFT of whole weights, training may diverge; 2e-05 is usual",
            seen(full(), resolved={"learning_rate": 1e-6}),
        ),
        (
            seen({"method": "DPO"}, resolved={"learning_rate": 5e-4}, **PAIRS),
            "is high for DPO of adapters",
            seen({"method": "DPO"}, resolved={"learning_rate": 5e-6}, **PAIRS),
        ),
    ],
    "full_on_few": [(seen(full(), rows=999), "unlearn what the model knew", seen(full(), rows=1000))],
    "one_answer": [
        (seen(common_answer=4100), "82% of the rows have the very same answer", seen(common_answer=4000)),
        (seen(rows=60, common_answer=60), "100% of the rows", seen(rows=19, common_answer=19)),
    ],
    "contradictions": [
        (
            seen({"method": "KTO"}, contradictions=52, **VERDICTS),
            "in 52 rows an answer is liked that is disliked",
            seen(contradictions=50),
        )
    ],
    "imbalance": [
        (
            seen({"method": "KTO"}, liked=4800, disliked=200),
            "4800 answers are liked and 200 disliked",
            seen({"method": "KTO"}, liked=4500, disliked=500),
        )
    ],
    "longer_chosen": [
        (
            seen({"method": "DPO"}, **PAIRS | {"longer_chosen": 4500, "chosen_characters": 3_600_000}),
            "in 90% of the pairs the better answer is the longer one, 2.0 times as long on average",
            seen({"method": "DPO"}, **PAIRS | {"longer_chosen": 4500}),
        ),
        (
            seen({"method": "ORPO"}, **PAIRS | {"longer_chosen": 3800, "chosen_characters": 3_600_000}),
            "in 76% of the pairs",
            seen({"method": "ORPO"}, **PAIRS | {"longer_chosen": 3700, "chosen_characters": 3_600_000}),
        ),
    ],
    "many_epochs": [
        (
            seen(resolved={"epochs": 20.0}, rows=400),
            "20 passes over 400 rows",
            seen(resolved={"epochs": 10.0}, rows=400),
        ),
        (seen(resolved={"epochs": 31.0}), "31 passes over 5000 rows", seen(resolved={"epochs": 20.0})),
    ],
    "mixed_prompts": [
        (seen(mixed_prompts=1100), "1100 rows ask what another row asks", seen(mixed_prompts=1000)),
        (
            seen(mixed_prompts=5000),
            "use them as preference pairs",
            seen({"method": "DPO"}, mixed_prompts=5000, **PAIRS),
        ),
    ],
    "echoes": [(seen(echoes=501), "in 501 rows the answer is the prompt", seen(echoes=500))],
    "copies_dropped": [
        (
            seen(read=7000, dropped={"ExactDuplicate": 1000, "NearDuplicate": 500}),
            "1500 of 7000 rows were copies of others",
            seen(read=7000, dropped={"ExactDuplicate": 1400}),
        )
    ],
    "copies_kept": [
        (seen(copies=1001), "1001 rows are copies of others and are learned as often", seen(copies=1000))
    ],
    "dwarfed": [
        (
            seen(sources=(source(), source("s3://data/style.jsonl", 40))),
            "gives 40 of the 5040 rows of an epoch (0.8%) and will hardly be learned; its weight 14 would make that 10%",
            seen(sources=(source(), source("s3://data/style.jsonl", 40, 560))),
        )
    ],
    "shortened": [
        (
            seen(resolved={"max_length": 512}),
            "spec.training.maxLength 1024 is more than the model was made for; 512 is used",
            seen(),
        )
    ],
    "hardly_packed": [
        (
            seen(packed=Packed(packs=700, fill_rate=0.74)),
            "the 700 packs are 74% full, so packing gains little: rows are long beside spec.training.maxLength (1024)",
            seen(packed=Packed(packs=700, fill_rate=0.76)),
        )
    ],
    "endless": [(seen(endless=1), "does not end the assistant's turn", seen())],
    "quoting": [
        (
            seen(quoting=2, quoting_place="tickets.jsonl line 7"),
            "2 rows write special tokens of the tokenizer as words (first: tickets.jsonl line 7)",
            seen(),
        )
    ],
    "plain": [(seen(plain=True), "the model has no chat template", seen())],
    "little_learned": [
        (
            seen(learned=Lengths.of(np.full(5000, 5, np.int32))),
            "only 1.7% of the tokens are learned",
            seen(learned=Lengths.of(np.full(5000, 6, np.int32))),
        )
    ],
    "few_steps": [
        (
            seen(resolved={"total_steps": 9}),
            "9 optimiser steps hardly move a model",
            seen(resolved={"total_steps": 10}),
        )
    ],
    "little_seen": [
        (
            seen(resolved={"epochs": 0.4}),
            "training ends after 40% of the rows",
            seen(resolved={"epochs": 0.5}),
        )
    ],
}
"""Rule: a dataset of which it speaks, what it says, and one of which it does not."""


@pytest.mark.parametrize(
    ("name", "bad", "said", "fine"), [(name, *case) for name, cases in CASES.items() for case in cases]
)
def test_it_is_said_where_it_is_true_and_not_just_short_of_it(name, bad, said, fine):
    rule = next(rule for rule in advice.RULES if rule.__name__ == name)

    assert said in (rule(bad) or "nothing")
    assert rule(fine) is None
    assert rule(bad) in advice.advice(bad)


def test_every_rule_is_tried():
    assert {rule.__name__ for rule in advice.RULES} == set(CASES)


def test_at_most_eight_are_given_and_the_weightiest_first():
    worst = seen(
        resolved={"learning_rate": 0.1, "epochs": 0.1, "total_steps": 1, "max_length": 512},
        rows=20,
        held=0,
        cut=20,
        common_answer=20,
        echoes=20,
        mixed_prompts=20,
        endless=1,
        plain=True,
    )

    told = advice.advice(worst)

    assert len(told) == advice.MOST
    assert told[0].startswith("20 rows are few")
    assert not any("optimiser steps" in sentence for sentence in told)


def test_sentences_fit_into_the_status():
    every = [rule(bad) for name, cases in CASES.items() for bad, _, _ in cases for rule in advice.RULES]

    assert max(len(sentence) for sentence in every if sentence) < 260


def test_the_docs_list_every_rule_and_no_other():
    page = DOCS.read_text(encoding="utf-8")
    listed = page.partition("<!-- advice -->\n")[2].partition("<!-- /advice -->")[0]

    assert listed == "".join(f"- {rule.__doc__}\n" for rule in advice.RULES)
