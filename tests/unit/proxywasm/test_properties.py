"""Paths and values of properties as Envoy encodes them."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from proxywasm import HttpContext, RootContext, as_bool, as_float, as_int, as_text, property_path
from proxywasm.types import HostError, Status


@given(st.integers(-(2**63), 2**63 - 1))
def test_int(number):
    assert as_int(struct.pack("<q", number)) == number


@given(st.floats(allow_nan=False))
def test_float(number):
    assert as_float(struct.pack("<d", number)) == number


@given(st.binary(max_size=30))
def test_text_keeps_any_bytes(raw):
    assert as_text(raw).encode("utf-8", "surrogateescape") == raw


def test_bool():
    assert as_bool(b"\1") is True
    assert as_bool(b"\0") is False


@pytest.mark.parametrize(("read", "size"), [(as_int, 8), (as_float, 8), (as_bool, 1)])
@given(raw=st.binary(max_size=12))
def test_wrong_size_is_a_value_error(read, size, raw):
    if len(raw) != size:
        with pytest.raises(ValueError, match=f"not {len(raw)}"):
            read(raw)


def test_path_segments_may_hold_dots_and_any_bytes():
    assert property_path("metadata", "filter_metadata", "a.b", "\udcff") == b"metadata\0filter_metadata\0a.b\0\xff"


def test_a_context_reads_and_sets_its_own(host):
    seen = []

    class Stream(HttpContext):
        def on_log(self):
            seen.append(self.get_property(property_path("source", "address")))
            seen.append(self.get_property(property_path("no", "such")))
            self.set_property(property_path("mine"), b"\xff")
            with pytest.raises(HostError) as refused:
                self.root.set_property(property_path("mine"), b"x")
            assert refused.value.status is Status.NOT_FOUND

    class Root(RootContext):
        def create_stream(self, context_id):
            return Stream(context_id, self)

    stream = host.stream(host.start(Root))
    host.sides[stream].properties["source\0address"] = b"10.0.0.1:4711"
    side = host.sides[stream]
    host.end(stream)
    assert seen == [b"10.0.0.1:4711", None]
    assert side.properties["mine"] == b"\xff"
    assert host.errors() == []
