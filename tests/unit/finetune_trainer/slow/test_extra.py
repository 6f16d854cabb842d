"""`training.extra` is held against the fields of TRL's own settings; slow, because TRL is imported for it."""

import re

import pytest

import trainer_runs
import trainer_world
from finetune_trainer import errors, extra

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("method", "said", "sentence"),
    [
        (
            "SFT",
            {"adam_beta_2": 0.9},
            "adam_beta_2: the trainer of SFT has no such setting; did you mean adam_beta2?",
        ),
        (
            "SFT",
            {"desirable_weight": 2.0},
            "desirable_weight: the trainer of SFT has no such setting; remove it (you may set adam_beta1, ",
        ),
        ("DPO", {"loss_typ": ["ipo"]}, "loss_typ: the trainer of DPO has no such setting; "),
        ("SFT", {"learning_rate": 0.1}, "learning_rate: set spec.training.learningRate instead"),
        ("DPO", {"beta": 0.5}, "beta: set spec.training.dpo.beta instead"),
        ("DPO", {"loss_type": ["ipo"]}, "loss_type: set spec.training.dpo.lossType instead"),
        (
            "SFT",
            {"output_dir": "somewhere"},
            "output_dir: the operator sets this itself; remove it (you may set adam_beta1, ",
        ),
        ("SFT", {"push_to_hub": True}, "push_to_hub: the operator sets this itself; remove it"),
        ("SFT", {"adam_beta2": "much"}, "adam_beta2: 'much' does not fit: "),
        ("SFT", {"adam_beta2": 1.5}, "adam_beta2: 1.5 does not fit: "),
        ("DPO", {"loss_weights": "1"}, "loss_weights: '1' does not fit: "),
    ],
)
def test_what_the_trainer_cannot_take_is_refused_by_name(method, said, sentence):
    run = trainer_runs.run(method=method, training={"extra": said})
    with pytest.raises(errors.SettingsDoNotFit, match="^" + re.escape(f"spec.training.extra.{sentence}")):
        extra.check(run)


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("SFT", {"adam_beta2": 0.99, "loss_type": "dft"}),
        ("SFT", {"lr_scheduler_kwargs": {"num_cycles": 0.4}}),
        ("DPO", {"loss_weights": [1.0, 0.2], "use_weighting": True}),
        ("KTO", {"undesirable_weight": 2}),
    ],
)
def test_what_it_knows_is_taken(method, said):
    extra.check(trainer_runs.run(method=method, training={"extra": said}))


@pytest.mark.parametrize("name", ["loss_typ", "output_dir"])
def test_what_the_next_line_would_refuse_is_not_proposed(name):
    with pytest.raises(errors.SettingsDoNotFit) as told:
        extra.check(trainer_runs.run(method="DPO", training={"extra": {name: "ipo"}}))

    assert "loss_type" not in str(told.value)
    assert "loss_weights" in str(told.value)


def test_prepare_refuses_it_before_anything_is_read(tmp_path):
    world = trainer_world.World.at(tmp_path / "pod")
    with pytest.raises(errors.SettingsDoNotFit, match=r"^spec\.training\.extra\.nonsense: "):
        world.prepare(trainer_world.run(training={"extra": {"nonsense": 1}}))
