"""Metrics (spec v0.2.1: "Metrics")."""

from host_sim.host.abi import MetricType, Status
from host_sim.host.hostcalls.registry import proxy_family
from host_sim.host.vm import VM

_call = proxy_family()
CALLS = _call.calls


@_call("iiii:i")
def define_metric(vm: VM, type: int, name: int, name_size: int, metric_out: int) -> int:
    text = vm.memory.read(name, name_size).decode("utf-8", "replace")
    if type > MetricType.HISTOGRAM:
        return Status.BAD_ARGUMENT
    vm.memory.write_u32(metric_out, vm.metrics.define(MetricType(type), text))
    return Status.OK


@_call("iI:i")
def increment_metric(vm: VM, metric: int, offset: int) -> int:
    return vm.metrics.increment(metric, offset - (1 << 64) if offset >= 1 << 63 else offset)


@_call("iI:i")
def record_metric(vm: VM, metric: int, value: int) -> int:
    return vm.metrics.record(metric, value)


@_call("ii:i")
def get_metric(vm: VM, metric: int, value_out: int) -> int:
    value = vm.metrics.get(metric)
    if isinstance(value, Status):
        return value
    vm.memory.write_u64(value_out, value)
    return Status.OK
