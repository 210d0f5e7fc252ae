"""Envoy's rule for `stats_tags`, applied to names as the plugin writes them."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_sim.gateway.metric_labels import OWN_LABELS, stats_tags

CONFIGURATION: dict[str, Any] = {"requestData": {"metrics.labels.user": "x", "metrics.labels.user_group": "y"}}

values = st.text(st.characters(exclude_characters="\x1f\0"), max_size=20)


def extract(name: str) -> tuple[str, dict[str, str]]:
    """The name without its tags, and the tags: all matched against the whole name, then removed together."""
    labels: dict[str, str] = {}
    removed: set[int] = set()
    for tag in stats_tags(CONFIGURATION):
        found = re.search(tag["regex"], name)
        if found:
            labels[tag["tag_name"]] = found.group(2)
            removed.update(range(*found.span(1)))
    return "".join(char for index, char in enumerate(name) if index not in removed), labels


@given(st.dictionaries(st.sampled_from(["user", "user_group", *OWN_LABELS]), values, min_size=1))
def test_labels_come_out_of_the_name(labels: dict[str, str]) -> None:
    parts = [f"{label}={value}" for label, value in labels.items()]
    name = "\x1f".join(["wasmcustom.tallyman_tokens_total", *parts, ""])
    assert extract(name) == ("wasmcustom.tallyman_tokens_total", labels)


@pytest.mark.parametrize("name", ["kuadrant.hits", "cluster.llm/llm-sim:80.upstream_rq_total", "http.user=x.rq"])
def test_other_names_stay_as_they_are(name: str) -> None:
    assert extract(name) == (name, {})


def test_a_label_of_the_same_name_is_there_once() -> None:
    tags = stats_tags({"requestData": {"metrics.labels.model": "x"}})
    assert sorted(tag["tag_name"] for tag in tags) == sorted(OWN_LABELS)
