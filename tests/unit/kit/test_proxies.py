"""Who the client is, behind proxies: counted from the right, whatever clients and broken proxies write (A18)."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopflow.kit.proxies import TrustedProxies, Unreadable

PROXIES = TrustedProxies([ip_network("10.0.0.0/8"), ip_network("192.0.2.7"), ip_network("2001:db8:aaaa::/48")])
PEER = "10.0.0.1"


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        # Nobody speaks for others but a trusted proxy.
        ("203.0.113.5", ["198.51.100.1"], "203.0.113.5"),
        ("203.0.113.5", ["garbage"], "203.0.113.5"),
        (PEER, [], PEER),
        (PEER, ["198.51.100.1"], "198.51.100.1"),
        ("192.0.2.7", ["198.51.100.1"], "198.51.100.1"),
        ("192.0.2.8", ["198.51.100.1"], "192.0.2.8"),
        ("2001:db8:aaaa::1", ["2001:db8::9"], "2001:db8::9"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        # From the right, past trusted ones, no further than the first that is not.
        (PEER, ["198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        (PEER, ["1.1.1.1, 198.51.100.1, 10.0.0.3, 10.0.0.2"], "198.51.100.1"),
        (PEER, ["10.9.9.9, 198.51.100.1"], "198.51.100.1"),
        (PEER, ["127.0.0.1, 198.51.100.1"], "198.51.100.1"),
        (PEER, ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        # Several headers are one list, in their order.
        (PEER, ["1.1.1.1", "198.51.100.1"], "198.51.100.1"),
        (PEER, ["198.51.100.1", "10.0.0.2"], "198.51.100.1"),
        # What a client invents, to the left, is never looked at.
        (PEER, ["garbage, 198.51.100.1"], "198.51.100.1"),
        (PEER, [", , ,198.51.100.1"], "198.51.100.1"),
        (PEER, ["x" * 9000 + ",198.51.100.1"], "198.51.100.1"),
        (PEER, ["1.1.1.1," * 500 + "198.51.100.1"], "198.51.100.1"),
        (PEER, ["\xff\xfe, 198.51.100.1"], "198.51.100.1"),
        # Forms of an address.
        (PEER, ["198.51.100.1:4711"], "198.51.100.1"),
        (PEER, ["\t198.51.100.1  "], "198.51.100.1"),
        (PEER, ["2001:db8::9"], "2001:db8::9"),
        (PEER, ["[2001:db8::9]"], "2001:db8::9"),
        (PEER, ["[2001:DB8::9]:443"], "2001:db8::9"),
        (PEER, ["2001:db8:0:0:0:0:0:9"], "2001:db8::9"),
        (PEER, ["::ffff:198.51.100.1"], "198.51.100.1"),
        (PEER, ["[::ffff:198.51.100.1]:80"], "198.51.100.1"),
        (PEER, ["198.51.100.1, ::ffff:10.0.0.9"], "198.51.100.1"),
    ],
)
def test_the_client_is_the_first_from_the_right_that_is_no_trusted_proxy(
    peer: str, forwarded: list[str], client: str
) -> None:
    assert PROXIES.client(peer, [each.encode("latin-1") for each in forwarded]) == client


@pytest.mark.parametrize(
    "forwarded",
    [
        "", " ", ",", "198.51.100.1,", "unknown", "_hidden", "example.com", "198.51.100", "198.51.100.256",
        "198.51.100.01", "198.51.100.1:", "198.51.100.1:x", "198.51.100.1:65536", "198.51.100.1:-1",
        "198.51.100.1:123456", "198.51.100.1/32", "198.51.100.1:80:80", "[198.51.100.1]",
        "[2001:db8::9", "2001:db8::9]", "[2001:db8::9]x", "[2001:db8::9]:",
        "[2001:db8::9]:65536", "[]", "fe80::1%eth0", "[fe80::1%eth0]:80", "2001:db8:::9", "3405803777", "0x0a000001",
        '"198.51.100.1"', "for=198.51.100.1", "198.51.100.1 198.51.100.2",
        "198.51.100.\u0661".encode().decode("latin-1"), "1" * 65, "garbage, 10.0.0.2", ", ".join(["10.0.0.2"] * 17),
    ],
)  # fmt: skip
def test_a_header_that_names_no_address_where_one_is_needed_is_unreadable(forwarded: str) -> None:
    with pytest.raises(Unreadable):
        PROXIES.client(PEER, [forwarded.encode("latin-1")])


def test_without_trusted_proxies_the_socket_decides() -> None:
    assert not TrustedProxies()
    assert TrustedProxies().client("203.0.113.5", [b"198.51.100.1"]) == "203.0.113.5"


@given(st.lists(st.binary(max_size=40), max_size=5), st.ip_addresses())
def test_what_stands_before_the_entry_of_the_last_proxy_changes_nothing(invented: list[bytes], real: object) -> None:
    forwarded = [*(each.replace(b"\n", b"") for each in invented), str(real).encode()]
    try:
        seen = PROXIES.client(PEER, forwarded)
    except Unreadable:
        return  # the address is a proxy's own, and what it says is nonsense
    if not any(str(real).startswith(prefix) for prefix in ("10.", "192.0.2.7", "2001:db8:aaaa", "::ffff:")):
        assert seen == str(real)
