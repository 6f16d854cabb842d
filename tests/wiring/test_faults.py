"""Rows of docs/faults.md, made anew: one moment of each, and all of them by `make test-faults`."""

import pytest

import fault_table
from fault_table import ROWS

EVERY = 5
"""At every so many API calls here, beginning with another one for each row."""
MEASURED = fault_table.read()


CERTAIN = 14
"""Requests that every life takes: on another machine a status may be written once where it is written twice here."""


def tried() -> list[tuple[str, int]]:
    return [
        (name, moment)
        for number, (name, row) in enumerate(ROWS.items())
        for moment in range(number % min(EVERY, row.moments), min(row.moments, CERTAIN), EVERY)
    ]


@pytest.mark.parametrize(("name", "moment"), tried())
async def test_a_fault_costs_time_and_nothing_else(name, moment):
    found = await fault_table.tried(ROWS[name], moment)
    assert fault_table.kept(ROWS[name], found), found


def test_the_page_shows_what_was_measured():
    text = fault_table.PAGE.read_text()
    assert fault_table.page(text, MEASURED) == text


@pytest.mark.parametrize("name", ROWS)
def test_what_was_measured_keeps_the_pages_promise(name):
    row, found = ROWS[name], MEASURED[name]
    assert len(found) == row.moments
    assert all(fault_table.kept(row, one) for one in found)
