"""docs/life-of-a-job.md says what the code does."""

import life_page
from finetune_operator.reconcile.table import TABLE


def test_the_page_is_made_from_the_table():
    assert life_page.PATH.read_text() == life_page.text(), "run `python tests/support/life_page.py`"


def test_every_rule_and_every_action_has_its_words():
    outcomes = [one for row in TABLE for one in row.outcomes]
    assert all(one.when for one in outcomes)
    assert {action for one in outcomes for action in one.does} == set(life_page.DOES)


def test_no_arrow_leads_out_of_an_end():
    assert not [
        edge
        for sim in life_page.stories()
        for edge in sim.edges
        if edge[0] in life_page.ENDS and edge[2] != edge[0]
    ]
