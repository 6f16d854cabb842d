"""Holds a decision to what its row of the table says."""

from finetune_operator.errors.reasons import Reason
from finetune_operator.reconcile.table import TABLE

ROWS = {}
for row in TABLE:
    for one in row.outcomes:
        ROWS.setdefault(one.name, []).append(one)


def hold(decision):
    """AssertionError where the docs would be wrong about `decision`."""
    rows = ROWS.get(decision.rule)
    assert rows, f"{decision.rule!r} stands in no row of the table"
    problems = [_problem(decision, one) for one in rows]
    assert None in problems, f"{decision.rule}: {problems}"


def _problem(decision, row):
    """What the row does not say, or None."""
    undeclared = {type(one) for one in decision.actions} - set(row.does)
    if undeclared:
        return f"does {undeclared}"
    if decision.status is None:
        return None
    if not row.says:
        return "writes a status"
    if row.state is not None and decision.status.state != row.state:
        return f"says {decision.status.state}"
    ready = next(one for one in decision.status.conditions if one.type == "Ready")
    if isinstance(row.says, Reason) and ready.reason != row.says:
        return f"gives the reason {ready.reason}"
    return None
