"""Settings that contradict each other end in a sentence, and those that go together do not."""

import re
from pathlib import Path

import pytest
import trl

import trainer_runs
from finetune_trainer import combinations, errors

REFUSED = {
    "spec.training.dpo: SFT has no such settings": {"training": {"dpo": {"beta": 0.1}}},
    "spec.training.groupByLength: packs are all": {"training": {"groupByLength": True, "packing": True}},
    "spec.training.packing: DPO compares": {"method": "DPO", "training": {"packing": True}},
    "spec.training.packing: ORPO compares": {"method": "ORPO", "training": {"packing": True}},
    "spec.training.packing: KTO compares": {"method": "KTO", "training": {"packing": True}},
    "spec.training.groupByLength: KTO draws its rows": {"method": "KTO", "training": {"groupByLength": True}},
    "spec.training.neftuneNoiseAlpha: the noise would also": {"method": "DPO", "training": {"neftuneNoiseAlpha": 5.0}},
    "spec.training.dpo.lossType: 'sigmod' is none of DPO's losses": {
        "method": "DPO", "training": {"dpo": {"lossType": ["sigmoid", "sigmod"]}},
    },
    "spec.training.dpo.labelSmoothing: sigmoid would ignore it": {
        "method": "DPO", "training": {"dpo": {"labelSmoothing": 0.1}},
    },
    "spec.training.dpo.lossType: exo_pair needs a labelSmoothing": {
        "method": "DPO", "training": {"dpo": {"lossType": ["exo_pair"]}},
    },
    "spec.training.dpo.lossType: ORPO has one loss": {"method": "ORPO", "training": {"dpo": {"lossType": ["sft"]}}},
    "spec.training.dpo.labelSmoothing: ORPO would ignore it": {
        "method": "ORPO", "training": {"dpo": {"labelSmoothing": 0.1}},
    },
    "spec.training.dpo.lossType: sigmoid is no loss of KTO": {
        "method": "KTO", "training": {"dpo": {"lossType": ["sigmoid"]}},
    },
    "spec.training.dpo.lossType: kto, kto is no loss of KTO": {
        "method": "KTO", "training": {"dpo": {"lossType": ["kto", "kto"]}},
    },
    "spec.training.dpo.labelSmoothing: KTO would ignore it": {
        "method": "KTO", "training": {"dpo": {"labelSmoothing": 0.1}},
    },
    "spec.training.earlyStopping: nothing measures": {"training": {"earlyStopping": {}}},
    "spec.evaluation.keepBest: nothing measures": {"evaluation": {"keepBest": True}},
    "spec.evaluation.metrics: bertscore needs a model": {"evaluation": {"metrics": ["bertscore"]}},
    "spec.evaluation.bertScore: no metric asks": {"evaluation": {"bertScore": {"model": {"uri": "hf://a/b"}}}},
    "spec.tuning.lora: Full trains all weights": {"tuning": {"type": "Full", "lora": {"rank": 8}}},
    "spec.output.merged: Full publishes whole weights": {
        "tuning": {"type": "Full", "lora": {"rank": 16, "dropout": 0.0}}, "output": {"merged": True},
    },
    "spec.tuning.quantization: LoRA quantises nothing": {"tuning": {"quantization": {"double": False}}},
}  # fmt: skip

ACCEPTED = (
    {},
    {"training": {"packing": True, "neftuneNoiseAlpha": 5.0}, "tuning": {"type": "QLoRA"}},
    {"training": {"groupByLength": True, "neftuneNoiseAlpha": 5.0}},
    {
        "method": "DPO",
        "training": {"dpo": {"beta": 0.2, "lossType": ["robust", "sft"], "labelSmoothing": 0.1}},
    },
    {"method": "ORPO", "training": {"dpo": {"beta": 0.2}}},
    {"method": "KTO", "training": {"dpo": {"lossType": ["apo_zero_unpaired"]}}},
    {"tuning": {"type": "Full", "lora": {"rank": 16, "dropout": 0.0}}},
    {"training": {"earlyStopping": {}}, "evaluation": {"everySteps": 5, "keepBest": True}},
    {"tuning": {"type": "QLoRA", "quantization": {"type": "fp4", "double": False}}},
    {"evaluation": {"metrics": ["bertscore"], "bertScore": {"model": {"uri": "hf://a/b"}, "layer": 2}}},
)


@pytest.mark.parametrize("sentence", REFUSED)
def test_what_contradicts_itself_is_refused(sentence):
    with pytest.raises(errors.SettingsDoNotFit, match="^" + re.escape(sentence)):
        combinations.check(trainer_runs.run(**REFUSED[sentence]))


@pytest.mark.parametrize("changes", ACCEPTED)
def test_what_goes_together_is_not(changes):
    combinations.check(trainer_runs.run(**changes))


def test_the_losses_are_those_of_trl():
    source = (Path(trl.__file__).parent / "trainer" / "dpo_trainer.py").read_text()
    told = re.search(r"Should be one of \[([^\]]*)\]", source)
    assert told
    assert set(re.findall(r"'(\w+)'", told[1])) == combinations.DPO_LOSSES


NEEDS_ROWS = {
    "spec.training.earlyStopping: no row is held out": {
        "training": {"earlyStopping": {}}, "evaluation": {"everySteps": 5},
    },
    "spec.evaluation.keepBest: no row is held out": {"evaluation": {"everySteps": 5, "keepBest": True}},
    "spec.evaluation.gate: no row is held out": {"evaluation": {"gate": ["tuned.loss < base.loss"]}},
    "spec.evaluation.metrics: no row is held out to measure tokenAccuracy on": {
        "evaluation": {"metrics": ["loss", "tokenAccuracy"]},
    },
}  # fmt: skip


@pytest.mark.parametrize("sentence", NEEDS_ROWS)
def test_what_goes_by_held_out_rows_needs_some(sentence):
    run = trainer_runs.run(**NEEDS_ROWS[sentence])
    combinations.check_held_out(run, rows=1, answered=1)
    with pytest.raises(errors.SettingsDoNotFit, match="^" + re.escape(sentence)):
        combinations.check_held_out(run, rows=0, answered=0)


def test_loss_alone_needs_nothing_held_out():
    combinations.check_held_out(trainer_runs.run(), rows=0, answered=0)


def test_metrics_of_answers_need_answers():
    run = trainer_runs.run(evaluation={"metrics": ["loss", "rouge"]})
    combinations.check_held_out(run, rows=3, answered=1)
    with pytest.raises(
        errors.SettingsDoNotFit,
        match=r"^spec\.evaluation\.metrics: rouge compares answers, and no held-out row has one",
    ):
        combinations.check_held_out(run, rows=3, answered=0)
