"""WASI functions about files and sockets: there are none, and these say so as Envoy says it (`exports.cc`).

Standard output and standard error can be synchronised, sized and dated in vain; everything else is no file or not
supported.
"""

from functools import partial
from typing import Final

from host_sim.host.abi import WasiErrno
from host_sim.host.hostcalls.registry import EVERY_VERSION, HostCall
from host_sim.host.vm import VM

_ALWAYS: Final = {
    "fd_advise": ("iIIi", WasiErrno.SUCCESS),
    "fd_close": ("i", WasiErrno.SUCCESS),
    "fd_fdstat_set_flags": ("ii", WasiErrno.NOSYS),
    "fd_filestat_get": ("ii", WasiErrno.BADF),
    "fd_pread": ("iiiIi", WasiErrno.NOSYS),
    "fd_prestat_dir_name": ("iii", WasiErrno.NOSYS),
    "fd_prestat_get": ("ii", WasiErrno.BADF),
    "fd_read": ("iiii", WasiErrno.NOSYS),
    "fd_seek": ("iIii", WasiErrno.SUCCESS),
    "path_create_directory": ("iii", WasiErrno.NOTSUP),
    "path_filestat_get": ("iiiii", WasiErrno.NOTSUP),
    "path_filestat_set_times": ("iiiiIIi", WasiErrno.NOTSUP),
    "path_link": ("iiiiii", WasiErrno.NOTSUP),
    "path_open": ("iiiiiIIii", WasiErrno.NOENT),
    "path_remove_directory": ("iii", WasiErrno.NOTSUP),
    "path_rename": ("iiiiii", WasiErrno.NOTSUP),
    "path_symlink": ("iiiii", WasiErrno.NOTSUP),
    "path_unlink_file": ("iii", WasiErrno.NOTSUP),
    "sock_shutdown": ("ii", WasiErrno.NOTSUP),
}
"""Functions with one answer. `path_link` has a parameter less than WASI's own: so it is in Envoy."""

_ON_OUTPUTS: Final = {
    "fd_allocate": "iII",
    "fd_datasync": "i",
    "fd_fdstat_set_rights": "iII",
    "fd_filestat_set_size": "iI",
    "fd_filestat_set_times": "iIIi",
    "fd_sync": "i",
}
"""Functions that succeed on standard output and error and nowhere else."""

_NOTHING_READ: Final = {
    "fd_readdir": ("iiiIi", WasiErrno.NOTDIR, (4,)),
    "path_readlink": ("iiiiii", WasiErrno.NOTSUP, (5,)),
    "sock_accept": ("iii", WasiErrno.NOTSUP, (2,)),
    "sock_recv": ("iiiiii", WasiErrno.NOTSUP, (4, 5)),
    "sock_send": ("iiiii", WasiErrno.NOTSUP, (4,)),
}
"""Functions that report 0 through the pointers at the given places before they fail."""

_STDOUT, _STDERR = 1, 2


def _always(errno: WasiErrno, _vm: VM, *_arguments: int) -> int:
    return errno


def _on_outputs(_vm: VM, fd: int, *_arguments: int) -> int:
    return WasiErrno.SUCCESS if fd in (_STDOUT, _STDERR) else WasiErrno.BADF


def _nothing_read(errno: WasiErrno, places: tuple[int, ...], vm: VM, *arguments: int) -> int:
    for place in places:
        vm.memory.write_u32(arguments[place], 0)
    return errno


def _fd_tell(vm: VM, fd: int, offset_out: int) -> int:
    if fd not in (_STDOUT, _STDERR):
        return WasiErrno.BADF
    vm.memory.write_u64(offset_out, 0)
    return WasiErrno.SUCCESS


def _fd_renumber(_vm: VM, fd: int, to: int) -> int:
    return WasiErrno.NOTSUP if {fd, to} <= {_STDOUT, _STDERR} else WasiErrno.BADF


def _calls() -> list[HostCall]:
    functions = [(name, params, partial(_always, errno)) for name, (params, errno) in _ALWAYS.items()]
    functions += [(name, params, partial(_on_outputs)) for name, params in _ON_OUTPUTS.items()]
    functions += [
        (name, params, partial(_nothing_read, errno, places)) for name, (params, errno, places) in _NOTHING_READ.items()
    ]
    functions += [("fd_tell", "ii", partial(_fd_tell)), ("fd_renumber", "ii", partial(_fd_renumber))]
    return [HostCall(name, f"{params}:i", call, EVERY_VERSION, WasiErrno.FAULT) for name, params, call in functions]


CALLS: Final = _calls()
