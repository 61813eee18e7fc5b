"""Addresses: of this machine, and the names under which a browser may call it."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from serving.access.asgi import Connection, header

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_FORWARDED = {b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via"}  # set by proxies


def arrives_at_loopback(connection: Connection) -> bool:
    """Say if the request came to a loopback address of this machine, or to a Unix socket.

    What a proxy forwarded came from elsewhere, though the proxy runs on this machine.
    """
    if any(name in _FORWARDED for name, _ in connection["headers"]):
        return False
    address, port = connection.get("server") or ("", None)
    if port is None:
        return bool(address)
    return is_loopback(address)


def is_loopback(host: str) -> bool:
    """Say if a host is a loopback address, which other machines cannot reach."""
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return host.lower() == "localhost"
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


def names_this_machine(connection: Connection, hosts: Collection[str]) -> bool:
    """Say if the `Host` of a request is this machine or one of some hosts, with any port.

    A page whose name was made to resolve to 127.0.0.1 (DNS rebinding) sends its own name. A
    request without `Host` passes, because every browser sends one.
    """
    host = host_of(header(connection, b"host"))
    return not host or is_loopback(host) or host in hosts


def host_of(address: str) -> str:
    """Read the host of ``host:port`` in lower case, without the port; empty if there is none."""
    try:
        return urlsplit(f"//{address}").hostname or ("?" if address else "")
    except ValueError:  # such as '[::1', which is no host
        return "?"


def canonical(origin: str) -> str:
    """Write an origin as browsers do: in lower case, without the port of its scheme."""
    scheme, _, rest = origin.lower().partition("://")
    return f"{scheme}://{rest.removesuffix(_DEFAULT_PORTS.get(scheme, ' '))}"
