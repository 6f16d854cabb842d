"""docs/rbac.md as rules: the operator's rights are held to it, in the chart and on a real API server."""

import pathlib
import re

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "rbac.md"
GROUPS = {"core": ""}
Right = tuple[str, str, str]
"""API group, resource, verb."""
IN_THE_CLUSTER = "finetuneprofiles"
IN_ITS_OWN_NAMESPACE = "leases"


def rights() -> set[Right]:
    """Every verb of every row."""
    found = set()
    for row in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in row.split("|")]
        if len(cells) < 5 or not (resource := re.match(r"`([a-z/]+)`", cells[2])):
            continue
        group = GROUPS.get(cells[1], cells[1].strip("`"))
        found |= {(group, resource[1], verb) for verb in cells[3].replace(" ", "").split(",")}
    return found
