"""The search for cycles is put off, and never left off."""

import gc

import pytest

from finetune_trainer import cycles


@pytest.fixture(autouse=True)
def as_it_was():
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def test_while_importing_no_cycles_are_sought_and_afterwards_they_are_again():
    with cycles.unsought():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0


def test_an_import_that_fails_leaves_the_search_on():
    with pytest.raises(ImportError), cycles.unsought():
        raise ImportError
    assert gc.isenabled()


def test_a_process_that_reads_rows_still_seeks_cycles_if_seldom():
    before = gc.get_threshold()
    cycles.seldom()
    assert gc.isenabled()
    assert gc.get_threshold() > before
