/* Starts CPython inside the VM, from frozen modules alone: there is no file system. */
#include "glue.h"

#include <stdlib.h>

#include "build_config.h" /* FILTER_MODULE, RECURSION_LIMIT, perhaps COMPILED_GROUP; written by the build */

static void die(const char *what)
{
    log_pending_exception(what);
    fprintf(stderr, "cannot start Python: %s\n", what);
    abort();
}

static void check(PyStatus status)
{
    if (PyStatus_Exception(status)) {
        fprintf(stderr, "cannot start Python: %s\n", status.err_msg ? status.err_msg : "no reason given");
        abort();
    }
}

static void start_interpreter(void)
{
    PyPreConfig preconfig;
    PyPreConfig_InitIsolatedConfig(&preconfig);
    preconfig.utf8_mode = 1;
    check(Py_PreInitialize(&preconfig));

    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    config.site_import = 0;
    config.install_signal_handlers = 0;
    config.pathconfig_warnings = 0;
    config.write_bytecode = 0;
    config.use_frozen_modules = 1;
    config.module_search_paths_set = 1; /* and empty: every module is frozen or built in */
    wchar_t **paths[] = {&config.executable,  &config.base_executable, &config.prefix,       &config.base_prefix,
                         &config.exec_prefix, &config.base_exec_prefix, &config.program_name, &config.home};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        check(PyConfig_SetString(&config, paths[i], L"/"));
    check(PyConfig_SetString(&config, &config.stdlib_dir, L"/lib"));
    check(Py_InitializeFromConfig(&config));
    PyConfig_Clear(&config);
}

static PyObject *import(const char *name)
{
    PyObject *module = PyImport_ImportModule(name);
    if (module == NULL)
        die(name);
    return module;
}

#ifdef COMPILED_GROUP
/* The constants that compiled modules share. They believe to lie in a shared library and ask where that is. */
static void import_group(void)
{
    if (PyModule_AddStringConstant(import(COMPILED_GROUP), "__file__", COMPILED_GROUP) < 0)
        die(COMPILED_GROUP);
}
#else
static void import_group(void) {}
#endif

static void start_filter(void)
{
    import_group();
    PyObject *types = import("proxywasm.types");
    PyObject *host_error = PyObject_GetAttrString(types, "HostError");
    if (host_error == NULL || hostcalls_init(host_error) < 0)
        die("proxywasm.types.HostError");

    PyObject *vm_module = import("proxywasm.vm");
    PyObject *vm = PyObject_GetAttrString(vm_module, "VM");
    PyObject *host = PyObject_GetAttrString(import("_proxywasm"), "host");
    PyObject *done = vm && host ? PyObject_CallMethod(vm, "reset", "O", host) : NULL;
    if (done == NULL)
        die("proxywasm.vm.VM.reset");
    Py_DECREF(done);

    if (callbacks_init(import("proxywasm.dispatch")) < 0)
        die("proxywasm.dispatch");
    Py_SetRecursionLimit(RECURSION_LIMIT);
    import(FILTER_MODULE);
}

/* Called by the host after `_initialize` (specification, section "Integration"). */
__attribute__((export_name("main"))) int glue_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    start_interpreter();
    start_filter();
    return 0;
}

void log_pending_exception(const char *where)
{
    if (!PyErr_Occurred())
        return;
    if (PyErr_ExceptionMatches(PyExc_MemoryError)) {
        PyErr_Clear(); /* and with it all that its frames hold: first of all there must be memory again */
        fprintf(stderr, "uncaught exception in %s\nMemoryError\n", where);
        return;
    }
    fprintf(stderr, "uncaught exception in %s\n", where);
    PyErr_PrintEx(0); /* without keeping it, and all its frames hold, in sys.last_traceback */
}
