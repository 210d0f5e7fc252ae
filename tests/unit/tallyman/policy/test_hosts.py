import pytest
from hypothesis import given
from hypothesis import strategies as st
from tallyman.policy.hosts import HostIndex, normalize_host, without_port


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        ("LLM.Example.com", "llm.example.com"),
        ("llm.example.com:8080", "llm.example.com"),
        ("[::1]:8080", "[::1]"),
        ("[FE80::1]", "[fe80::1]"),
        ("[::1", ""),
        ("", ""),
        (":80", ""),
    ],
)
def test_authorities_are_hosts_and_ports(authority: str, host: str) -> None:
    assert normalize_host(authority) == host


@pytest.mark.parametrize(
    ("address", "host"), [("10.0.0.1:80", "10.0.0.1"), ("[::1]:80", "::1"), ("10.0.0.1", "10.0.0.1"), ("", "")]
)
def test_addresses_lose_their_port(address: str, host: str) -> None:
    assert without_port(address) == host


@pytest.fixture
def index() -> HostIndex[str]:
    index: HostIndex[str] = HostIndex()
    for hostname in ("*", "*.com", "*.example.com", "LLM.example.com"):
        index.add(hostname, hostname)
        index.add(hostname, f"{hostname} again")
    return index


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("llm.example.com", "LLM.example.com"),
        ("other.example.com", "*.example.com"),
        ("a.b.example.com", "*.example.com"),
        ("example.com", "*.com"),
        ("com", "*"),
        ("", "*"),
        (".example.com", "*.example.com"),
        ("notexample.com", "*.com"),
    ],
)
def test_the_most_specific_hostname_alone_counts(index: HostIndex[str], host: str, found: str) -> None:
    assert index.find(host) == [found, f"{found} again"]


NAMES = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4).map(".".join)


@given(st.lists(NAMES | NAMES.map("*.{}".format) | st.just("*"), max_size=6, unique=True), NAMES)
def test_the_index_finds_what_a_scan_finds(hostnames: list[str], host: str) -> None:
    index: HostIndex[str] = HostIndex()
    for hostname in hostnames:
        index.add(hostname, hostname)
    matching = [name for name in hostnames if _matches(name, host)]
    expected = sorted(matching, key=lambda name: (name != host, -len(name)))[:1]
    assert index.find(host) == expected


def _matches(hostname: str, host: str) -> bool:
    if hostname == "*":
        return True
    return host.endswith(hostname[1:]) if hostname.startswith("*.") else host == hostname
