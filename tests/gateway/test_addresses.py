"""Where a request comes from: whom its connection, and the proxies that are trusted, name."""

import pytest

from gateway.edge.addresses import Addresses, address_of, network_of

PROXIES = ("10.0.0.0/8", "2001:db8:a::/48", "192.0.2.7/32")


def found(peer: str | None, *lines: str, trusted: tuple[str, ...] = PROXIES) -> str | None:
    headers = [(b"x-forwarded-for", line.encode("latin-1")) for line in lines]
    scope = {"type": "http", "client": None if peer is None else (peer, 1234), "headers": headers}
    Addresses(trusted).note(scope)
    return address_of(scope)


@pytest.mark.parametrize("trusted", [(), PROXIES])
def test_without_a_trusted_proxy_it_is_the_peers_whatever_the_request_says(trusted: tuple[str, ...]) -> None:
    assert found("203.0.113.5", "198.51.100.1", trusted=trusted) == "203.0.113.5"
    assert found("10.0.0.1", "198.51.100.1", trusted=()) == "10.0.0.1"


@pytest.mark.parametrize(
    ("lines", "address"),
    [
        ((), "10.0.0.1"),
        (("198.51.100.1",), "198.51.100.1"),
        (("1.1.1.1, 198.51.100.1",), "198.51.100.1"),
        (("1.1.1.1, 198.51.100.1, 10.9.9.9 ,192.0.2.7",), "198.51.100.1"),
        (("1.1.1.1", "198.51.100.1, 10.9.9.9"), "198.51.100.1"),
        (("198.51.100.1", "10.9.9.9"), "198.51.100.1"),
        (("10.2.2.2, 10.3.3.3",), "10.2.2.2"),
        (("198.51.100.1:4711",), "198.51.100.1"),
        (("[2001:db8::1]:4711",), "2001:db8::1"),
        (("[2001:DB8:0::1]",), "2001:db8::1"),
        (("::ffff:198.51.100.1",), "198.51.100.1"),
        (("198.51.100.1, ::ffff:10.9.9.9",), "198.51.100.1"),
        (("198.51.100.1, 2001:db8:a::9",), "198.51.100.1"),
    ],
)
def test_behind_proxies_it_is_the_nearest_that_is_none_of_them(lines: tuple[str, ...], address: str) -> None:
    assert found("10.0.0.1", *lines) == address


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "unknown",
        "_hidden",
        "1.2.3",
        "1.2.3.4.5",
        "01.2.3.4",
        "fe80::1%eth0",
        "[",
        "[]",
        "a\x1b[2J",
        "é",
        "9" * 70_000,
    ],
)
def test_what_is_no_address_ends_the_search_at_the_proxy_that_said_it(entry: str) -> None:
    assert found("10.0.0.1", f"198.51.100.1, {entry}") == "10.0.0.1"
    assert found("10.0.0.1", f"198.51.100.1, {entry}, 10.9.9.9") == "10.9.9.9"


def test_a_header_of_proxies_without_end_is_not_followed_to_its_end() -> None:
    assert found("10.0.0.1", "198.51.100.1" + ",10.0.0.2" * 5_000) == "10.0.0.2"


def test_an_address_of_ipv4_on_a_socket_of_ipv6_is_one_of_ipv4() -> None:
    assert found("::ffff:10.0.0.1", "198.51.100.1") == "198.51.100.1"
    assert found("::ffff:203.0.113.5") == "203.0.113.5"


def test_where_nobody_says_there_is_none() -> None:
    assert found(None) is None
    assert found("", "198.51.100.1") == ""
    assert address_of({"type": "http"}) is None


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.5", "203.0.113.5"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("unknown", "unknown"),
    ],
)
def test_who_has_one_address_of_ipv6_has_its_network(address: str, network: str) -> None:
    assert network_of(address) == network
