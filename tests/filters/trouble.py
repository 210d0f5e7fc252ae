"""Ways for Python code to go wrong that must not harm the VM: exceptions, endless recursion, memory without end."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Final

DEEP: Final = 100_000


def exception() -> object:
    raise ValueError("as you wished, with " + chr(0xDCFF))


def base_exception() -> object:
    raise SystemExit(3)


# -- recursion, in each way that a call can be made --


def plain(depth: int) -> int:
    return plain(depth + 1) + 1


def floats(depth: int) -> float:
    return floats(depth + 1) + 1.0


def flags(depth: int) -> bool:
    return not flags(depth + 1)


def tuples(depth: int) -> tuple[int, str]:
    number, name = tuples(depth + 1)
    return number + 1, name + "x"


def nothing(depth: int) -> None:
    nothing(depth + 1)
    nothing(depth + 2)


def even(depth: int) -> bool:
    return not odd(depth + 1)


def odd(depth: int) -> bool:
    return not even(depth + 1)


def defaults(depth: int, step: int = 1, *rest: int) -> int:
    return defaults(depth + step, step, *rest) + 1


def by_value(depth: int) -> object:
    call: Callable[[int], object] = by_value
    return [call(depth + 1)]


def nested(depth: int) -> int:
    def inner(level: int) -> int:
        return inner(level + depth) + 1

    return inner(1)


def key_function(depth: int) -> list[int]:
    return sorted([1, 2], key=lambda number: len(key_function(number)))


def generator(depth: int) -> Iterator[int]:
    for number in generator(depth + 1):
        yield number + 1


def delegating(depth: int) -> Iterator[int]:
    yield from delegating(depth + 1)


class Node:
    """Recursion through methods and through each operator that a class may define."""

    def __init__(self, depth: int) -> None:
        self.depth = depth

    def method(self, depth: int) -> int:
        return self.method(depth + 1) + 1

    @property
    def size(self) -> int:
        return self.size + 1

    @staticmethod
    def static(depth: int) -> int:
        return Node.static(depth + 1) + 1

    @classmethod
    def make(cls, depth: int) -> "Node":
        return cls.make(depth + 1)

    def __eq__(self, other: object) -> bool:
        return Node(1) == other

    def __lt__(self, other: "Node") -> bool:
        return sorted([Node(1), Node(2)])[0] is other

    def __hash__(self) -> int:
        return hash((self, 1))

    def __repr__(self) -> str:
        return f"<{self!r}>"

    def __str__(self) -> str:
        return f"<{self}>"

    def __len__(self) -> int:
        return len(self) + 1

    def __bool__(self) -> bool:
        return not self

    def __contains__(self, item: object) -> bool:
        return item in self

    def __getitem__(self, key: int) -> object:
        return self[key + 1]

    def __call__(self, depth: int) -> object:
        return [self(depth + 1)]

    def __add__(self, other: int) -> "Node":
        return self + (other + 1)

    def __iter__(self) -> "Node":
        return iter(self)

    def __next__(self) -> object:
        return [next(self)]

    def __enter__(self) -> "Node":
        with self as entered:
            return entered

    def __exit__(self, *error: object) -> None:
        return None


class Endless:
    """A constructor that never ends."""

    def __init__(self, depth: int) -> None:
        self.next = Endless(depth + 1)


class Failing(Exception):
    def __init__(self) -> None:
        raise Failing


class Base:
    def step(self, depth: int) -> object:
        return depth


class Virtual(Base):
    """Recursion through an overridden method, which compiled code finds in a table."""

    def step(self, depth: int) -> object:
        other: Base = self
        return [other.step(depth + 1)]


class Link:
    """A list as long as memory allows, whose end frees one link after the other."""

    def __init__(self, rest: "Link | None") -> None:
        self.rest = rest


def raise_failing() -> object:
    raise Failing


def caught(depth: int) -> int:
    """Recursion whose handlers recurse again."""
    try:
        return caught(depth + 1) + 1
    except RecursionError:
        return plain(depth) + 1


def nested_lists() -> list[object]:
    nested: list[object] = []
    for _ in range(DEEP):
        nested = [nested]
    return nested


def linked() -> object:
    link: Link | None = None
    for _ in range(DEEP):
        link = Link(link)
    link = None
    return exception()


def growing_list() -> object:
    grown: list[bytes] = []
    while True:
        grown.append(bytes(1 << 20))


def small_objects() -> object:
    grown: list[object] = []
    while True:
        grown.append([str(len(grown))])


def long_text() -> object:
    text = "x"
    while True:
        text += text


TROUBLES: Final[dict[str, Callable[[], object]]] = {
    "exception": exception,
    "base exception": base_exception,
    "plain": lambda: plain(0),
    "floats": lambda: floats(0),
    "flags": lambda: flags(0),
    "tuples": lambda: tuples(0),
    "nothing": lambda: nothing(0),
    "mutual": lambda: even(0),
    "defaults": lambda: defaults(0, 1, 2, 3),
    "by value": lambda: by_value(0),
    "nested function": lambda: nested(1),
    "sort key": lambda: key_function(0),
    "generator": lambda: list(generator(0)),
    "yield from": lambda: list(delegating(0)),
    "method": lambda: Node(0).method(0),
    "property": lambda: Node(0).size,
    "static method": lambda: Node.static(0),
    "class method": lambda: Node.make(0),
    "virtual method": lambda: Virtual().step(0),
    "constructor": lambda: Endless(0),
    "eq": lambda: Node(0) == 1,
    "lt": lambda: Node(0) < Node(1),
    "hash": lambda: hash(Node(0)),
    "repr": lambda: repr(Node(0)),
    "str": lambda: str(Node(0)),
    "len": lambda: len(Node(0)),
    "bool": lambda: bool(Node(0)),
    "contains": lambda: 1 in Node(0),
    "getitem": lambda: Node(0)[0],
    "call": lambda: Node(0)(0),
    "add": lambda: Node(0) + 1,
    "iter": lambda: list(Node(0)),
    "next": lambda: next(Node(0)),
    "with": lambda: Node(0).__enter__(),
    "caught": lambda: caught(0),
    "raising constructor": raise_failing,
    "repr of nested lists": lambda: repr(nested_lists()),
    "comparison of nested lists": lambda: nested_lists() == nested_lists(),
    "json text": lambda: json.loads("[" * DEEP),
    "json objects": lambda: json.loads('{"a":' * DEEP),
    "json value": lambda: json.dumps(nested_lists()),
    "pattern": lambda: re.compile("(" * 5000 + ")" * 5000),
    "linked list": linked,
    "huge bytes": lambda: bytes(int("1" + "0" * 9)),
    "growing list": growing_list,
    "small objects": small_objects,
    "long text": long_text,
}
"""By name. None of them returns."""

MEMORY: Final = ("huge bytes", "growing list", "small objects", "long text")
"""Those that end in a `MemoryError`."""

EXCEPTIONS: Final = {"exception": "ValueError", "base exception": "SystemExit", "linked list": "ValueError"}
"""What those end in that is neither `RecursionError` nor `MemoryError`."""


def expected(name: str) -> str:
    """The name of the exception that a trouble ends in."""
    return EXCEPTIONS.get(name) or ("MemoryError" if name in MEMORY else "RecursionError")
