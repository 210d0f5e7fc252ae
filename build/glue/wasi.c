/* System calls of wasi-libc that a Proxy-Wasm host need not have, answered here; the linker then drops the imports.
 *
 * What remains imported is fd_write, clock_time_get, random_get, proc_exit and fd_close, which every Envoy since 1.17
 * offers. Signatures are those of wasi_snapshot_preview1.witx as wasi-libc declares them: pointers and sizes as i32. */
#include <stdint.h>
#include <string.h>
#include <wasi/api.h>

#define WASI(name) int32_t __imported_wasi_snapshot_preview1_##name
#define UNUSED __attribute__((unused))

/* No arguments, no environment, no preopened folders. */
static int32_t no_strings(int32_t count, int32_t size)
{
    *(uint32_t *)(uintptr_t)count = 0;
    *(uint32_t *)(uintptr_t)size = 0;
    return 0;
}

WASI(args_sizes_get)(int32_t count, int32_t size) { return no_strings(count, size); }
WASI(args_get)(UNUSED int32_t a, UNUSED int32_t b) { return 0; }
WASI(environ_sizes_get)(int32_t count, int32_t size) { return no_strings(count, size); }
WASI(environ_get)(UNUSED int32_t a, UNUSED int32_t b) { return 0; }
WASI(fd_prestat_get)(UNUSED int32_t a, UNUSED int32_t b) { return __WASI_ERRNO_BADF; }
WASI(fd_prestat_dir_name)(UNUSED int32_t a, UNUSED int32_t b, UNUSED int32_t c) { return __WASI_ERRNO_BADF; }

/* Descriptors 0 to 2 look like terminals: Python's standard streams accept nothing less. */
WASI(fd_fdstat_get)(int32_t fd, int32_t result)
{
    if (fd < 0 || fd > 2)
        return __WASI_ERRNO_BADF;
    __wasi_fdstat_t stat = {.fs_filetype = __WASI_FILETYPE_CHARACTER_DEVICE, .fs_rights_base = __WASI_RIGHTS_FD_WRITE};
    memcpy((void *)(uintptr_t)result, &stat, sizeof stat);
    return 0;
}

WASI(fd_filestat_get)(int32_t fd, int32_t result)
{
    if (fd < 0 || fd > 2)
        return __WASI_ERRNO_BADF;
    __wasi_filestat_t stat = {.filetype = __WASI_FILETYPE_CHARACTER_DEVICE};
    memcpy((void *)(uintptr_t)result, &stat, sizeof stat);
    return 0;
}

WASI(clock_res_get)(UNUSED int32_t clock, int32_t result)
{
    *(uint64_t *)(uintptr_t)result = 1000; /* ns */
    return 0;
}

WASI(sched_yield)(void) { return 0; }
WASI(fd_read)(UNUSED int32_t fd, UNUSED int32_t iovs, UNUSED int32_t count, int32_t result)
{
    *(uint32_t *)(uintptr_t)result = 0; /* end of file */
    return 0;
}
WASI(fd_seek)(UNUSED int32_t a, UNUSED int64_t b, UNUSED int32_t c, UNUSED int32_t d) { return __WASI_ERRNO_SPIPE; }

/* There are no files and no sockets. */
#define REFUSE(name, ...) \
    WASI(name)(__VA_ARGS__) { return __WASI_ERRNO_NOSYS; }
#define I32 UNUSED int32_t
#define I64 UNUSED int64_t

REFUSE(fd_advise, I32 a, I64 b, I64 c, I32 d)
REFUSE(fd_allocate, I32 a, I64 b, I64 c)
REFUSE(fd_datasync, I32 a)
REFUSE(fd_fdstat_set_flags, I32 a, I32 b)
REFUSE(fd_fdstat_set_rights, I32 a, I64 b, I64 c)
REFUSE(fd_filestat_set_size, I32 a, I64 b)
REFUSE(fd_filestat_set_times, I32 a, I64 b, I64 c, I32 d)
REFUSE(fd_pread, I32 a, I32 b, I32 c, I64 d, I32 e)
REFUSE(fd_pwrite, I32 a, I32 b, I32 c, I64 d, I32 e)
REFUSE(fd_readdir, I32 a, I32 b, I32 c, I64 d, I32 e)
REFUSE(fd_renumber, I32 a, I32 b)
REFUSE(fd_sync, I32 a)
REFUSE(fd_tell, I32 a, I32 b)
REFUSE(path_create_directory, I32 a, I32 b, I32 c)
REFUSE(path_filestat_get, I32 a, I32 b, I32 c, I32 d, I32 e)
REFUSE(path_filestat_set_times, I32 a, I32 b, I32 c, I32 d, I64 e, I64 f, I32 g)
REFUSE(path_link, I32 a, I32 b, I32 c, I32 d, I32 e, I32 f, I32 g)
REFUSE(path_open, I32 a, I32 b, I32 c, I32 d, I32 e, I64 f, I64 g, I32 h, I32 i)
REFUSE(path_readlink, I32 a, I32 b, I32 c, I32 d, I32 e, I32 f)
REFUSE(path_remove_directory, I32 a, I32 b, I32 c)
REFUSE(path_rename, I32 a, I32 b, I32 c, I32 d, I32 e, I32 f)
REFUSE(path_symlink, I32 a, I32 b, I32 c, I32 d, I32 e)
REFUSE(path_unlink_file, I32 a, I32 b, I32 c)
REFUSE(poll_oneoff, I32 a, I32 b, I32 c, I32 d)
REFUSE(sock_accept, I32 a, I32 b, I32 c)
REFUSE(sock_recv, I32 a, I32 b, I32 c, I32 d, I32 e, I32 f)
REFUSE(sock_send, I32 a, I32 b, I32 c, I32 d, I32 e)
REFUSE(sock_shutdown, I32 a, I32 b)
