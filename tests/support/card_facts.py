"""What card and report tell of a run of thirty steps."""

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
        "data_report": None,
        "environment": {"torch": "2.13.0"},
        "provenance": {"job": "team-a/tiny (uid)"},
        "created": "2026-11-22 10:00 UTC",
    }
    return card.Facts(**{**given, **changes})
