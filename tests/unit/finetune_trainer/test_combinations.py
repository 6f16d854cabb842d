"""Settings that contradict each other end in a sentence, and those that go together do not."""

import re
from pathlib import Path

import pytest
import trl

import trainer_runs
from finetune_trainer import combinations, errors
from trainer_runs import TRIVIA

SHARDED = {
    "tuning": {"type": "Full", "lora": {"rank": 16, "dropout": 0.0}},
    "resources": {"accelerator": "cuda", "processesPerNode": 4},
}

REFUSED = {
    "spec.training.dpo: SFT has no such settings": {"training": {"dpo": {"beta": 0.1}}},
    "spec.training.groupByLength: packs are all": {"training": {"groupByLength": True, "packing": True}},
    "spec.training.packing: DPO compares": {"method": "DPO", "training": {"packing": True}},
    "spec.training.packing: ORPO compares": {"method": "ORPO", "training": {"packing": True}},
    "spec.training.packing: KTO compares": {"method": "KTO", "training": {"packing": True}},
    "spec.training.groupByLength: KTO draws its rows": {"method": "KTO", "training": {"groupByLength": True}},
    "spec.training.neftuneNoiseAlpha: the noise would also": {"method": "DPO", "training": {"neftuneNoiseAlpha": 5.0}},
    "spec.training.dpo.lossType: DPO has no loss 'sigmod'; use one of": {
        "method": "DPO", "training": {"dpo": {"lossType": ["sigmoid", "sigmod"]}},
    },
    "spec.training.dpo.labelSmoothing: sigmoid would ignore it": {
        "method": "DPO", "training": {"dpo": {"labelSmoothing": 0.1}},
    },
    "spec.training.dpo.lossType: exo_pair needs a spec.training.dpo.labelSmoothing": {
        "method": "DPO", "training": {"dpo": {"lossType": ["exo_pair"]}},
    },
    "spec.training.dpo.lossType: ORPO has one loss": {"method": "ORPO", "training": {"dpo": {"lossType": ["sft"]}}},
    "spec.training.dpo.labelSmoothing: ORPO would ignore it": {
        "method": "ORPO", "training": {"dpo": {"labelSmoothing": 0.1}},
    },
    "spec.training.dpo.lossType: KTO has no loss 'sigmoid'; use one of": {
        "method": "KTO", "training": {"dpo": {"lossType": ["sigmoid"]}},
    },
    "spec.training.dpo.lossType: KTO takes one loss; use one of": {
        "method": "KTO", "training": {"dpo": {"lossType": ["kto", "kto"]}},
    },
    "spec.training.dpo.labelSmoothing: KTO would ignore it": {
        "method": "KTO", "training": {"dpo": {"labelSmoothing": 0.1}},
    },
    "spec.training.earlyStopping: the held-out loss is not measured during training": {"training": {"earlyStopping": {}}},
    "spec.evaluation.keepBest: the held-out loss is not measured during training, so no step": {"evaluation": {"keepBest": True}},
    "spec.evaluation.metrics: bertscore needs a model": {"evaluation": {"metrics": ["bertscore"]}},
    "spec.evaluation.bertScore: no metric asks": {"evaluation": {"bertScore": {"model": {"uri": "hf://a/b"}}}},
    "spec.evaluation.tasks[1].name: another task is called trivia": {"evaluation": {"tasks": [TRIVIA, TRIVIA]}},
    "spec.evaluation.tasks[0]: set exactly one of multipleChoice": {
        "evaluation": {"tasks": [{**TRIVIA, "multipleChoice": {"choices": ["no", "yes"]}}]},
    },
    "spec.evaluation.tasks[0].multipleChoice: set exactly one of choices": {
        "evaluation": {"tasks": [{**TRIVIA, "generate": None, "multipleChoice": {}}]},
    },
    "spec.evaluation.tasks: 17 figures would be measured": {
        "evaluation": {
            "metrics": ["tokenAccuracy", "rouge", "bleu", "chrf", "exactMatch", "bertscore"],
            "bertScore": {"model": {"uri": "hf://a/b"}},
            "tasks": [{**TRIVIA, "name": f"trivia{number}"} for number in range(7)],
        },
    },
    "spec.tuning.lora: Full trains all weights": {"tuning": {"type": "Full", "lora": {"rank": 8}}},
    "spec.output.merged: Full publishes whole weights": {
        "tuning": {"type": "Full", "lora": {"rank": 16, "dropout": 0.0}}, "output": {"merged": True},
    },
    "spec.tuning.quantization: LoRA quantises nothing": {"tuning": {"quantization": {"double": False}}},
    "spec.training.optimizer: adamw_8bit cannot split its state over 4 GPUs": {
        **SHARDED, "training": {"optimizer": "adamw_8bit"},
    },
    "spec.training.optimizer: paged_adamw_32bit cannot split": {
        **SHARDED, "training": {"optimizer": "paged_adamw_32bit"},
    },
    "spec.training.optimizer: adafactor cannot split": {**SHARDED, "training": {"optimizer": "adafactor"}},
    "spec.evaluation.keepBest: where all weights are trained on 4 GPUs": {
        **SHARDED, "evaluation": {"keepBest": True, "everySteps": 2},
    },
    "spec.evaluation.tasks: one process asks them, and 4 GPUs": {**SHARDED, "evaluation": {"tasks": [TRIVIA]}},
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
    {**SHARDED, "training": {"optimizer": "adamw_torch"}, "evaluation": {"everySteps": 2}},
    {
        **SHARDED,
        "resources": {"accelerator": "cpu", "processesPerNode": 4},
        "training": {"optimizer": "adamw_8bit"},
    },
    {**SHARDED, "resources": {"accelerator": "cuda"}, "training": {"optimizer": "adafactor"}},
    {"resources": SHARDED["resources"], "training": {"optimizer": "adamw_8bit"}},
    {"evaluation": {"metrics": ["bertscore"], "bertScore": {"model": {"uri": "hf://a/b"}, "layer": 2}}},
    {
        "evaluation": {
            "metrics": ["tokenAccuracy", "rouge", "bleu", "chrf", "exactMatch"],
            "tasks": [{**TRIVIA, "name": f"trivia{number}"} for number in range(8)],
        }
    },
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
    "spec.evaluation.tasks: no row is held out": {"evaluation": {"tasks": [TRIVIA]}},
}  # fmt: skip


@pytest.mark.parametrize("sentence", NEEDS_ROWS)
def test_what_goes_by_held_out_rows_needs_some(sentence):
    run = trainer_runs.run(**NEEDS_ROWS[sentence])
    combinations.check_held_out(run, rows=1, answered=1)
    with pytest.raises(errors.SettingsDoNotFit, match="^" + re.escape(sentence)):
        combinations.check_held_out(run, rows=0, answered=0)


def test_loss_alone_needs_nothing_held_out():
    combinations.check_held_out(trainer_runs.run(), rows=0, answered=0)


def test_an_answer_leaves_room_for_its_prompt():
    run = trainer_runs.run(evaluation={"tasks": [{**TRIVIA, "generate": {"maxNewTokens": 512}}]})
    combinations.check_room(run, max_length=513)
    sentence = r"^spec\.evaluation\.tasks\[0\]\.generate\.maxNewTokens: 512 tokens leave no room for a prompt: .* share 512 "
    with pytest.raises(errors.SettingsDoNotFit, match=sentence):
        combinations.check_room(run, max_length=512)


def test_metrics_of_answers_need_answers():
    run = trainer_runs.run(evaluation={"metrics": ["loss", "rouge"]})
    combinations.check_held_out(run, rows=3, answered=1)
    with pytest.raises(
        errors.SettingsDoNotFit,
        match=r"^spec\.evaluation\.metrics: rouge compares answers, and no held-out row has one",
    ):
        combinations.check_held_out(run, rows=3, answered=0)
