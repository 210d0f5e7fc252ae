"""Short ways to evaluate an expression."""

from collections.abc import Callable

import pytest
from tallyman.cel.activation import MapActivation
from tallyman.cel.environment import Environment
from tallyman.cel.values import Value

Evaluate = Callable[..., Value]


def _evaluate(source: str, **attributes: Value) -> Value:
    environment = Environment()
    return environment.compile(source).evaluate(MapActivation(environment, attributes))


@pytest.fixture(scope="session")
def evaluate() -> Evaluate:
    """evaluate(source, root=value, ...): the value of an expression over attributes given as nested maps."""
    return _evaluate
