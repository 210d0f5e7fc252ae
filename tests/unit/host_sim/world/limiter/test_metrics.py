"""The exposition, read back by prometheus-client's parser."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from host_sim.world.limiter import metrics as metrics_module
from host_sim.world.limiter.expressions import Descriptors, Expression
from host_sim.world.limiter.metrics import CallMetrics, LabelsFileError, load_custom_labels

REQUEST: Descriptors = [{}, {"user": "user-1", "group": "free"}]


def samples(metrics: CallMetrics, name: str) -> list[tuple[dict[str, str], float]]:
    return [
        (sample.labels, sample.value)
        for family in text_string_to_metric_families(metrics.exposition())
        for sample in family.samples
        if family.name == name
    ]


def labels_of(expression: str | None, request: Descriptors, **custom: str) -> dict[str, str]:
    """The labels of one call, without the namespace's."""
    metrics = CallMetrics(Expression(expression) if expression is not None else None)
    metrics.set_custom_labels({name: Expression(source) for name, source in custom.items()})
    metrics.authorized("ns", request, calls=1)
    ((labels, value),) = samples(metrics, "authorized_calls")
    assert value == 1
    assert labels.pop("limitador_namespace") == "ns"
    return labels


def test_the_text() -> None:
    metrics = CallMetrics(Expression("descriptors[1]"))
    for _ in range(4):
        metrics.authorized("llm/llm-sim", REQUEST, calls=1)
    metrics.limited_call("llm/llm-sim", REQUEST, "free")
    assert metrics.exposition() == (
        "# HELP authorized_calls Authorized calls\n"
        "# TYPE authorized_calls counter\n"
        'authorized_calls{user="user-1",group="free",limitador_namespace="llm/llm-sim"} 4\n'
        "\n"
        "# HELP limited_calls Limited calls\n"
        "# TYPE limited_calls counter\n"
        'limited_calls{user="user-1",group="free",limitador_namespace="llm/llm-sim"} 1\n'
        "\n"
        "# HELP limitador_up Limitador is running\n"
        "# TYPE limitador_up gauge\n"
        "limitador_up 1\n"
        "\n"
        "# HELP datastore_partitioned Limitador is partitioned from backing datastore\n"
        "# TYPE datastore_partitioned gauge\n"
        "datastore_partitioned 0\n"
    )


def test_counters_appear_with_their_first_hit() -> None:
    families = {family.name for family in text_string_to_metric_families(CallMetrics().exposition())}
    assert families == {"limitador_up", "datastore_partitioned"}


@pytest.mark.parametrize(("name", "label"), [("free", "free"), (None, "")])
def test_limit_name_is_a_label_of_limited_calls_only(name: str | None, label: str) -> None:
    metrics = CallMetrics(limit_name_label=True)
    metrics.authorized("ns", [], calls=1, hits=5)
    metrics.limited_call("ns", [], name)
    assert samples(metrics, "limited_calls") == [({"limitador_namespace": "ns", "limit_name": label}, 1)]
    assert samples(metrics, "authorized_hits") == [({"limitador_namespace": "ns"}, 5)]
    assert metrics.exposition().count("limit_name=") == 1


@pytest.mark.parametrize(
    ("expression", "request_descriptors", "labels"),
    [
        ("descriptors[1]", REQUEST, {"user": "user-1", "group": "free"}),
        ("descriptors[1]", [{}, {"user": "user-1"}], {"user": "user-1"}),
        ("descriptors[1]", [{}], {}),
        ("descriptors[1]", [{}, {}], {}),
        ("descriptors[1]", [{}, {"user": 'a"b\\c\nd'}], {"user": 'a"b\\c\nd'}),
        ("descriptors[1]", [{}, {"user": "Žofie 🦊", "group": ""}], {"user": "Žofie 🦊", "group": ""}),
        ("descriptors[1]", [{}, {"a.b-c": "x"}], {"a_b_c": "x"}),
        ("descriptors[1]", [{}, {"1a": "x"}], {"_1a": "x"}),
        ('{"user": descriptors[1].user, "n": 1}', REQUEST, {"user": "user-1"}),
        ('{"user": descriptors[1].nobody, "n": "1"}', REQUEST, {}),
        ('"x"', REQUEST, {}),
        ("descriptors[1].user", REQUEST, {}),
        ("nobody", REQUEST, {}),
        (None, REQUEST, {}),
    ],
)
def test_default_labels(expression: str | None, request_descriptors: Descriptors, labels: dict[str, str]) -> None:
    assert labels_of(expression, request_descriptors) == labels


def test_custom_labels_replace_default_ones_and_are_left_out_if_they_have_no_text() -> None:
    custom = {
        "user": '"someone"',
        "number": "1",
        "list": "[1]",
        "missing": "descriptors[1].nobody",
        "past": "descriptors[9].a",
    }
    assert labels_of("descriptors[1]", REQUEST, **custom) == {"user": "someone", "group": "free", "number": "1"}


def test_a_request_cannot_take_the_namespace_label() -> None:
    hostile = [{}, {"limitador_namespace": "other", "limitador.namespace": "other", "limit_name": "x"}]
    assert labels_of("descriptors[1]", hostile) == {}


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text(max_size=50), max_size=5))
def test_any_label_value_is_read_back_as_it_was(labels: dict[str, str]) -> None:
    assert labels_of("descriptors[1]", [{}, labels]) == labels


def test_the_number_of_label_sets_is_bounded_and_sums_stay_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_module, "MAX_LABEL_SETS", 10)
    metrics = CallMetrics(Expression("descriptors[1]"))
    for user in range(100):
        metrics.authorized("ns", [{}, {"user": f"user-{user}"}], hits=3)
    found = samples(metrics, "authorized_hits")
    assert len(found) == 11
    assert sum(value for _, value in found) == 300
    assert ({"limitador_overflow": "true"}, 270) in found
    metrics.authorized("ns", [{}, {"user": "user-0"}], hits=1)
    assert ({"user": "user-0", "limitador_namespace": "ns"}, 4) in samples(metrics, "authorized_hits")


@pytest.mark.parametrize("labels", [{"user": "x" * 2000}, {f"l{i}": "x" for i in range(40)}], ids=["long", "many"])
def test_large_label_sets_are_not_kept(labels: dict[str, str]) -> None:
    metrics = CallMetrics(Expression("descriptors[1]"))
    metrics.authorized("ns", [{}, labels], calls=1)
    assert samples(metrics, "authorized_calls") == [({"limitador_overflow": "true"}, 1)]


def test_the_labels_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "labels.yaml"
    path.write_text("user: descriptors[1].user\nbroken: 'a =='\n")
    assert load_custom_labels(path) == {"user": Expression("descriptors[1].user")}
    assert "'broken'" in caplog.text
    path.write_text("")
    assert load_custom_labels(path) == {}
    path.write_text("- a")
    with pytest.raises(LabelsFileError, match="expected a mapping"):
        load_custom_labels(path)
