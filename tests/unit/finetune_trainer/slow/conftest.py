"""These tests train. `-m "not slow"` need not even import them: torch and TRL alone cost seconds."""

from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    del collection_path
    return True if config.getoption("markexpr") == "not slow" else None
