"""Advice: each rule speaks where it should, and is silent just short of it; of good data nothing is said at all."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import trainer_world
from data_figures import GOOD, source
from finetune_trainer import resolve
from finetune_trainer.data import advice
from finetune_trainer.data.advice import Seen, of_rows
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
    chat: bool | None = None,
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
        usual_epochs=resolve.usual_epochs(figures.get("rows", GOOD.rows)),
        positions=positions,
        chat=not plain if chat is None else chat,
        plain=plain,
        packed=packed,
    )


def full(**more):
    return {"tuning": {"type": "Full"}, **more}


TRAIN = [{"uri": "s3://data/tickets.jsonl"}]
EVAL = {"dataset": {"train": TRAIN, "eval": [{"uri": "s3://data/eval.jsonl"}]}}
NO_FRACTION = {"dataset": {"train": TRAIN, "evalFraction": 0}}
STYLE = "s3://data/style.jsonl"
TEXT = source(form="text")
EPOCHS = {"training": {"epochs": 0.4}}
STEPS = {"training": {"maxSteps": 200}}


def left_out(reason: str, method: str = "SFT") -> Seen:
    """A third of the rows left out for `reason`."""
    first = {reason: "a.json row 3"}
    return seen({"method": method}, read=7000, dropped={reason: 2000, "TooShort": 1}, first=first)


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
            (
                "every answer is liked, and KTO learns from the difference between liked and disliked ones; add disliked answers, "
                "or set spec.method to SFT and spec.dataset.train[0].format to"
            ),
            seen({"method": "KTO"}, liked=4000, disliked=1000),
        ),
        (
            seen({"method": "KTO"}, disliked=5000),
            "disliked ones; add liked answers, and see whether the right column is read as label",
            seen(disliked=5000),
        ),
    ],
    "many_dropped": [
        (
            seen(
                read=7000, dropped={"EmptyAnswer": 1500, "TooShort": 1}, first={"EmptyAnswer": "a.json row 3"}
            ),
            (
                "1501 of 7000 rows were left out, above all for EmptyAnswer (1500; the first: a.json row 3); fill in the empty "
                "turns, or see whether the right columns are read"
            ),
            seen(read=7000, dropped={"EmptyAnswer": 1400, "NotDrawn": 5000, "TooLong": 100}),
        ),
        *(
            (left_out(reason, method), said, seen(read=7000, dropped={reason: 1400}))
            for reason, method, said in (
                ("Blocklisted", "SFT", "; if that is more than you meant, loosen spec.dataset.quality"),
                ("Repetitive", "SFT", "; if that is more than you meant, loosen spec.dataset.quality"),
                ("InEval", "SFT", "; they are in spec.dataset.eval too: take other rows for one of the two"),
                ("NearEval", "SFT", "; they are in spec.dataset.eval too"),
                ("NothingLearned", "SFT", "; remove weight: 0 from the turns that are to be learned"),
                ("NothingLearned", "DPO", "; see whether the right columns are read"),
                ("EmptyText", "SFT", "; fill in the text, or see whether the right column is read"),
                ("IdenticalAnswers", "DPO", "(rejected) answer must differ: see whether the right columns"),
            )
        ),
    ],
    "unprepared": [
        (
            seen({"method": "DPO"}, plain=True, **PAIRS),
            "start from an instruct model, or fine-tune this one with SFT first",
            seen(
                {"method": "DPO", "model": {"uri": "pvc://a/b", "adapterFrom": {"uri": "s3://a/b"}}},
                plain=True,
                **PAIRS,
            ),
        ),
        (
            seen({"method": "KTO"}, chat=False, **VERDICTS),
            "KTO refines a model that already answers, and this one has no chat template",
            seen({"method": "KTO"}, **VERDICTS),
        ),
    ],
    "few_rows": [
        (seen(rows=49), "49 rows for SFT is not much", seen(rows=50)),
        (seen(rows=1), "1 row for SFT is not much", seen(rows=50)),
        (
            seen({"method": "DPO"}, rows=199, **PAIRS),
            "199 rows for DPO is not much",
            seen({"method": "DPO"}, rows=200, **PAIRS),
        ),
    ],
    "cut": [
        (
            seen(cut=600, dropped={"TooLong": 100}, whole=1536),
            (
                "600 of 5350 rows are longer than spec.training.maxLength (1024 tokens) and lose their end, which is often the "
                "answer, or all of what they teach; spec.training.maxLength 1536 would keep 95 % of all rows whole"
            ),
            seen(cut=525),
        ),
        (
            seen(cut=600, whole=1536, sources=(TEXT,), chat=False),
            (
                "(1024 tokens), and what comes after that is not learned; spec.training.maxLength 1536 would keep 95 % of all rows "
                "whole, or split the documents into rows of at most 1024 tokens"
            ),
            seen(cut=525, sources=(TEXT,), chat=False),
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
        (
            seen(cut=600, whole=9024, positions=None),
            "; spec.training.maxLength 9024 would keep",
            seen(cut=0, positions=None),
        ),
    ],
    "nothing_held_out": [
        (
            seen(NO_FRACTION, held=0),
            "nothing is held out, so nobody will know whether the result is better; remove spec.dataset.evalFraction: 0",
            seen(held=10),
        ),
        (seen(NO_FRACTION, held=0, rows=1), "give more rows: one row cannot be both", seen(held=1, rows=1)),
        (seen(EVAL, held=0), "no row of spec.dataset.eval is left", seen(EVAL, held=10)),
    ],
    "few_held_out": [
        (
            seen(held=3, rows=57),
            "3 held-out rows are too few to compare two models; hold out at least 10: set spec.dataset.evalFraction to 0.17",
            seen(held=10),
        ),
        (
            seen(held=1, rows=11),
            "1 held-out row is too few to compare two models; hold out at least 10: add rows",
            seen(held=10),
        ),
        (seen(EVAL, held=5), "; put at least 10 into spec.dataset.eval", seen(EVAL, held=10)),
    ],
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
            "0.0003 is high for SFT of whole weights, so training may diverge; 2e-05 is usual",
            seen(full(), resolved={"learning_rate": 1e-6}),
        ),
        (
            seen({"method": "DPO"}, resolved={"learning_rate": 5e-4}, **PAIRS),
            "is high for DPO of adapters",
            seen({"method": "DPO"}, resolved={"learning_rate": 5e-6}, **PAIRS),
        ),
    ],
    "full_on_few": [
        (seen(full(), rows=999), "forget what it knew; set spec.tuning.type to LoRA", seen(full(), rows=1000))
    ],
    "one_answer": [
        (seen(common_answer=4100), "82% of the rows have the same answer", seen(common_answer=4000)),
        (seen(rows=60, common_answer=60), "100% of the rows", seen(rows=19, common_answer=19)),
    ],
    "contradictions": [
        (
            seen({"method": "KTO"}, contradictions=52, **VERDICTS),
            "in 52 rows the label contradicts another row with the same prompt and the same answer",
            seen(contradictions=50),
        )
    ],
    "swapped": [
        (
            seen({"method": "DPO"}, swapped=52, **PAIRS),
            "52 pairs contradict another pair with the same prompt and the same answers",
            seen({"method": "DPO"}, swapped=50, **PAIRS),
        ),
        (
            seen({"method": "ORPO"}, rows=40, swapped=1, **PAIRS | {"pairs": 40}),
            "1 pair contradicts another pair",
            seen(),
        ),
    ],
    "refusals": [
        (
            seen(refusals=251, refusals_place="a.jsonl line 2"),
            'begin like refusals of another model, such as "As an AI language model" (the first: a.jsonl line 2)',
            seen(refusals=250, refusals_place="a.jsonl line 2"),
        )
    ],
    "broken": [
        (
            seen(broken=51, broken_place="a.jsonl line 2"),
            "51 rows hold broken letters such as Ã© or \ufffd (the first: a.jsonl line 2)",
            seen(broken=50, broken_place="a.jsonl line 2"),
        )
    ],
    "prose": [
        (seen(sources=(TEXT,)), "give questions and answers as messages", seen(sources=(TEXT,), chat=False)),
        (
            seen(sources=(source(), source(rows=5001, form="text"))),
            "rows are plain text, and this model has a chat template",
            seen(sources=(source(), TEXT)),
        ),
    ],
    "rendered": [
        (
            seen(rendered=51, rendered_place="a.jsonl line 2"),
            "51 rows of plain text hold special tokens of the tokenizer (the first: a.jsonl line 2), as if a chat template",
            seen(rendered=50, rendered_place="a.jsonl line 2"),
        )
    ],
    "imbalance": [
        (
            seen({"method": "KTO"}, liked=4800, disliked=200),
            "rarer kind; add more of them, or set spec.training.extra.undesirable_weight to 24, so that both",
            seen({"method": "KTO"}, liked=4500, disliked=500),
        )
    ],
    "longer_chosen": [
        (
            seen({"method": "DPO"}, **PAIRS | {"longer_chosen": 4500, "chosen_characters": 3_600_000}),
            "in 90% of the pairs the better (chosen) answer is the longer one, 2.0 times as long on average",
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
            "20 epochs over 400 rows: the model will learn them by heart; 5 would be usual for so many rows: lower spec.training",
            seen(resolved={"epochs": 10.0}, rows=400),
        ),
        (
            seen({"training": {"maxSteps": 2000}}, resolved={"epochs": 41.6667}, rows=90),
            (
                "41.7 epochs over 90 rows: the model will learn them by heart; 10 would be usual for so many rows: lower "
                "spec.training.maxSteps"
            ),
            seen({"training": {"maxSteps": 200}}, resolved={"epochs": 4.1667}, rows=90),
        ),
        (seen(resolved={"epochs": 31.0}), "31 epochs over 5000 rows", seen(resolved={"epochs": 20.0})),
    ],
    "mixed_prompts": [
        (seen(mixed_prompts=1100), "1100 rows have the prompt of another row", seen(mixed_prompts=1000)),
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
        (seen(copies=1001), "set spec.dataset.quality.duplicates.exact to true", seen(copies=1000))
    ],
    "dwarfed": [
        (
            seen(
                {"dataset": {"train": [*TRAIN, {"uri": STYLE}]}},
                sources=(source(), source(STYLE, 40)),
            ),
            (
                "gives 40 of the 5040 rows of an epoch (0.8%) and will hardly be learned; add rows to it, or set "
                "spec.dataset.train[1].weight to 14, which makes it 10%"
            ),
            seen(
                {"dataset": {"train": [*TRAIN, {"uri": STYLE, "weight": 14}]}},
                sources=(source(), source(STYLE, 40, 560)),
            ),
        ),
        (
            seen(
                {"dataset": {"train": [*TRAIN, {"uri": STYLE, "weight": 4}]}},
                sources=(source(), source(STYLE, 11, 40)),
            ),
            "(0.8%) and will hardly be learned; add rows to it",
            seen(sources=(source(),)),
        ),
    ],
    "shortened": [
        (
            seen(resolved={"max_length": 512}),
            "spec.training.maxLength is 1024, which is more than the model was made for; 512 is used instead",
            seen(),
        )
    ],
    "hardly_packed": [
        (
            seen(packed=Packed(packs=700, fill_rate=0.74)),
            "packs are 74% full, so packing gains little: rows are long compared with spec.training.maxLength (1024); raise it",
            seen(packed=Packed(packs=700, fill_rate=0.76)),
        ),
        (
            seen(packed=Packed(packs=1, fill_rate=0.09)),
            "all rows fit into 1 pack, 9% full, so packing gains little; leave spec.training.packing out",
            seen(packed=Packed(packs=1, fill_rate=0.76)),
        ),
    ],
    "endless": [(seen(endless=1), "does not end the assistant's turn", seen())],
    "quoting": [
        (
            seen(quoting=2, quoting_place="tickets.jsonl line 7"),
            "2 rows have special tokens of the tokenizer in what somebody says (the first: tickets.jsonl line 7)",
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
            "9 optimiser steps hardly change a model; raise spec.training.epochs, or lower spec.training.globalBatchSize",
            seen(resolved={"total_steps": 10}),
        ),
        (
            seen({"training": {"maxSteps": 1}}, resolved={"total_steps": 1}),
            "1 optimiser step hardly changes a model; raise spec.training.maxSteps, or",
            seen(resolved={"total_steps": 10}),
        ),
    ],
    "little_seen": [
        (
            seen(EPOCHS, resolved={"epochs": 0.4}),
            "training ends after 40% of the rows; raise spec.training.epochs to 1 or more, or leave it out",
            seen(resolved={"epochs": 0.5}),
        ),
        (
            seen(STEPS, resolved={"epochs": 0.4}),
            "training ends after 40% of the rows; raise spec.training.maxSteps, or leave it out",
            seen(STEPS, resolved={"epochs": 0.5}),
        ),
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


def test_a_weight_that_would_be_learned_by_heart_is_not_advised():
    weighted = {
        "dataset": {"train": [*TRAIN, {"uri": STYLE, "weight": 4}]}
    }  # 10 rows, which 56 would bring to 10 %
    told = of_rows.dwarfed(seen(weighted, sources=(source(), source(STYLE, 11, 40))))

    assert told is not None
    assert told.endswith("; add rows to it")


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
    assert told[0].startswith("20 rows for SFT is not much")
    assert not any("optimiser steps" in sentence for sentence in told)


def test_sentences_fit_into_the_status():
    every = [rule(bad) for name, cases in CASES.items() for bad, _, _ in cases for rule in advice.RULES]

    assert max(len(sentence) for sentence in every if sentence) < 260


def test_the_docs_list_every_rule_and_no_other():
    page = DOCS.read_text(encoding="utf-8")
    listed = page.partition("<!-- advice -->\n")[2].partition("<!-- /advice -->")[0]

    assert listed == "".join(f"- {rule.__doc__}\n" for rule in advice.RULES)
