"""What the supervisor and the ranks hand each other as files."""

import json

from finetune_trainer.task import Measured, Trained


def test_what_the_ranks_came_to_survives_the_file_also_where_nothing_was_held_out_or_measured():
    trained = Trained(step=6, total_steps=6, epoch=0.75)

    assert Trained.model_validate_json(json.dumps(trained.wire())) == trained


def test_a_loss_beyond_all_perplexities_survives_the_file():
    measured = Measured(loss=900.0)

    assert Measured.model_validate_json(json.dumps(measured.wire())) == measured
