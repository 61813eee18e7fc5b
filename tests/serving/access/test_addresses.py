"""Addresses of this machine, and the names by which it is called."""

from __future__ import annotations

import pytest

from serving.access.addresses import (
    arrives_at_loopback,
    canonical,
    host_of,
    is_loopback,
    names_this_machine,
)


@pytest.mark.parametrize(
    ("server", "is_local"),
    [
        (("127.0.0.1", 3000), True),
        (("127.8.0.1", 3000), True),
        (("::1", 3000), True),
        (("::ffff:127.0.0.1", 3000), True),
        (("/run/nba.sock", None), True),
        (("10.0.0.7", 3000), False),
        (("::ffff:10.0.0.7", 3000), False),
        (("example.org", 3000), False),
        (None, False),
    ],
)
def test_the_address_at_which_a_request_arrives_decides(server, is_local):
    assert arrives_at_loopback({"server": server, "headers": []}) is is_local


@pytest.mark.parametrize("name", [b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via"])
@pytest.mark.parametrize("server", [("127.0.0.1", 3000), ("/run/nba.sock", None)])
def test_what_a_proxy_on_this_machine_forwards_came_from_elsewhere(server, name):
    assert not arrives_at_loopback({"server": server, "headers": [(name, b"127.0.0.1")]})


def test_hosts_that_only_this_machine_reaches():
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "[::1]", "::1", "LOCALHOST")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.1.2.3", "localhost.example.org", "")))


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("Localhost:3000", "localhost"),
        ("[::1]:3000", "::1"),
        ("10.0.0.7", "10.0.0.7"),
        ("", ""),
        ("[::1", "?"),
        (":3000", "?"),
    ],
)
def test_the_host_is_read_without_its_port(address, host):
    assert host_of(address) == host


def test_a_request_without_a_host_is_of_no_browser():
    assert names_this_machine({"headers": []}, ())
    assert not names_this_machine({"headers": [(b"host", b"evil.test")]}, ())


def test_an_origin_is_written_as_browsers_write_it():
    assert canonical("HTTPS://Shop.example:443") == "https://shop.example"
    assert canonical("http://shop.example:443") == "http://shop.example:443"
    assert canonical("http://shop.example:80") == "http://shop.example"
    assert canonical("null").startswith("null")
