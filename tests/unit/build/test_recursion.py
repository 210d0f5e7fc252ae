"""Which functions of generated C get a recursion check, and with what value they tell of an exception."""

import re

import pytest
from recursion import guard_recursion
from toolchain import BuildError


def function(name, body, kind="CPyTagged ", params="CPyTagged cpy_r_n"):
    return f"{kind}CPyDef_{name}({params}) {{\n    {body}\n}}\n\n"


@pytest.fixture
def guard(tmp_path):
    """Rewrites the given files; answers the guarded names (without prefix) and the whole text after."""

    def run(*texts):
        paths = []
        for number, text in enumerate(texts):
            path = tmp_path / f"{number}.c"
            path.write_text(text)
            paths.append(path)
        names = guard_recursion(paths)
        return [name.removeprefix("CPyDef_") for name in names], "".join(path.read_text() for path in paths)

    return run


def test_a_function_that_calls_itself(guard):
    names, text = guard(function("f", "return CPyDef_f(cpy_r_n);") + function("leaf", "return 1;"))
    assert names == ["f"]
    assert text.count("Py_EnterRecursiveCall") == text.count("Py_LeaveRecursiveCall") == 1
    assert "static CPyTagged CPyDef_f__unguarded(CPyTagged cpy_r_n) {\n\n    return CPyDef_f(cpy_r_n);" in text
    assert "CPyTagged result = CPyDef_f__unguarded(cpy_r_n);" in text


def test_cycles_across_files_and_what_only_leads_to_them(guard):
    names, _ = guard(
        function("a", "return CPyDef_b(1);") + function("entry", "return CPyDef_a(1);"),
        function("b", "return CPyDef_c(1);"),
        function("c", "return CPyDef_a(1) + CPyDef_leaf(1);") + function("leaf", "return 1;"),
    )
    assert names == ["a", "b", "c"]


def test_a_cycle_through_a_constructor(guard):
    constructor = "PyObject *CPyDef_Endless(void)\n{\n    return CPyDef_make();\n}\n\n"
    names, _ = guard(constructor + function("make", "return CPyDef_Endless();", "PyObject *", "void"))
    assert names == ["Endless", "make"]


def test_virtual_calls_operators_and_properties(guard):
    names, _ = guard(
        function("virtual", "return CPY_GET_METHOD(cpy_r_n);")
        + function("m___Node_____hash__", "return 1;")
        + function("m___f_obj_____call__", "return 1;")
        + function("m___gen_gen_____mypyc_generator_helper__", "return 1;")
        + function("m___Node___size", "return 1;")
        + function("m___Node___plain", "return 1;")
        + "static PyObject *\nm___Node_get_size(m___NodeObject *self, void *closure)\n{\n"
        "    return CPyDef_m___Node___size(self);\n}\n"
    )
    assert names == [
        "m___Node_____hash__",
        "m___Node___size",
        "m___f_obj_____call__",
        "m___gen_gen_____mypyc_generator_helper__",
        "virtual",
    ]


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("PyObject *", "NULL"),
        ("CPyTagged ", "CPY_INT_TAG"),
        ("char ", "2"),
        ("double ", "-113.0"),
        ("int64_t ", "-113"),
        ("uint8_t ", "239"),
        ("tuple_T2IO ", "(tuple_T2IO){CPY_INT_TAG, NULL}"),
        ("tuple_T3T2OCU1F ", "(tuple_T3T2OCU1F){{NULL, 2}, 239, -113.0}"),
        ("tuple_T0 ", "(tuple_T0){1}"),
    ],
)
def test_the_value_that_tells_of_an_exception(guard, kind, error):
    _, text = guard(function("f", "return CPyDef_f(cpy_r_n);", kind))
    assert f"return {error};" in text


def test_parameters_are_handed_on_in_order(guard):
    params = "PyObject *cpy_r_self, CPyTagged cpy_r_a, tuple_T2OO cpy_r_b, double cpy_r_c"
    _, text = guard(function("f", "return CPyDef_f(0, 0, 0, 0);", params=params))
    assert re.search(r"= CPyDef_f__unguarded\(cpy_r_self, cpy_r_a, cpy_r_b, cpy_r_c\);", text)


def test_an_unknown_result_type_is_refused(guard):
    with pytest.raises(BuildError, match=r"CPyDef_f: cannot guard against endless recursion.*VecT"):
        guard(function("f", "return CPyDef_f(cpy_r_n);", "VecT "))
