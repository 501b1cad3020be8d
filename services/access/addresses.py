"""Whose address a request comes from, and whether a server that listens on an address can be reached from elsewhere. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

MAX_FORWARDED: Final = 20  # hops that are read, from the right
_IPV6_SITE_BITS: Final = 64  # what one subscriber has to choose addresses from


def client_address(peer: str, forwarded: str, trusted: Sequence[str]) -> str:
    """The address a request comes from: the peer, or what trusted proxies say was theirs.

    peer       the other end of the connection
    forwarded  X-Forwarded-For as it came, "" for none: each proxy appends whom it saw, so it is read from the right, and what is
               left of the first address that is not trusted was written by the client and says nothing
    trusted    addresses and networks of our own proxies
    """
    address = peer
    hops = [hop.strip() for hop in forwarded.split(",")][-MAX_FORWARDED:] if forwarded else []
    while hops and _lies_in(address, tuple(trusted)):
        told = hops.pop()
        if _parsed(told) is None:
            break
        address = told
    return address


def is_among(address: str, networks: Sequence[str]) -> bool:
    """Whether an address is one of these, or in one of these networks."""
    return _lies_in(address, tuple(networks))


def bucket_of(address: str) -> str:
    """The name under which an address is counted: IPv6 by its /64, IPv4 written as IPv6 as what it is."""
    parsed = _parsed(address)
    if parsed is None:
        return "unknown"
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, _IPV6_SITE_BITS), strict=False))
    return str(parsed)


def is_public(listen_address: str | None) -> bool:
    """Whether a server that listens there can be reached from another machine ("" and None listen everywhere)."""
    text = (listen_address or "").strip().strip("[]").lower()
    if text == "localhost":
        return False
    parsed = _parsed(text)
    return parsed is None or not parsed.is_loopback


def exposure_warning(listen_address: str | None, *, is_open: bool) -> str:
    """What to log where everybody who can reach the server may see everything; "" where they may not, or nobody else can."""
    if not is_open or not is_public(listen_address):
        return ""
    return (
        "EVERYBODY WHO CAN REACH THIS ADDRESS SEES EVERYTHING: the server listens on "
        f"{listen_address or 'all addresses'} and HEATMAP_ACCESS is open; set HEATMAP_ACCESS=tiers (docs/access.md), "
        "or STREAMLIT_SERVER_ADDRESS=127.0.0.1"
    )


@lru_cache(maxsize=256)
def _lies_in(address: str, networks: tuple[str, ...]) -> bool:
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in _networks(networks))


@lru_cache(maxsize=8)
def _networks(texts: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(each, strict=False) for each in texts)


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped
    return parsed
