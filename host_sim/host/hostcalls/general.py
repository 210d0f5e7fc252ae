"""Logging, clocks, timers, context lifecycle and foreign functions (spec v0.2.1: "Logging", "Clocks", "Timers",
...)."""

from host_sim.host.abi import AbiVersion, LogLevel, Status
from host_sim.host.contexts import RootContext
from host_sim.host.hostcalls.registry import proxy_family
from host_sim.host.vm import VM

_call = proxy_family()
CALLS = _call.calls


class ForeignFunctionFailed(Exception):
    """Raised by a foreign function to give the module another status than OK."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.name)
        self.status = status


@_call("iii:i")
def log(vm: VM, level: int, message: int, size: int) -> int:
    if level > LogLevel.CRITICAL:
        return Status.BAD_ARGUMENT
    vm.context().log(LogLevel(level), vm.memory.read(message, size))
    return Status.OK


@_call("i:i", frozenset({AbiVersion.V0_2_1}))
def get_log_level(vm: VM, level_out: int) -> int:
    vm.memory.write_u32(level_out, vm.surroundings.log_level)
    return Status.OK


@_call("i:i")
def get_current_time_nanoseconds(vm: VM, time_out: int) -> int:
    vm.memory.write_u64(time_out, vm.surroundings.clock.now())
    return Status.OK


@_call("i:i")
def set_tick_period_milliseconds(vm: VM, period: int) -> int:
    root = vm.context().root
    if isinstance(root, RootContext):
        root.set_tick_period(period)
    return Status.OK


@_call("i:i")
def set_effective_context(vm: VM, context_id: int) -> int:
    if context_id not in vm.contexts:
        return Status.BAD_ARGUMENT
    vm.effective_id = context_id
    return Status.OK


@_call(":i")
def done(vm: VM) -> int:
    root = vm.context().root
    return root.done() if isinstance(root, RootContext) else Status.NOT_FOUND


@_call("iii:i")
def get_status(vm: VM, code_out: int, message_out: int, size_out: int) -> int:
    code, message = vm.context().root.status
    vm.memory.write_u32(code_out, code)
    vm.return_bytes(message, message_out, size_out)
    return Status.OK


@_call("iiiiii:i")
def call_foreign_function(
    vm: VM, name: int, name_size: int, argument: int, argument_size: int, result_out: int, size_out: int
) -> int:
    wanted = vm.memory.read(name, name_size).decode("utf-8", "replace")
    data = vm.memory.read(argument, argument_size)
    function = vm.surroundings.foreign_functions.get(wanted)
    if function is None:
        return Status.NOT_FOUND
    status, result = Status.OK, b""
    try:
        result = function(vm.context(), data)
    except ForeignFunctionFailed as failure:
        status = failure.status
    if result_out:
        vm.memory.write_u32(result_out, vm.allocate(result))
    if size_out:
        vm.memory.write_u32(size_out, len(result))
    return status
