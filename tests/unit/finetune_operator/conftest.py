"""What holds for all tests of the operator."""

from operator_loop import pytest_asyncio_loop_factories

__all__ = ["pytest_asyncio_loop_factories"]
