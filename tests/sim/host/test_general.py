"""Logging, time, ticks, effective context, foreign functions, shared data, queues, metrics and WASI."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from host_sim.host import ForeignFunctionFailed, Host, LogLevel, MetricType, StatsTag, Status, SystemClock
from tests.sim.host.guest import HOST_FUNCTIONS, Guest, scripted_module


def tick(load, script, **options):
    guest, plugin = load(proxy_on_tick=script, **options)
    plugin.tick()
    assert "proxy_on_tick" in guest.names()
    return guest, plugin


def test_logs_with_levels(load):
    def script(guest, *_):
        for level in range(6):
            assert (yield "proxy_log", level, guest.put(f"at {level}")) == 0
        assert (yield "proxy_log", 6, guest.put("x")) == 2
        assert (yield "proxy_get_log_level", guest.at(0)) == 0
        assert guest.u32(0) == 1

    _, plugin = tick(load, script, options={"log_level": LogLevel.DEBUG})
    assert [(record.level, record.text) for record in plugin.logs] == [
        (LogLevel(level), f"at {level}") for level in range(1, 6)
    ]


def test_logs_keep_the_latest(load):
    def script(guest, *_):
        for _ in range(100):
            yield "proxy_log", 4, 0, 1

    _, plugin = load(proxy_on_tick=script)
    for _ in range(101):
        plugin.tick()
    assert len(plugin.logs) == 10_000


def test_clocks(load, clock):
    clock.advance(1.5)

    def script(guest, *_):
        assert (yield "proxy_get_current_time_nanoseconds", guest.at(0)) == 0
        assert (yield "clock_time_get", 0, 0, guest.at(1)) == 0
        assert (yield "clock_time_get", 1, 0, guest.at(2)) == 0
        assert (guest.u64(0), guest.u64(1), guest.u64(2)) == (clock.now(), clock.now(), 1_500_000_000)
        assert (yield "clock_time_get", 2, 0, guest.at(2)) == 58
        assert (yield "clock_res_get", 1, guest.at(2)) == 0
        assert guest.u64(2) == 1
        assert (yield "clock_res_get", 9, guest.at(2)) == 58

    tick(load, script)


def test_ticks_come_with_their_period_and_can_be_changed(load, clock):
    times = []

    def on_configure(guest, *_):
        assert (yield "proxy_set_tick_period_milliseconds", 100) == 0
        return 1

    def on_tick(guest, *_):
        times.append(clock.monotonic() // 1_000_000)
        if len(times) == 2:
            assert (yield "proxy_set_tick_period_milliseconds", 500) == 0
        if len(times) == 4:
            assert (yield "proxy_set_tick_period_milliseconds", 0) == 0

    load(proxy_on_configure=on_configure, proxy_on_tick=on_tick)
    clock.advance(10)
    assert times == [100, 200, 700, 1200]


def test_ticks_on_the_systems_clock():
    def on_configure(guest, *_):
        yield "proxy_set_tick_period_milliseconds", 1
        return 1

    clock = SystemClock()
    guest = Guest(proxy_on_configure=on_configure)
    guest.load(b"", Host(scripted_module(), clock=clock, cache=None))
    while "proxy_on_tick" not in guest.names():
        delay = clock.run_due()
        assert delay is not None
        assert delay <= 0.001


def test_effective_context(load):
    def script(guest, *_):
        assert (yield "proxy_set_effective_context", 99) == 2
        assert (yield "proxy_set_effective_context", 2) == 0
        assert (yield "proxy_get_property", guest.put("request\0protocol"), guest.at(0), guest.at(1)) == 0
        assert (yield "proxy_set_effective_context", 1) == 0
        assert (yield "proxy_get_property", guest.put("request\0protocol"), guest.at(0), guest.at(1)) == 1

    guest, plugin = load(proxy_on_tick=script)
    with plugin.stream():
        plugin.tick()
        del guest.scripts["proxy_on_tick"]


def test_foreign_functions(make_host, load):
    host = make_host(scripted_module())

    def refuse(context, argument):
        raise ForeignFunctionFailed(Status.UNIMPLEMENTED)

    host.foreign_functions["twice"] = lambda context, argument: argument * 2
    host.foreign_functions["refuse"] = refuse

    def script(guest, *_):
        call = "proxy_call_foreign_function"
        assert (yield call, guest.put("twice"), guest.put("ab"), guest.at(0), guest.at(1)) == 0
        assert guest.returned() == b"abab"
        assert (yield call, guest.put("twice"), guest.put("ab"), 0, 0) == 0
        assert (yield call, guest.put("refuse"), guest.put(""), guest.at(0), guest.at(1)) == 12
        assert (yield call, guest.put("unknown"), guest.put(""), guest.at(0), guest.at(1)) == 1

    tick(load, script, host=host)


def test_shared_data_with_compare_and_swap(load):
    def script(guest, *_):
        get = ("proxy_get_shared_data", guest.put("k"), guest.at(0), guest.at(1), guest.at(2))
        assert (yield get) == 1
        assert (yield "proxy_set_shared_data", guest.put("k"), guest.put("one"), 77) == 0
        assert (yield get) == 0
        first = guest.u32(2)
        assert (guest.returned(), first > 0) == (b"one", True)
        assert (yield "proxy_set_shared_data", guest.put("k"), guest.put("two"), first) == 0
        assert (yield "proxy_set_shared_data", guest.put("k"), guest.put("three"), first) == 8
        assert (yield "proxy_set_shared_data", guest.put("k"), guest.put("four"), 0) == 0
        assert (yield get) == 0
        assert guest.returned() == b"four"

    tick(load, script)


def test_shared_data_belongs_to_the_vm_id(load):
    def write(guest, *_):
        assert (yield "proxy_set_shared_data", guest.put("k"), guest.put("v"), 0) == 0

    def read(status):
        def script(guest, *_):
            got = yield "proxy_get_shared_data", guest.put("k"), guest.at(0), guest.at(1), guest.at(2)
            assert got == status

        return script

    guest, _ = tick(load, write, vm_id="a")
    tick(load, read(0), host=guest.host, vm_id="a", own_vm=True)
    tick(load, read(1), host=guest.host, vm_id="b")


def test_shared_queues(load):
    taken = []

    def script(guest, *_):
        name = guest.put("q")
        assert (yield "proxy_resolve_shared_queue", guest.put(""), name, guest.at(0)) == 1
        assert (yield "proxy_register_shared_queue", name, guest.at(0)) == 0
        assert (yield "proxy_resolve_shared_queue", guest.put("vm"), name, guest.at(1)) == 0
        assert guest.u32(0) == guest.u32(1) == 1
        assert (yield "proxy_resolve_shared_queue", guest.put("other"), name, guest.at(1)) == 1
        assert (yield "proxy_dequeue_shared_queue", 1, guest.at(2), guest.at(3)) == 7
        assert (yield "proxy_dequeue_shared_queue", 9, guest.at(2), guest.at(3)) == 1
        assert (yield "proxy_enqueue_shared_queue", 9, guest.put("x")) == 1
        assert (yield "proxy_enqueue_shared_queue", 1, guest.put("a")) == 0
        assert (yield "proxy_enqueue_shared_queue", 1, guest.put("b")) == 0

    def on_ready(guest, context, token):
        assert (yield "proxy_dequeue_shared_queue", token, guest.at(0), guest.at(1)) == 0
        taken.append(guest.returned())

    guest, _ = tick(load, script, vm_id="vm", proxy_on_queue_ready=on_ready)
    assert taken == [b"a", b"b"]
    assert guest.calls[-1] == ("proxy_on_queue_ready", (1, 1))


def metrics_script(guest, *_):
    for type, name in enumerate(("requests.by-model", "in.flight", "latency")):
        assert (yield "proxy_define_metric", type, guest.put(name), guest.at(type)) == 0
        assert guest.u32(type) == 4 + type
    assert (yield "proxy_define_metric", 3, guest.put("x"), guest.at(5)) == 2
    assert (yield "proxy_increment_metric", 4, 5) == 0
    assert (yield "proxy_increment_metric", 4, 0) == 2
    assert (yield "proxy_increment_metric", 4, -1) == 2
    assert (yield "proxy_increment_metric", 5, 5) == 0
    assert (yield "proxy_increment_metric", 5, -2) == 0
    assert (yield "proxy_increment_metric", 6, 1) == 2
    assert (yield "proxy_increment_metric", 400, 1) == 1
    assert (yield "proxy_record_metric", 4, 7) == 0
    for value in (3, 42, 2**40):
        assert (yield "proxy_record_metric", 6, value) == 0
    assert (yield "proxy_record_metric", 402, 1) == 1
    assert (yield "proxy_get_metric", 4, guest.at(7)) == 0
    assert guest.u64(7) == 12
    assert (yield "proxy_get_metric", 5, guest.at(7)) == 0
    assert guest.u64(7) == 3
    assert (yield "proxy_get_metric", 6, guest.at(7)) == 2
    assert (yield "proxy_get_metric", 404, guest.at(7)) == 1
    assert (yield "proxy_record_metric", 5, 9) == 0
    assert (yield "proxy_define_metric", 0, guest.put("requests.by-model"), guest.at(8)) == 0
    assert guest.u32(8) == 8
    assert (yield "proxy_increment_metric", 8, 1) == 0


def test_metrics(load):
    _, plugin = tick(load, metrics_script)
    assert plugin.metrics["requests.by-model"].value == 13
    assert plugin.metrics["in.flight"].type is MetricType.GAUGE
    assert plugin.metrics.value("in.flight") == 9
    assert plugin.metrics.value("latency") == 3
    assert plugin.metrics.value("nothing") == 0
    with pytest.raises(KeyError, match=r"defined are \['in\.flight'"):
        plugin.metrics["nothing"]


def test_exposition_has_envoys_names(load):
    guest, _ = tick(load, metrics_script)
    text = guest.host.exposition()
    assert "# TYPE requests_by_model counter\nrequests_by_model 13.0\n" in text
    assert "# TYPE in_flight gauge\nin_flight 9.0\n" in text
    assert '# TYPE latency histogram\nlatency_bucket{le="0.5"} 0.0\n' in text
    samples = {(s.name, s.labels.get("le")): s.value for f in text_string_to_metric_families(text) for s in f.samples}
    assert samples["latency_bucket", "5"] == 1
    assert samples["latency_bucket", "3600000"] == 2
    assert samples["latency_bucket", "+Inf"] == samples["latency_count", None] == 3
    assert samples["latency_sum", None] == 45 + 2**40


def test_exposition_with_tags_and_unfit_names(load):
    def script(guest, *_):
        for number, name in enumerate(("tokens.user=ann.total", 'tokens.user=b"c\n.total', "9lives", "x_total")):
            assert (yield "proxy_define_metric", 0, guest.put(name), guest.at(0)) == 0
            assert (yield "proxy_increment_metric", guest.u32(0), number + 1) == 0

    tags = [StatsTag("user", r"(\.user=((?:.|\n)*?))\.total$")]
    guest, _ = tick(load, script, options={"stats_tags": tags})
    assert guest.host.exposition() == (
        '# TYPE tokens_total counter\ntokens_total{user="ann"} 1.0\ntokens_total{user="b\\"c\\n"} 2.0\n'
        "# TYPE x_total counter\nx_total 4.0\n"
    )


def test_there_are_no_files_and_no_sockets(load):
    answers = {
        "fd_allocate": (0, 8), "fd_sync": (0, 8), "fd_tell": (0, 8), "fd_filestat_set_times": (0, 8),
        "fd_advise": (0, 0),
        "fd_pread": (52, 52), "fd_readdir": (20, 20), "path_readlink": (58, 58), "path_create_directory": (58, 58),
        "sock_accept": (58, 58), "sock_recv": (58, 58), "sock_send": (58, 58), "sock_shutdown": (58, 58),
    }  # fmt: skip

    def script(guest, *_):
        for name, expected in answers.items():
            for fd, status in zip((1, 5), expected, strict=True):
                assert (
                    yield name, fd, *[guest.at(index) for index in range(8)][: len(HOST_FUNCTIONS[name]) - 1]
                ) == status
        assert (yield "fd_renumber", 1, 2) == 58
        assert (yield "fd_renumber", 1, 5) == 8
        vectors, _ = guest.put(b"".join(value.to_bytes(4, "little") for value in guest.put("out")))
        assert (yield "fd_pwrite", 2, vectors, 1, 99, guest.at(0)) == 0
        assert guest.u32(0) == 3

    _, plugin = tick(load, script)
    assert plugin.logs[-1].text == "out"


def test_wasi(load):
    def script(guest, *_):
        text, size = guest.put("out\n")
        vectors, _ = guest.put(b"".join(v.to_bytes(4, "little") for v in (text, size, text, 3)))
        assert (yield "fd_write", 1, vectors, 2, guest.at(0)) == 0
        assert guest.u32(0) == 7
        assert (yield "fd_write", 2, vectors, 1, guest.at(0)) == 0
        assert (yield "fd_write", 3, vectors, 1, guest.at(0)) == 8
        assert (yield "fd_write", 1, vectors, 1, 0xFFFFFFFC) == 21
        assert (yield "random_get", guest.at(0), 8) == 0
        assert guest.u64(0) != 0
        assert (yield "random_get", guest.at(0), 65537) == 28
        assert (yield "environ_sizes_get", guest.at(0), guest.at(1)) == 0
        assert (guest.u32(0), guest.u32(1)) == (2, 10)
        assert (yield "environ_get", guest.at(0), guest.at(5)) == 0
        assert guest.memory.read(guest.u32(0), 10) == b"A=1\0BC=2\0\0"[:4] + b"BC=22\0"
        assert (yield "args_sizes_get", guest.at(0), guest.at(1)) == 0
        assert (guest.u32(0), guest.u32(1)) == (0, 0)
        assert (yield "args_get", guest.at(0), guest.at(1)) == 0
        assert (yield "fd_fdstat_get", 1, guest.at(0)) == 0
        assert (guest.u64(0), guest.u64(1), guest.u64(2)) == (0, 64, 0)
        assert (yield "fd_fdstat_get", 0, guest.at(0)) == 8
        assert (yield "poll_oneoff", 0, 0, 0, guest.at(0)) == 0
        assert (yield "path_open", 3, 0, guest.put("/etc"), 0, 0, 0, 0, guest.at(0)) == 44
        for name, status in {
            "fd_read": 52,
            "fd_close": 0,
            "fd_prestat_get": 8,
            "fd_filestat_get": 8,
            "sched_yield": 0,
        }.items():
            assert (yield name, 1, 0, 0, 0) == status

    _, plugin = tick(load, script, environment={"A": "1", "BC": "22"})
    assert [(record.level, record.text) for record in plugin.logs] == [
        (LogLevel.INFO, "out\nout"),
        (LogLevel.ERROR, "out"),
        (LogLevel.INFO, "out"),
    ]
