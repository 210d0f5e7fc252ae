"""The verify step refuses what a Proxy-Wasm host could not run."""

import pytest
import wasmtime
from toolchain import BuildError
from verify import required_exports, verify

ACTIONS = {"vm_start": 1, "configure": 1}


def module(tmp_path, *, imports="", without="", main="(i32.const 0)", configure="(i32.const 1)"):
    """A module with all exports but one, in the text format."""
    functions = []
    for name in sorted(required_exports() - {"memory", without}):
        body, kind = "", ""
        if name == "main":
            kind, body = "(param i32 i32) (result i32)", main
        elif name == "proxy_on_memory_allocate":
            kind, body = "(param i32) (result i32)", "(i32.const 1024)"
        elif name == "proxy_on_vm_start":
            kind, body = "(param i32 i32) (result i32)", "(i32.const 1)"
        elif name == "proxy_on_configure":
            kind, body = "(param i32 i32) (result i32)", configure
        elif name == "proxy_on_context_create":
            kind = "(param i32 i32)"
        functions.append(f'(func (export "{name}") {kind} {body})')
    text = f'(module {imports} (memory (export "memory") 2) {" ".join(functions)})'
    path = tmp_path / "filter.wasm"
    path.write_bytes(wasmtime.wat2wasm(text))
    return path


def test_a_module_that_fits(tmp_path):
    verified = verify(module(tmp_path, imports='(import "env" "proxy_done" (func (result i32)))'), b"{}")
    assert verified.imports == ["env.proxy_done"]
    assert verified.memory_after_configure == 2 * 65536


@pytest.mark.parametrize(
    ("imported", "named"),
    [
        ('(import "wasi_snapshot_preview1" "path_open" (func))', "wasi_snapshot_preview1.path_open"),
        ('(import "env" "emscripten_memcpy" (func))', "env.emscripten_memcpy"),
        ('(import "other" "proxy_log" (func))', "other.proxy_log"),
    ],
)
def test_a_foreign_import(tmp_path, imported, named):
    with pytest.raises(BuildError, match=rf"filter.wasm: imports {named}; allowed are env.proxy_\* and .*fd_write"):
        verify(module(tmp_path, imports=imported))


@pytest.mark.parametrize("name", ["proxy_on_grpc_close", "proxy_abi_version_0_2_1", "_initialize", "main"])
def test_a_missing_export(tmp_path, name):
    with pytest.raises(BuildError, match=f"does not export {name}"):
        verify(module(tmp_path, without=name))


def test_a_module_that_does_not_start(tmp_path):
    with pytest.raises(BuildError, match=r"main failed: (.|\n)*unreachable"):
        verify(module(tmp_path, main="unreachable"))


def test_a_module_that_refuses_its_configuration(tmp_path):
    with pytest.raises(BuildError, match="refuses its configuration"):
        verify(module(tmp_path, configure="(i32.const 0)"), b"{}")


def test_what_is_no_module(tmp_path):
    path = tmp_path / "filter.wasm"
    path.write_bytes(b"\x7fELF")
    with pytest.raises(BuildError, match=r"filter\.wasm: not a WebAssembly module"):
        verify(path)
