"""What the host hands over is freed: memory stays flat however much is read."""

import pytest

from tests.building import FILTERS

HEAD = [(":method", "POST"), (":path", "/" + "p" * 300), (":authority", "h"), ("x-long", "v" * 1000),
        (b"x-raw", b"\xff" * 500)]  # fmt: skip


@pytest.mark.parametrize("mode", ["compiled", "bytecode"])
def test_memory_is_flat(make_host, build_filter, mode):
    plugin = make_host(build_filter(FILTERS / "reading.py", mode)).load()

    def read(times):
        with plugin.stream() as stream:
            stream.request_headers([*HEAD, ("x-times", str(times))])
            stream.request_body("b" * 5000, end_of_stream=True)
            assert stream.local_reply is None

    read(1000)
    settled = plugin.memory_size
    for _ in range(10):
        read(4000)
    assert plugin.memory_size == settled
    assert plugin.failure is None


def test_many_streams_leave_nothing(make_host, build_filter):
    plugin = make_host(build_filter(FILTERS / "reading.py")).load()
    sizes = []
    for _ in range(3):
        for _ in range(2000):
            with plugin.stream() as stream:
                stream.request_headers([*HEAD, ("x-times", "1")], end_of_stream=True)
        sizes.append(plugin.memory_size)
    assert sizes[1] == sizes[2]
