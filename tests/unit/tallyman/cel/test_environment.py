"""What an expression depends on, seen before it is evaluated; and how attributes are fetched."""

import pytest
from tallyman.cel.activation import Activation, MapActivation
from tallyman.cel.environment import Environment
from tallyman.cel.errors import NO_SUCH_ATTRIBUTE, CelError
from tallyman.cel.values import Value


class CountingActivation(Activation):
    """Answers from a flat table of paths, and keeps what was asked for."""

    def __init__(self, environment: Environment, values: dict[tuple[str, ...], Value]) -> None:
        super().__init__(environment)
        self.values = values
        self.fetched: list[tuple[str, ...]] = []

    def fetch(self, path: tuple[str, ...]) -> Value:
        self.fetched.append(path)
        if path not in self.values:
            raise CelError(NO_SUCH_ATTRIBUTE, ".".join(path))
        return self.values[path]

    def call(self, name: str, arguments: list[Value]) -> Value:
        return [name, *arguments]


def paths(source: str) -> list[tuple[str, ...]]:
    environment = Environment()
    return [environment.paths[slot] for slot in environment.compile(source).slots]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("request.path", [("request", "path")]),
        ('request.headers["x-y"].z', [("request", "headers", "x-y", "z")]),
        ("request.headers[request.method]", [("request", "headers"), ("request", "method")]),
        ("auth.identity.groups[0].name", [("auth", "identity", "groups")]),
        ("size(auth.identity) > 0 && source.port == 1", [("auth", "identity"), ("source", "port")]),
        ('responseBodyJSON("/usage/total_tokens")', [("responseBodyJSON", "/usage/total_tokens")]),
        ('requestBodyJSON("/mo" + "del") == "m"', [("requestBodyJSON", "/model")]),
        ("has(request.headers.host)", [("request", "headers", "host")]),
        ("groups.all(g, g.name == host.name)", [("groups",), ("host", "name")]),
        ("groups.all(g, .g.name == g)", [("groups",), ("g", "name")]),
        ("1 + 2 == 3", []),
    ],
)
def test_attributes_are_known_when_compiled(source: str, expected: list[tuple[str, ...]]) -> None:
    assert sorted(paths(source)) == sorted(expected)


def test_programs_of_one_environment_share_slots() -> None:
    environment = Environment()
    first = environment.compile("request.path == '/a'")
    second = environment.compile('request["path"] == "/b"')
    assert first.slots == second.slots
    assert environment.slot(("request", "path")) == first.slots[0]


def test_constant_expressions_are_folded() -> None:
    program = Environment().compile('"a,b".split(",").map(x, x + "!") == ["a!", "b!"]')
    folded = Environment().compile('size("abc") * 2 + int("4")')
    assert not program.is_constant
    assert folded.is_constant
    assert folded.constant == 10


@pytest.mark.parametrize("source", ["false && request.path == ''", "true || request.path == ''", "true ? false : a.b"])
def test_constant_conditions_decide_when_compiled(source: str) -> None:
    assert Environment().compile(source).is_constant


def test_an_attribute_is_fetched_once_value_or_error() -> None:
    environment = Environment()
    activation = CountingActivation(environment, {("a",): 1})
    present = environment.compile("a == 1 && a < 2")
    absent = environment.compile("b == 1 || b == 2")
    for _ in range(3):
        assert present.test(activation)
        with pytest.raises(CelError, match="no such attribute: b"):
            absent.evaluate(activation)
    assert activation.fetched == [("a",), ("b",)]


def test_a_kept_error_does_not_grow() -> None:
    environment = Environment()
    activation = CountingActivation(environment, {})
    program = environment.compile("a")
    lengths = set()
    for _ in range(5):
        with pytest.raises(CelError) as caught:
            program.evaluate(activation)
        lengths.add(len(caught.traceback))
    assert len(lengths) <= 2


def test_attributes_are_fetched_only_when_needed() -> None:
    environment = Environment()
    activation = CountingActivation(environment, {("a",): False})
    assert not environment.compile("a && b").test(activation)
    assert activation.fetched == [("a",)]


def test_forget_fetches_again() -> None:
    environment = Environment()
    program = environment.compile("has(response.code)")
    activation = CountingActivation(environment, {})
    assert not program.test(activation)
    activation.values[("response", "code")] = 200
    assert not program.test(activation)
    activation.forget(program.slots[0])
    assert program.test(activation)


def test_forget_under_takes_what_holds_the_prefix_and_what_it_holds() -> None:
    environment = Environment()
    sources = ["response", "response.headers.a", "response.code", "request.path"]
    values: dict[tuple[str, ...], Value] = {tuple(source.split(".")): 1 for source in sources}
    activation = CountingActivation(environment, values)
    programs = [environment.compile(source) for source in sources]
    for program in programs:
        program.evaluate(activation)
    activation.fetched.clear()
    activation.forget_under(("response", "headers"))
    for program in programs:
        program.evaluate(activation)
    assert activation.fetched == [("response",), ("response", "headers", "a")]


def test_put_saves_the_fetch() -> None:
    environment = Environment()
    program = environment.compile("a.b")
    activation = CountingActivation(environment, {})
    activation.put(program.slots[0], 7)
    assert program.evaluate(activation) == 7
    assert activation.fetched == []


def test_paths_interned_after_the_activation_was_made() -> None:
    environment = Environment()
    activation = CountingActivation(environment, {("a",): 1, ("b",): 2})
    assert environment.compile("a + b").evaluate(activation) == 3


def test_a_host_function_with_a_computed_argument_is_called() -> None:
    environment = Environment()
    program = environment.compile('requestBodyJSON("/" + key)')
    assert program.calls == ("requestBodyJSON",)
    activation = CountingActivation(environment, {("key",): "model"})
    assert program.evaluate(activation) == ["requestBodyJSON", "/model"]
    with pytest.raises(CelError):
        program.evaluate(MapActivation(environment, {"key": "model"}))


def test_a_fetch_may_evaluate_another_program_on_the_same_activation() -> None:
    environment = Environment()
    inner = environment.compile('["x", "y"].map(e, e + "!")')
    outer = environment.compile('["a", "b"].map(e, e + string(size(derived)) + e)')

    class Deriving(Activation):
        def fetch(self, path: tuple[str, ...]) -> Value:
            return inner.evaluate(self)

    assert outer.evaluate(Deriving(environment)) == ["a2a", "b2b"]


def test_a_predicate_must_be_a_bool() -> None:
    environment = Environment()
    with pytest.raises(CelError, match="no such overload"):
        environment.compile("1 + 1").test(Activation(environment))


@pytest.mark.parametrize("source", ['request.path == "/a"', '"/a" == request["path"]'])
def test_equality_of_an_attribute_with_a_constant(source: str) -> None:
    environment = Environment()
    program = environment.compile(source)
    assert program.equality() == (environment.slot(("request", "path")), "/a")
    assert program.prefix() is None


@pytest.mark.parametrize("source", ['request.path != "/a"', "request.path == request.host", 'g[0] == "a"', "a == 1"])
def test_other_shapes_are_no_equality(source: str) -> None:
    assert Environment().compile(source).equality() is None


def test_prefix_membership_and_element() -> None:
    environment = Environment()
    slot = environment.slot(("a", "b"))
    assert environment.compile('a.b.startsWith("/v1")').prefix() == (slot, "/v1")
    assert environment.compile('a.b in ["x", "y"]').membership() == (slot, frozenset(("x", "y")))
    assert environment.compile('a.b.split(",").exists(g, g == "free")').element() == (slot, ",", "free")
    assert environment.compile('a.b.split(",").exists(g, h == "free")').element() is None
    assert environment.compile('a.b.exists(g, g == "free")').element() is None


def test_conjuncts_are_the_operands_of_a_top_level_and() -> None:
    environment = Environment()
    activation = MapActivation(environment, {"a": "x", "b": "y", "c": True})
    parts = environment.compile('a == "x" && (b == "y" && c) && ["q"].exists(e, e == a || c)').conjuncts()
    assert [part.test(activation) for part in parts] == [True, True, True, True]
    assert parts[0].equality() == (environment.slot(("a",)), "x")
    assert [part.slots for part in parts[:2]] == [(environment.slot(("a",)),), (environment.slot(("b",)),)]
    assert len(environment.compile("a || b").conjuncts()) == 1


def test_a_conjunct_tells_its_own_dependencies() -> None:
    environment = Environment()
    program = environment.compile('request.path == "/a" && responseBodyJSON("/usage") != null')
    request, response = program.conjuncts()
    assert set(program.slots) == set(request.slots) | set(response.slots)
    assert [environment.paths[slot] for slot in response.slots] == [("responseBodyJSON", "/usage")]
