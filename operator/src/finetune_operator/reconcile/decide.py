"""The state machine at work: the first row of `table.TABLE` that applies decides. Pure: the same World gives the same Decision.

What a rule needs and cannot see it asks for with `look`; the loop gathers it and decides again.
"""

from finetune_operator.reconcile import accept_rules, attempt_rules, live_rules
from finetune_operator.reconcile.case import case
from finetune_operator.reconcile.table import TABLE
from finetune_operator.reconcile.world import Decision, World


def decide(world: World) -> Decision:
    """What to do about one job."""
    found = accept_rules.with_run(case(world))
    found = live_rules.with_resumed(attempt_rules.with_prepared(found))
    for row in TABLE:
        decision = row.rule(found)
        if decision is not None:
            return decision
    raise AssertionError("the last rule always applies")
