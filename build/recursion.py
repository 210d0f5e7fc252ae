"""Recursion checks for compiled functions.

mypyc calls its own functions directly in C, past Python's recursion counter: endless recursion would exhaust the
host's stack and trap the VM. Each function that can be part of a cycle of such calls gets a wrapper that counts. What
calls through the interpreter is counted by CPython already.
"""

from __future__ import annotations

import re
from pathlib import Path

_DEFINITION = re.compile(r"^(PyObject \*|CPyTagged |char |void |[a-z_0-9]+ |double )(CPyDef_\w+)\((.*)\) \{$", re.MULTILINE)
_CALL = re.compile(r"\b(CPyDef_\w+)\(")
_VIRTUAL = "CPY_GET_METHOD"
_ERRORS = {"PyObject *": "NULL", "CPyTagged ": "CPY_INT_TAG", "char ": "2", "double ": "-113.0"}

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
    """Rewrite the generated C in place; answers the names of the functions that got a guard."""
    texts = {path: path.read_text() for path in sources}
    bodies: dict[str, str] = {}
    for text in texts.values():
        for match in _DEFINITION.finditer(text):
            bodies[match[2]] = text[match.end() : text.index("\n}\n", match.end())]
    calls = {name: set(_CALL.findall(body)) & bodies.keys() for name, body in bodies.items()}
    guarded = {name for name, body in bodies.items() if _VIRTUAL in body} | _on_cycles(calls)
    done: list[str] = []
    for path, text in texts.items():

        def guard(match: re.Match[str]) -> str:
            kind, name, params = match[1], match[2], match[3]
            if name not in guarded or kind not in _ERRORS:
                return match[0]
            done.append(name)
            names = ", ".join(re.findall(r"(\w+)(?:,|$)", params)) if params != "void" else ""
            return _WRAPPER.format(type=kind, name=name, params=params, names=names, error=_ERRORS[kind])

        changed = _DEFINITION.sub(guard, text)
        if changed != text:
            path.write_text(changed)
    return sorted(done)


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
