"""Fixtures for tests that need a filter's module, and how hypothesis searches."""

import os

import pytest
from hypothesis import settings

from tests.building import Builder

# In CI the same examples each time, so that a verdict is about the change; elsewhere new ones each time.
settings.register_profile("ci", derandomize=True, print_blob=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


@pytest.fixture(scope="session")
def build_filter(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    """`build_filter(source, mode)`: the path of the module."""
    return Builder(tmp_path_factory.mktemp("built"))
