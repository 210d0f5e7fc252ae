/* Shared by the glue: the interpreter starts (interpreter.c), the host calls in (callbacks.c), Python calls out
 * (hostcalls.c). wasi.c answers the system calls that a Proxy-Wasm host need not have. */
#ifndef GLUE_H
#define GLUE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* The module `_proxywasm`: the single object `host`, one method for each host function. */
PyObject *PyInit__proxywasm(void);

/* Gives the host functions the exception they raise. */
int hostcalls_init(PyObject *host_error);

/* Looks up proxywasm.dispatch.on_* once. */
int callbacks_init(PyObject *dispatch);

/* Writes the pending Python exception to the log and clears it. */
void log_pending_exception(const char *where);

#endif
