/* Host functions of ABI 0.2.1 as methods of the Python object `_proxywasm.host` (proxywasm/host.py has their types).
 *
 * Values that the host hands over are written by it straight into a bytes object: proxy_on_memory_allocate makes one
 * and answers the address of its contents, so nothing is copied and nothing is left to free. */
#include "glue.h"

#include <stddef.h>

#define IMPORT(name) __attribute__((import_module("env"), import_name(#name))) uint32_t name

IMPORT(proxy_log)(uint32_t, const char *, size_t);
IMPORT(proxy_get_log_level)(uint32_t *);
IMPORT(proxy_get_current_time_nanoseconds)(uint64_t *);
IMPORT(proxy_set_tick_period_milliseconds)(uint32_t);
IMPORT(proxy_set_effective_context)(uint32_t);
IMPORT(proxy_done)(void);
IMPORT(proxy_get_buffer_bytes)(uint32_t, uint32_t, uint32_t, char **, size_t *);
IMPORT(proxy_set_buffer_bytes)(uint32_t, uint32_t, uint32_t, const char *, size_t);
IMPORT(proxy_get_buffer_status)(uint32_t, uint32_t *, uint32_t *);
IMPORT(proxy_get_header_map_size)(uint32_t, uint32_t *);
IMPORT(proxy_get_header_map_pairs)(uint32_t, char **, size_t *);
IMPORT(proxy_set_header_map_pairs)(uint32_t, const char *, size_t);
IMPORT(proxy_get_header_map_value)(uint32_t, const char *, size_t, char **, size_t *);
IMPORT(proxy_add_header_map_value)(uint32_t, const char *, size_t, const char *, size_t);
IMPORT(proxy_replace_header_map_value)(uint32_t, const char *, size_t, const char *, size_t);
IMPORT(proxy_remove_header_map_value)(uint32_t, const char *, size_t);
IMPORT(proxy_continue_stream)(uint32_t);
IMPORT(proxy_close_stream)(uint32_t);
IMPORT(proxy_send_local_response)(uint32_t, const char *, size_t, const char *, size_t, const char *, size_t,
                                           uint32_t);
IMPORT(proxy_get_status)(uint32_t *, char **, size_t *);
IMPORT(proxy_http_call)(const char *, size_t, const char *, size_t, const char *, size_t, const char *, size_t,
                                 uint32_t, uint32_t *);
IMPORT(proxy_grpc_call)(const char *, size_t, const char *, size_t, const char *, size_t, const char *, size_t,
                                 const char *, size_t, uint32_t, uint32_t *);
IMPORT(proxy_grpc_stream)(const char *, size_t, const char *, size_t, const char *, size_t, const char *,
                                   size_t, uint32_t *);
IMPORT(proxy_grpc_send)(uint32_t, const char *, size_t, uint32_t);
IMPORT(proxy_grpc_cancel)(uint32_t);
IMPORT(proxy_grpc_close)(uint32_t);
IMPORT(proxy_get_shared_data)(const char *, size_t, char **, size_t *, uint32_t *);
IMPORT(proxy_set_shared_data)(const char *, size_t, const char *, size_t, uint32_t);
IMPORT(proxy_register_shared_queue)(const char *, size_t, uint32_t *);
IMPORT(proxy_resolve_shared_queue)(const char *, size_t, const char *, size_t, uint32_t *);
IMPORT(proxy_enqueue_shared_queue)(uint32_t, const char *, size_t);
IMPORT(proxy_dequeue_shared_queue)(uint32_t, char **, size_t *);
IMPORT(proxy_define_metric)(uint32_t, const char *, size_t, uint32_t *);
IMPORT(proxy_increment_metric)(uint32_t, int64_t);
IMPORT(proxy_record_metric)(uint32_t, uint64_t);
IMPORT(proxy_get_metric)(uint32_t, uint64_t *);
IMPORT(proxy_get_property)(const char *, size_t, char **, size_t *);
IMPORT(proxy_set_property)(const char *, size_t, const char *, size_t);
IMPORT(proxy_call_foreign_function)(const char *, size_t, const char *, size_t, char **, size_t *);

enum { STATUS_OK = 0, STATUS_NOT_FOUND = 1, STATUS_EMPTY = 7, MAX_ARGS = 6 };

static PyObject *host_error;

int hostcalls_init(PyObject *error)
{
    host_error = Py_NewRef(error);
    return 0;
}

static PyObject *refuse(uint32_t status, const char *function)
{
    PyObject *error = PyObject_CallFunction(host_error, "Is", (int)status, function);
    if (error != NULL) {
        PyErr_SetObject(host_error, error);
        Py_DECREF(error);
    }
    return NULL;
}

static PyObject *none_or_refuse(uint32_t status, const char *function)
{
    if (status != STATUS_OK)
        return refuse(status, function);
    Py_RETURN_NONE;
}

/* -- values from the host -- */

static PyObject *container(char *data)
{
    return (PyObject *)(data - offsetof(PyBytesObject, ob_sval));
}

__attribute__((export_name("proxy_on_memory_allocate"))) char *memory_allocate(size_t size)
{
    /* contents of the shared empty object must never be written: one spare byte makes it a fresh one */
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(size ? size : 1));
    if (bytes == NULL) {
        PyErr_Clear();
        return NULL; /* the host answers INVALID_MEMORY_ACCESS or INTERNAL_FAILURE to the call under way */
    }
    return PyBytes_AS_STRING(bytes);
}

/* The bytes object that the host filled; it may have filled less than it asked for. */
static PyObject *take(char *data, size_t size)
{
    if (data == NULL)
        return PyBytes_FromStringAndSize(NULL, 0);
    PyObject *bytes = container(data);
    if ((size_t)PyBytes_GET_SIZE(bytes) != size)
        _PyBytes_Resize(&bytes, (Py_ssize_t)size);
    return bytes;
}

static PyObject *take_text(char *data, size_t size)
{
    if (data == NULL)
        return PyUnicode_New(0, 0);
    PyObject *text = PyUnicode_DecodeUTF8(data, (Py_ssize_t)size, "surrogateescape");
    Py_DECREF(container(data));
    return text;
}

/* -- arguments from Python: text (str or bytes) and data (bytes) as a view, numbers as u32 -- */

struct view {
    const char *data;
    size_t size;
    PyObject *owner; /* of a copy, or NULL */
};

struct args {
    PyObject *const *items;
    Py_ssize_t count, next;
    struct view views[MAX_ARGS];
    int used;
    int failed;
};

static struct args args_begin(PyObject *const *items, Py_ssize_t count, Py_ssize_t expected)
{
    struct args args = {.items = items, .count = count};
    if (count != expected) {
        PyErr_Format(PyExc_TypeError, "expected %zd arguments, got %zd", expected, count);
        args.failed = 1;
    }
    return args;
}

static void args_end(struct args *args)
{
    for (int i = 0; i < args->used; i++)
        Py_XDECREF(args->views[i].owner);
}

static uint64_t number(struct args *args)
{
    if (args->failed)
        return 0;
    /* modulo 2^64: the callers narrow, negative deltas wrap as the ABI wants */
    uint64_t value = PyLong_AsUnsignedLongLongMask(args->items[args->next++]);
    if (value == (uint64_t)-1 && PyErr_Occurred())
        args->failed = 1;
    return value;
}

static struct view text(struct args *args)
{
    struct view view = {0};
    if (args->failed)
        return view;
    PyObject *item = args->items[args->next++];
    if (PyBytes_Check(item)) {
        view.data = PyBytes_AS_STRING(item);
        view.size = (size_t)PyBytes_GET_SIZE(item);
    } else if (PyUnicode_Check(item) && PyUnicode_IS_COMPACT_ASCII(item)) {
        view.data = (const char *)PyUnicode_1BYTE_DATA(item);
        view.size = (size_t)PyUnicode_GET_LENGTH(item);
    } else if (PyUnicode_Check(item)) {
        view.owner = PyUnicode_AsEncodedString(item, "utf-8", "surrogateescape");
        if (view.owner != NULL) {
            view.data = PyBytes_AS_STRING(view.owner);
            view.size = (size_t)PyBytes_GET_SIZE(view.owner);
        }
    } else {
        PyErr_Format(PyExc_TypeError, "expected str or bytes, got %.100s", Py_TYPE(item)->tp_name);
    }
    if (view.data == NULL)
        args->failed = 1;
    args->views[args->used++] = view;
    return view;
}

/* Every method reads its arguments, calls the host unless one was wrong, and answers `result`. */
#define METHOD(name, expected, ...)                                                                        \
    static PyObject *host_##name(PyObject *self, PyObject *const *items, Py_ssize_t count)                 \
    {                                                                                                      \
        static const char function[] = "proxy_" #name;                                                     \
        struct args args = args_begin(items, count, expected);                                             \
        uint32_t status = 0;                                                                               \
        PyObject *result = NULL;                                                                           \
        (void)self;                                                                                        \
        __VA_ARGS__                                                                                        \
        args_end(&args);                                                                                   \
        return result;                                                                                     \
    }
#define U32 (uint32_t)number(&args)
#define TEXT text(&args)
#define CALL(call, answer)                                                                                 \
    if (!args.failed) {                                                                                    \
        status = call;                                                                                     \
        result = (answer);                                                                                 \
    }
#define NONE none_or_refuse(status, function)
#define OR_REFUSE(value) (status == STATUS_OK ? (value) : refuse(status, function))
#define OR_NONE(absent, value) (status == (absent) ? Py_NewRef(Py_None) : OR_REFUSE(value))

METHOD(log, 2, uint32_t level = U32; struct view message = TEXT;
       CALL(proxy_log(level, message.data, message.size), NONE))
METHOD(get_log_level, 0, uint32_t level = 0;
       CALL(proxy_get_log_level(&level), OR_REFUSE(PyLong_FromUnsignedLong(level))))
METHOD(get_current_time_nanoseconds, 0, uint64_t now = 0;
       CALL(proxy_get_current_time_nanoseconds(&now), OR_REFUSE(PyLong_FromUnsignedLongLong(now))))
METHOD(set_tick_period_milliseconds, 1, uint32_t period = U32;
       CALL(proxy_set_tick_period_milliseconds(period), NONE))
METHOD(set_effective_context, 1, uint32_t context = U32; CALL(proxy_set_effective_context(context), NONE))
METHOD(done, 0, CALL(proxy_done(), NONE))

METHOD(get_buffer_bytes, 3, uint32_t buffer = U32; uint32_t start = U32; uint32_t size = U32; char *data = NULL;
       size_t length = 0; CALL(proxy_get_buffer_bytes(buffer, start, size, &data, &length),
                               OR_NONE(STATUS_NOT_FOUND, take(data, length))))
METHOD(set_buffer_bytes, 4, uint32_t buffer = U32; uint32_t start = U32; uint32_t size = U32;
       struct view value = TEXT; CALL(proxy_set_buffer_bytes(buffer, start, size, value.data, value.size), NONE))
METHOD(get_buffer_status, 1, uint32_t buffer = U32; uint32_t size = 0; uint32_t unused = 0;
       CALL(proxy_get_buffer_status(buffer, &size, &unused),
            status == STATUS_NOT_FOUND ? PyLong_FromLong(0) : OR_REFUSE(PyLong_FromUnsignedLong(size))))

METHOD(get_header_map_size, 1, uint32_t map = U32; uint32_t size = 0;
       CALL(proxy_get_header_map_size(map, &size), OR_REFUSE(PyLong_FromUnsignedLong(size))))
METHOD(get_header_map_pairs, 1, uint32_t map = U32; char *data = NULL; size_t size = 0;
       CALL(proxy_get_header_map_pairs(map, &data, &size), OR_NONE(STATUS_NOT_FOUND, take(data, size))))
METHOD(set_header_map_pairs, 2, uint32_t map = U32; struct view pairs = TEXT;
       CALL(proxy_set_header_map_pairs(map, pairs.data, pairs.size), NONE))
METHOD(get_header_map_value, 2, uint32_t map = U32; struct view name = TEXT; char *data = NULL; size_t size = 0;
       CALL(proxy_get_header_map_value(map, name.data, name.size, &data, &size),
            OR_NONE(STATUS_NOT_FOUND, take_text(data, size))))
METHOD(add_header_map_value, 3, uint32_t map = U32; struct view name = TEXT; struct view value = TEXT;
       CALL(proxy_add_header_map_value(map, name.data, name.size, value.data, value.size), NONE))
METHOD(replace_header_map_value, 3, uint32_t map = U32; struct view name = TEXT; struct view value = TEXT;
       CALL(proxy_replace_header_map_value(map, name.data, name.size, value.data, value.size), NONE))
METHOD(remove_header_map_value, 2, uint32_t map = U32; struct view name = TEXT;
       CALL(proxy_remove_header_map_value(map, name.data, name.size), NONE))

METHOD(continue_stream, 1, uint32_t stream = U32; CALL(proxy_continue_stream(stream), NONE))
METHOD(close_stream, 1, uint32_t stream = U32; CALL(proxy_close_stream(stream), NONE))
METHOD(send_local_response, 5, uint32_t code = U32; struct view details = TEXT; struct view body = TEXT;
       struct view headers = TEXT; uint32_t grpc = U32;
       CALL(proxy_send_local_response(code, details.data, details.size, body.data, body.size, headers.data,
                                      headers.size, grpc),
            NONE))
METHOD(get_status, 0, uint32_t code = 0; char *data = NULL; size_t size = 0;
       CALL(proxy_get_status(&code, &data, &size),
            OR_REFUSE(Py_BuildValue("IN", (unsigned int)code, take_text(data, size)))))

METHOD(http_call, 5, struct view upstream = TEXT; struct view headers = TEXT; struct view body = TEXT;
       struct view trailers = TEXT; uint32_t timeout = U32; uint32_t id = 0;
       CALL(proxy_http_call(upstream.data, upstream.size, headers.data, headers.size, body.data, body.size,
                            trailers.data, trailers.size, timeout, &id),
            OR_REFUSE(PyLong_FromUnsignedLong(id))))
METHOD(grpc_call, 6, struct view upstream = TEXT; struct view service = TEXT; struct view rpc = TEXT;
       struct view metadata = TEXT; struct view message = TEXT; uint32_t timeout = U32; uint32_t id = 0;
       CALL(proxy_grpc_call(upstream.data, upstream.size, service.data, service.size, rpc.data, rpc.size,
                            metadata.data, metadata.size, message.data, message.size, timeout, &id),
            OR_REFUSE(PyLong_FromUnsignedLong(id))))
METHOD(grpc_stream, 4, struct view upstream = TEXT; struct view service = TEXT; struct view rpc = TEXT;
       struct view metadata = TEXT; uint32_t id = 0;
       CALL(proxy_grpc_stream(upstream.data, upstream.size, service.data, service.size, rpc.data, rpc.size,
                              metadata.data, metadata.size, &id),
            OR_REFUSE(PyLong_FromUnsignedLong(id))))
METHOD(grpc_send, 3, uint32_t id = U32; struct view message = TEXT; uint32_t end = U32;
       CALL(proxy_grpc_send(id, message.data, message.size, end), NONE))
METHOD(grpc_cancel, 1, uint32_t id = U32; CALL(proxy_grpc_cancel(id), NONE))
METHOD(grpc_close, 1, uint32_t id = U32; CALL(proxy_grpc_close(id), NONE))

METHOD(get_shared_data, 1, struct view key = TEXT; char *data = NULL; size_t size = 0; uint32_t cas = 0;
       CALL(proxy_get_shared_data(key.data, key.size, &data, &size, &cas),
            OR_NONE(STATUS_NOT_FOUND, Py_BuildValue("NI", take(data, size), (unsigned int)cas))))
METHOD(set_shared_data, 3, struct view key = TEXT; struct view value = TEXT; uint32_t cas = U32;
       CALL(proxy_set_shared_data(key.data, key.size, value.data, value.size, cas), NONE))
METHOD(register_shared_queue, 1, struct view name = TEXT; uint32_t id = 0;
       CALL(proxy_register_shared_queue(name.data, name.size, &id), OR_REFUSE(PyLong_FromUnsignedLong(id))))
METHOD(resolve_shared_queue, 2, struct view vm = TEXT; struct view name = TEXT; uint32_t id = 0;
       CALL(proxy_resolve_shared_queue(vm.data, vm.size, name.data, name.size, &id),
            OR_NONE(STATUS_NOT_FOUND, PyLong_FromUnsignedLong(id))))
METHOD(enqueue_shared_queue, 2, uint32_t id = U32; struct view value = TEXT;
       CALL(proxy_enqueue_shared_queue(id, value.data, value.size), NONE))
METHOD(dequeue_shared_queue, 1, uint32_t id = U32; char *data = NULL; size_t size = 0;
       CALL(proxy_dequeue_shared_queue(id, &data, &size), OR_NONE(STATUS_EMPTY, take(data, size))))

METHOD(define_metric, 2, uint32_t type = U32; struct view name = TEXT; uint32_t id = 0;
       CALL(proxy_define_metric(type, name.data, name.size, &id), OR_REFUSE(PyLong_FromUnsignedLong(id))))
METHOD(increment_metric, 2, uint32_t id = U32; int64_t delta = (int64_t)number(&args);
       CALL(proxy_increment_metric(id, delta), NONE))
METHOD(record_metric, 2, uint32_t id = U32; uint64_t value = number(&args);
       CALL(proxy_record_metric(id, value), NONE))
METHOD(get_metric, 1, uint32_t id = U32; uint64_t value = 0;
       CALL(proxy_get_metric(id, &value), OR_REFUSE(PyLong_FromUnsignedLongLong(value))))

METHOD(get_property, 1, struct view path = TEXT; char *data = NULL; size_t size = 0;
       CALL(proxy_get_property(path.data, path.size, &data, &size), OR_NONE(STATUS_NOT_FOUND, take(data, size))))
METHOD(set_property, 2, struct view path = TEXT; struct view value = TEXT;
       CALL(proxy_set_property(path.data, path.size, value.data, value.size), NONE))
METHOD(call_foreign_function, 2, struct view name = TEXT; struct view arguments = TEXT; char *data = NULL;
       size_t size = 0; CALL(proxy_call_foreign_function(name.data, name.size, arguments.data, arguments.size, &data,
                                                         &size),
                             OR_REFUSE(take(data, size))))

#define ENTRY(name) {#name, (PyCFunction)(void (*)(void))host_##name, METH_FASTCALL, NULL},
static PyMethodDef methods[] = {
    ENTRY(log) ENTRY(get_log_level) ENTRY(get_current_time_nanoseconds) ENTRY(set_tick_period_milliseconds)
    ENTRY(set_effective_context) ENTRY(done)
    ENTRY(get_buffer_bytes) ENTRY(set_buffer_bytes) ENTRY(get_buffer_status)
    ENTRY(get_header_map_size) ENTRY(get_header_map_pairs) ENTRY(set_header_map_pairs) ENTRY(get_header_map_value)
    ENTRY(add_header_map_value) ENTRY(replace_header_map_value) ENTRY(remove_header_map_value)
    ENTRY(continue_stream) ENTRY(close_stream) ENTRY(send_local_response) ENTRY(get_status)
    ENTRY(http_call) ENTRY(grpc_call) ENTRY(grpc_stream) ENTRY(grpc_send) ENTRY(grpc_cancel) ENTRY(grpc_close)
    ENTRY(get_shared_data) ENTRY(set_shared_data)
    ENTRY(register_shared_queue) ENTRY(resolve_shared_queue) ENTRY(enqueue_shared_queue) ENTRY(dequeue_shared_queue)
    ENTRY(define_metric) ENTRY(increment_metric) ENTRY(record_metric) ENTRY(get_metric)
    ENTRY(get_property) ENTRY(set_property) ENTRY(call_foreign_function)
    {NULL, NULL, 0, NULL},
};

static PyType_Slot host_slots[] = {{Py_tp_methods, methods}, {0, NULL}};
static PyType_Spec host_spec = {
    .name = "_proxywasm.Host",
    .basicsize = sizeof(PyObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = host_slots,
};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "_proxywasm", .m_size = -1};

PyObject *PyInit__proxywasm(void)
{
    PyObject *made = PyModule_Create(&module);
    PyObject *type = made ? PyType_FromSpec(&host_spec) : NULL;
    PyObject *host = type ? PyObject_CallNoArgs(type) : NULL;
    Py_XDECREF(type);
    if (host == NULL || PyModule_AddObjectRef(made, "host", host) < 0) {
        Py_XDECREF(host);
        Py_XDECREF(made);
        return NULL;
    }
    Py_DECREF(host);
    return made;
}
