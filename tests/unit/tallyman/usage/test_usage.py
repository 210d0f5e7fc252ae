import math
from typing import Any

import pytest
from tallyman.usage.usage import BIGGEST, UsageReader


def read(*objects: object) -> tuple[Any, ...]:
    reader = UsageReader()
    for value in objects:
        reader.take(value)
    usage = reader.usage()
    if usage is None:
        return (reader.missing(),)
    assert reader.missing() == ""
    return usage.input, usage.output, usage.total, usage.cached, usage.reasoning


def test_all_fields() -> None:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 20,
        "total_tokens": 31,
        "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }
    assert read(usage) == (10, 20, 31, 4, 5)


def test_the_other_names() -> None:
    usage = {
        "input_tokens": 1,
        "output_tokens": 2,
        "input_tokens_details": {"cached_tokens": 3},
        "output_tokens_details": {"reasoning_tokens": 4},
    }
    assert read(usage) == (1, 2, 3, 3, 4)


@pytest.mark.parametrize(
    ("usage", "found"),
    [
        ({"prompt_tokens": 3, "total_tokens": 3}, (3, None, 3, None, None)),
        ({"prompt_tokens": 3}, (3, None, None, None, None)),
        ({"total_tokens": 0}, (None, None, 0, None, None)),
        ({"total_tokens": 7.0}, (None, None, 7, None, None)),
        ({"total_tokens": BIGGEST}, (None, None, BIGGEST, None, None)),
        ({"total_tokens": 7, "prompt_tokens_details": None}, (None, None, 7, None, None)),
        ({"total_tokens": 7, "prompt_tokens_details": {"cached_tokens": "x"}}, (None, None, 7, None, None)),
        ({"total_tokens": 7, "prompt_tokens_details": [1]}, (None, None, 7, None, None)),
        ({}, ("no_usage",)),
        ({"total_tokens": None, "prompt_tokens": None}, ("no_usage",)),
        ({"prompt_tokens": BIGGEST, "completion_tokens": 1}, ("bad_number",)),
        ("12", ("bad_number",)),
        ([], ("bad_number",)),
        (12, ("bad_number",)),
    ],
)
def test_what_is_there_is_known(usage: object, found: tuple[Any, ...]) -> None:
    assert read(usage) == found


@pytest.mark.parametrize("bad", ["12", True, False, -1, 1.5, math.nan, math.inf, -math.inf, 1e300, BIGGEST + 1, [], {}])
@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens", "total_tokens"])
def test_bad_numbers_are_never_billed(name: str, bad: object) -> None:
    usage: dict[str, object] = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    usage[name] = bad
    assert read(usage) == ("bad_number",)


def test_later_objects_are_merged_field_by_field() -> None:
    assert read({"prompt_tokens": 5, "total_tokens": 5}, {"total_tokens": None, "completion_tokens": 3}) == (
        5,
        3,
        5,
        None,
        None,
    )
    assert read({"prompt_tokens": 5, "completion_tokens": 1}, {"completion_tokens": 3}) == (5, 3, 8, None, None)
    assert read({"total_tokens": 5}, {"total_tokens": "x"}) == ("bad_number",)
    assert read({"total_tokens": "x"}, {"total_tokens": 5}) == (None, None, 5, None, None)
    assert read("x", {"total_tokens": 5}) == (None, None, 5, None, None)
