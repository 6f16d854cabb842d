"""These tests train. `-m "not slow"` need not even import them: torch and TRL alone cost seconds."""

from pathlib import Path

import pytest

from finetune_trainer import tiles


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    del collection_path
    return True if config.getoption("markexpr") == "not slow" else None


@pytest.fixture(autouse=True)
def _trls_own_tiles():
    """Training from packs has the whole process score few tokens at once."""
    yield
    tiles.cut(few=False)
