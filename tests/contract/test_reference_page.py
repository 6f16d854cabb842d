"""docs/reference.md is made from the code, and leaves nothing out."""

import datetime as dt
from typing import get_args

import reasons_page
import reference_page
from finetune_operator.api.status import ConditionType, State
from finetune_operator.errors.reasons import Reason
from finetune_operator.reconcile.metrics import Metrics
from finetune_trainer import report
from finetune_trainer.errors import ExitCode
from finetune_trainer.supervisor import serve


def test_the_page_is_of_today():
    assert reference_page.PATH.read_text() == reference_page.text(), (
        "run `python tests/support/reference_page.py`"
    )


def test_every_state_condition_and_code_has_its_words():
    assert list(reference_page.STATES) == list(get_args(State))
    assert list(reference_page.CONDITIONS) == list(get_args(ConditionType))
    assert set(reference_page.CODES) == set(ExitCode)


def test_every_metric_and_reason_is_there():
    page = reference_page.text()
    metrics = [family.name for family in Metrics("x").registry.collect()]
    words = [*metrics, *(one.value for one in Reason), *reasons_page.trainer_reasons()]
    assert [word for word in words if f"`{word}" not in page] == []


def test_what_a_training_pod_exposes_is_there():
    """By asking the collector itself, with every figure set."""
    figures = dict.fromkeys(serve.GAUGES, 1)
    progress = report.Progress(stage="Train", attempt=1, updated_at=dt.datetime.now(dt.UTC), **figures)
    exposed = [family.name for family in serve.ProgressCollector(lambda: progress).collect()]
    page = reference_page.text()
    assert [name for name in exposed if f"`{name}`" not in page] == []
    assert len(exposed) == page.count("`finetune_trainer_")
