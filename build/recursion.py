"""Recursion checks for compiled functions.

mypyc calls its own functions directly in C, past Python's recursion counter, and CPython calls operators (`__hash__`,
`__next__`, `__call__`, ...) and properties without counting either. Endless recursion would exhaust the host's stack
and trap the VM. So each function that can be part of a cycle of such calls gets a wrapper that counts. Other calls go
through the interpreter, which counts them itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from toolchain import BuildError

_DEFINITION = re.compile(r"^(PyObject \*|\w+ )(CPyDef_\w+)\((.*)\) ?\n?\{$", re.MULTILINE)
_PROPERTY = re.compile(r"^\w+_[gs]et_\w+\(\w+ \*self, [^)]*\)\n\{$", re.MULTILINE)
_CALL = re.compile(r"\b(CPyDef_\w+)\(")
_VIRTUAL = "CPY_GET_METHOD"
_OPERATOR = re.compile(r"____[a-z]\w*__$")

_ERRORS = {
    "PyObject *": "NULL",
    "CPyTagged": "CPY_INT_TAG",
    "char": "2",
    "double": "-113.0",
    "int64_t": "-113",
    "int32_t": "-113",
    "int16_t": "-113",
    "uint8_t": "239",
}
"""What a function answers, by its C type, to say that it has raised (mypyc `ir/rtypes.py`, `c_undefined`)."""
_ITEM_TYPES = {"O": "PyObject *", "I": "CPyTagged", "C": "char", "F": "double", "8": "int64_t", "4": "int32_t",
               "2": "int16_t", "U1": "uint8_t"}  # fmt: skip
"""Items in the name of a tuple type, such as `tuple_T2IO` (mypyc `TupleNameVisitor`)."""
_ITEM = re.compile(r"T\d+|U1|[OICF842]")

_WRAPPER = """\
static {type}{name}__unguarded({params});
{type}{name}({params}) {{
    if (unlikely(Py_EnterRecursiveCall(" in a compiled function")))
        return {error};
    {type}result = {name}__unguarded({names});
    Py_LeaveRecursiveCall();
    return result;
}}
static {type}{name}__unguarded({params}) {{
"""


def guard_recursion(sources: list[Path]) -> list[str]:
    """Rewrite the generated C in place; answers the names of the functions that got a guard.

    Raises `BuildError` when one that needs a guard has a result of a type that is not known here.
    """
    texts = {path: path.read_text() for path in sources}
    bodies: dict[str, str] = {}
    from_properties: set[str] = set()
    for text in texts.values():
        for match in _DEFINITION.finditer(text):
            bodies[match[2]] = _body(text, match)
        for match in _PROPERTY.finditer(text):
            from_properties.update(_CALL.findall(_body(text, match)))
    calls = {name: set(_CALL.findall(body)) & bodies.keys() for name, body in bodies.items()}
    guarded = {name for name, body in bodies.items() if _VIRTUAL in body or _OPERATOR.search(name)}
    guarded |= from_properties | _on_cycles(calls)
    done: list[str] = []
    for path, text in texts.items():

        def guard(match: re.Match[str]) -> str:
            kind, name, params = match[1], match[2], match[3]
            if name not in guarded:
                return match[0]
            done.append(name)
            names = ", ".join(re.findall(r"(\w+)(?:,|$)", params)) if params != "void" else ""
            return _WRAPPER.format(type=kind, name=name, params=params, names=names, error=_error(kind.rstrip(), name))

        changed = _DEFINITION.sub(guard, text)
        if changed != text:
            path.write_text(changed)
    return sorted(done)


def _body(text: str, definition: re.Match[str]) -> str:
    return text[definition.end() : text.index("\n}\n", definition.end())]


def _error(kind: str, name: str) -> str:
    """C expression of the value that tells of an exception, for a result of type `kind`."""
    if kind in _ERRORS:
        return _ERRORS[kind]
    letters = kind.removeprefix("tuple_")
    items = _ITEM.findall(letters)
    if letters == kind or "".join(items) != letters:
        raise BuildError(f"{name}: cannot guard against endless recursion: its C result type {kind} is not known to "
                         "build/recursion.py. Give the function another result type")  # fmt: skip
    return f"({kind}){_tuple_error(iter(items))}"


def _tuple_error(items: Iterator[str]) -> str:
    item = next(items)
    if not item.startswith("T"):
        return _ERRORS[_ITEM_TYPES[item]]
    size = int(item[1:])
    return "{" + (", ".join(_tuple_error(items) for _ in range(size)) or "1") + "}"


def _on_cycles(calls: dict[str, set[str]]) -> set[str]:
    """Functions from which direct calls lead back to themselves."""
    cyclic: set[str] = set()
    for start in calls:
        reached: set[str] = set()
        pending = list(calls[start])
        while pending:
            name = pending.pop()
            if name not in reached:
                reached.add(name)
                pending.extend(calls[name] - reached)
        if start in reached:
            cyclic.add(start)
    return cyclic
