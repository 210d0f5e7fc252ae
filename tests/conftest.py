"""Fixtures for tests that need a filter's module."""

import pytest

from tests.building import Builder


@pytest.fixture(scope="session")
def build_filter(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    """`build_filter(source, mode)`: the path of the module."""
    return Builder(tmp_path_factory.mktemp("built"))
