"""Cheap calls between Python and a WebAssembly instance.

`wasmtime.Func` converts every argument through a tagged union and looks types up on each call, which costs 10 to 100
us. Here functions use wasmtime's unchecked calling convention instead (`wasmtime_func_new_unchecked`,
`wasmtime_func_call_unchecked` in wasmtime's C API `func.h`): arguments and results live in one array of 16-byte slots,
read and written with `struct`. Signatures are therefore checked once, when a module is linked, and never again.

A signature is written like "iiI:i": a letter for each parameter, a colon, and a letter for the result if there is one;
`i` is a 32-bit and `I` a 64-bit integer, both unsigned.
"""

import ctypes
import struct
from collections.abc import Callable
from typing import Any, Final

import wasmtime
from wasmtime import _ffi as ffi

from host_sim.host.memory import InvalidMemoryAccess

SLOT: Final = 16
"""Bytes of a `wasmtime_val_raw_t`: the widest member is a 128-bit vector."""

_LETTERS: Final = {"i32": "i", "i64": "I"}

_HostCallback = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_call_guest = ctypes.CFUNCTYPE(
    ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p
)(("wasmtime_func_call_unchecked", ffi.dll))
_new_host_function = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p
)(("wasmtime_func_new_unchecked", ffi.dll))
_new_trap = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t)(("wasmtime_trap_new", ffi.dll))


class GuestTrap(Exception):
    """The module trapped. `str()` is wasmtime's message, with the Wasm backtrace when the module has names."""


def signature_of(function_type: wasmtime.FuncType) -> str:
    """The signature of `function_type`; "?" stands for a type that no Proxy-Wasm function uses."""
    params = "".join(_LETTERS.get(str(param), "?") for param in function_type.params)
    results = "".join(_LETTERS.get(str(result), "?") for result in function_type.results)
    return f"{params}:{results}"


def slots(letters: str) -> struct.Struct:
    """A `struct` that packs one value a slot, without padding behind the last."""
    fields = ["Q" if letter == "I" else "I" for letter in letters]
    pads = ["8x" if letter == "I" else "12x" for letter in letters]
    last = len(letters) - 1
    return struct.Struct(
        "<" + "".join(f + (p if i < last else "") for i, (f, p) in enumerate(zip(fields, pads, strict=True)))
    )


class Binding:
    """One store and the functions bound to it, in both directions.

    While `allowed` is set, only the host functions it names may be called; any other is a trap.

    A Python exception raised inside a host function unwinds the module as a trap and is raised again, as it was, by
    the guest call that is under way.
    """

    def __init__(self, store: wasmtime.Store) -> None:
        self.store = store
        self._context = ctypes.cast(store._context(), ctypes.c_void_p).value
        self.allowed: frozenset[str] | None = None
        self._raised: BaseException | None = None
        # wasmtime keeps only addresses of these, so they have to live as long as the store.
        self._callbacks: list[Any] = []

    def host_function(
        self, name: str, function_type: wasmtime.FuncType, implementation: Callable[..., int | None], fault: int
    ) -> wasmtime.Func:
        """A function that the module can import.

        `implementation` gets unsigned integers and returns one, or None for no result; `fault` is the result when it
        raises InvalidMemoryAccess.
        """
        params = signature_of(function_type).partition(":")[0]
        layout = slots(params)
        unpack, size = layout.unpack, layout.size
        string_at, write_result = ctypes.string_at, ctypes.c_uint32.from_address

        def callback(_env: int, _caller: int, arguments: int, _count: int) -> int:
            try:
                if self.allowed is not None and name not in self.allowed:
                    return int(_new_trap(b"restricted_callback", 19))
                result = implementation(*unpack(string_at(arguments, size)))
                if result is not None:
                    write_result(arguments).value = result
                return 0
            except InvalidMemoryAccess:
                write_result(arguments).value = fault
                return 0
            except BaseException as error:
                self._raised = error
                return int(_new_trap(b"host function failed", 20))

        native = _HostCallback(callback)
        self._callbacks.append(native)
        raw = ffi.wasmtime_func_t()
        _new_host_function(
            self._context, ctypes.cast(function_type.ptr(), ctypes.c_void_p), ctypes.cast(native, ctypes.c_void_p),
            None, None, ctypes.addressof(raw),
        )  # fmt: skip
        return wasmtime.Func._from_raw(raw)

    def guest_function(self, function: wasmtime.Func) -> Callable[..., int]:
        """A Python callable for an exported function; it returns the result, or 0 if there is none.

        Raises GuestTrap, or whatever a host function raised meanwhile.
        """
        params, _, results = signature_of(function.type(self.store)).partition(":")
        count = max(len(params), len(results))
        values = (ctypes.c_uint32 * (4 * max(count, 1)))()
        trap = ctypes.c_void_p()
        raw = function._func
        context, raw_address = self._context, ctypes.addressof(raw)
        values_address, trap_address = ctypes.addressof(values), ctypes.addressof(trap)
        pack_into = slots(params).pack_into

        def call(*arguments: int, _keep: object = raw) -> int:
            pack_into(values, 0, *arguments)
            error = _call_guest(context, raw_address, values_address, count, trap_address)
            if error or trap.value:
                address, trap.value = trap.value, None
                self._raise(error, address)
            return int(values[0])

        return call

    def _raise(self, error: int | None, trap: int | None) -> None:
        message = ""
        if trap:
            message = str(wasmtime.Trap._from_ptr(ctypes.cast(trap, ctypes.POINTER(ffi.wasm_trap_t))))
        elif error:
            message = str(wasmtime.WasmtimeError._from_ptr(ctypes.cast(error, ctypes.POINTER(ffi.wasmtime_error_t))))
        raised, self._raised = self._raised, None
        if raised is not None:
            raise raised
        raise GuestTrap(message)
