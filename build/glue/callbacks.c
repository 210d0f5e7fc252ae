/* The exports of a Proxy-Wasm module: each hands its integers to proxywasm.dispatch and its answer to the host. */
#include "glue.h"

#define EXPORT(type, name) __attribute__((export_name(#name))) type name

/* name, number of arguments, the answer should Python itself fail (dispatch raises nothing, but memory may end) */
#define CALLBACKS(X)                            \
    X(on_context_create, 2, 0)                  \
    X(on_vm_start, 2, 0)                        \
    X(on_configure, 2, 0)                       \
    X(on_tick, 1, 0)                            \
    X(on_queue_ready, 2, 0)                     \
    X(on_foreign_function, 3, 0)                \
    X(on_done, 1, 1)                            \
    X(on_log, 1, 0)                             \
    X(on_delete, 1, 0)                          \
    X(on_request_headers, 3, 1)                 \
    X(on_request_body, 3, 1)                    \
    X(on_request_trailers, 2, 1)                \
    X(on_response_headers, 3, 0)                \
    X(on_response_body, 3, 0)                   \
    X(on_response_trailers, 2, 0)               \
    X(on_new_connection, 1, 1)                  \
    X(on_downstream_data, 3, 1)                 \
    X(on_upstream_data, 3, 1)                   \
    X(on_downstream_connection_close, 2, 0)     \
    X(on_upstream_connection_close, 2, 0)       \
    X(on_http_call_response, 5, 0)              \
    X(on_grpc_receive_initial_metadata, 3, 0)   \
    X(on_grpc_receive, 3, 0)                    \
    X(on_grpc_receive_trailing_metadata, 3, 0)  \
    X(on_grpc_close, 3, 0)

#define ENUM(name, count, fallback) CALL_##name,
enum callback { CALLBACKS(ENUM) CALLBACK_COUNT };

#define NAME(name, count, fallback) #name,
static const char *const names[] = {CALLBACKS(NAME)};

static PyObject *functions[CALLBACK_COUNT], *rescue;

int callbacks_init(PyObject *dispatch)
{
    for (int i = 0; i < CALLBACK_COUNT; i++) {
        functions[i] = PyObject_GetAttrString(dispatch, names[i]);
        if (functions[i] == NULL)
            return -1;
    }
    rescue = PyObject_GetAttrString(dispatch, "rescue");
    return rescue == NULL ? -1 : 0;
}

/* The answer when Python has failed so badly that dispatch could not give one: memory was short, and is back now. */
static uint32_t answer_failure(enum callback which, PyObject *context, uint32_t fallback)
{
    log_pending_exception(names[which]);
    if (context == NULL || which < CALL_on_request_headers || which > CALL_on_upstream_data)
        return fallback;
    PyObject *result = PyObject_CallOneArg(rescue, context);
    uint32_t answer = result ? (uint32_t)PyLong_AsUnsignedLongMask(result) : fallback;
    Py_XDECREF(result);
    if (PyErr_Occurred())
        log_pending_exception("rescue");
    return answer;
}

static uint32_t call(enum callback which, const uint32_t *numbers, size_t count, uint32_t fallback)
{
    PyObject *stack[6] = {NULL}; /* one free place in front, as PY_VECTORCALL_ARGUMENTS_OFFSET promises */
    PyObject *result = NULL;
    uint32_t answer = fallback;
    size_t made = 0;

    while (made < count && (stack[made + 1] = PyLong_FromUnsignedLong(numbers[made])) != NULL)
        made++;
    if (made == count)
        result = PyObject_Vectorcall(functions[which], stack + 1, count | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    if (result != NULL) {
        if (result != Py_None)
            answer = (uint32_t)PyLong_AsUnsignedLongMask(result);
        Py_DECREF(result);
    }
    if (PyErr_Occurred())
        answer = answer_failure(which, stack[1], fallback);
    while (made > 0)
        Py_DECREF(stack[made--]);
    return answer;
}

#define CALL(name, ...)                                                                   \
    call(CALL_##name, (const uint32_t[]){__VA_ARGS__},                                    \
         sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t), FALLBACK_##name)

#define FALLBACK(name, count, fallback) FALLBACK_##name = fallback,
enum { CALLBACKS(FALLBACK) };

/* name and parameters of every callback, by arity and by whether it answers */
#define RETURNS_1(name) \
    EXPORT(uint32_t, proxy_##name)(uint32_t a) { return CALL(name, a); }
#define RETURNS_2(name) \
    EXPORT(uint32_t, proxy_##name)(uint32_t a, uint32_t b) { return CALL(name, a, b); }
#define RETURNS_3(name) \
    EXPORT(uint32_t, proxy_##name)(uint32_t a, uint32_t b, uint32_t c) { return CALL(name, a, b, c); }
#define VOID_1(name) \
    EXPORT(void, proxy_##name)(uint32_t a) { CALL(name, a); }
#define VOID_2(name) \
    EXPORT(void, proxy_##name)(uint32_t a, uint32_t b) { CALL(name, a, b); }
#define VOID_3(name) \
    EXPORT(void, proxy_##name)(uint32_t a, uint32_t b, uint32_t c) { CALL(name, a, b, c); }
#define VOID_5(name)                                                                             \
    EXPORT(void, proxy_##name)(uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e)        \
    {                                                                                            \
        CALL(name, a, b, c, d, e);                                                               \
    }

EXPORT(void, proxy_abi_version_0_2_1)(void) {}

VOID_2(on_context_create)
RETURNS_2(on_vm_start)
RETURNS_2(on_configure)
VOID_1(on_tick)
VOID_2(on_queue_ready)
VOID_3(on_foreign_function)
RETURNS_1(on_done)
VOID_1(on_log)
VOID_1(on_delete)
RETURNS_3(on_request_headers)
RETURNS_3(on_request_body)
RETURNS_2(on_request_trailers)
RETURNS_3(on_response_headers)
RETURNS_3(on_response_body)
RETURNS_2(on_response_trailers)
RETURNS_1(on_new_connection)
RETURNS_3(on_downstream_data)
RETURNS_3(on_upstream_data)
VOID_2(on_downstream_connection_close)
VOID_2(on_upstream_connection_close)
VOID_5(on_http_call_response)
VOID_3(on_grpc_receive_initial_metadata)
VOID_3(on_grpc_receive)
VOID_3(on_grpc_receive_trailing_metadata)
VOID_3(on_grpc_close)
