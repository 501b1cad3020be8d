"""Where alerts may be sent: which addresses of the network, which ports. Against server-side request forgery.

A target's address is a user's text. Its host is resolved once, what it resolves to is judged here, and the connection is made to
those very numbers, so that a name which answers differently the second time gains nothing.
"""

from __future__ import annotations

import queue
import re
import socket
import threading
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final
from urllib.parse import quote, urlsplit

from services.domain.errors import DashboardError

Address = IPv4Address | IPv6Address

# What HEATMAP_WEBHOOK_PRIVATE=yes allows beside the internet: this machine, and private networks (RFC 1918, 6598, 4193).
_PRIVATE: Final = tuple(
    ip_network(text)
    for text in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "::1/128", "fc00::/7")
)
# Where clouds tell a machine its secrets; those in 169.254.0.0/16 and fe80::/10 are refused as link-local anyway.
_METADATA: Final = frozenset(
    ip_address(text)
    for text in (
        "169.254.169.254",
        "169.254.170.2",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd20:ce::254",
    )
)  # AWS, GCP, Azure; AWS ECS; Alibaba; Azure's wire server; Oracle; AWS; GCP
_GLOBAL_V6: Final = ip_network("2000::/3")
_NAT64: Final = ip_network("64:ff9b::/96")
# Databases, caches, queues and remote control: no receiver of alerts listens there.
_SERVICE_PORTS: Final = frozenset(
    {1433, 1521, 2049, 2375, 2376, 2379, 2380, 3306, 3389, 5432, 5672, 5900, 6000, 6379, 6443, 9042, 9200, 9300, 10250, 11211,
     27017}
)  # fmt: skip
MAIL_PORTS: Final = frozenset({25, 465, 587})
_HOST: Final = re.compile(r"[A-Za-z0-9._-]{1,253}")
_V6_PLACE: Final = re.compile(r"\[[0-9A-Fa-f:.]+\](:\d+)?")  # urlsplit lets anything follow the bracket
_LONGEST: Final = 2_000


class AddressRefused(DashboardError):
    """An address that alerts are not sent to; the message says why and holds nothing of it but its host."""


class HostUnknown(DashboardError):
    """A name that cannot be resolved just now."""


@dataclass(frozen=True, slots=True)
class WebhookAddress:
    """A webhook's URL in parts. `path` begins with "/", holds the query, and is a secret, as receivers' tokens are in it."""

    is_tls: bool
    host: str
    port: int
    path: str

    def __repr__(self) -> str:
        return f"WebhookAddress({self.masked})"

    @property
    def masked(self) -> str:
        """For eyes and logs: scheme, host and port."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == (443 if self.is_tls else 80) else f":{self.port}"
        return f"http{'s' * self.is_tls}://{shown}{port}/***"


@dataclass(frozen=True, slots=True)
class Resolved:
    """One address to connect to, as socket.connect takes it."""

    family: int
    sockaddr: tuple[str | int, ...]


def webhook_address(text: str) -> WebhookAddress:
    """The parts of an http or https URL. Raises AddressRefused for anything else, credentials in it, or an odd port."""
    if not text or len(text) > _LONGEST or any(char.isspace() or not char.isprintable() or char in '\\<>"^`{|}' for char in text):
        raise AddressRefused(f"the address must be one URL of at most {_LONGEST:,} characters, without blanks or quotes")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
        host = host if ":" in host else host.encode("idna").decode("ascii")
    except ValueError:  # UnicodeError is one
        raise AddressRefused("the address was not a URL; it must be like https://example.org/hook") from None
    if parts.scheme not in ("http", "https"):
        raise AddressRefused("the address must begin with https:// or http://")
    if "@" in parts.netloc:
        raise AddressRefused("the address held a user name; requests are signed instead, so leave user and password out")
    if not (_is_v6(host) and _V6_PLACE.fullmatch(parts.netloc) if ":" in host else _HOST.fullmatch(host)):
        raise AddressRefused("the address named no host; it must be like https://example.org/hook")
    wanted = port if port is not None else 443 if parts.scheme == "https" else 80
    if refused := port_refusal(wanted):
        raise AddressRefused(refused)
    path = quote(parts.path or "/", safe="/%:=&~+!$,;'@()*-._") + (
        f"?{quote(parts.query, safe='/%:=&?~+!$,;@()*-._')}" * bool(parts.query)
    )
    return WebhookAddress(parts.scheme == "https", host, wanted, path)


def port_refusal(port: int, *, also: frozenset[int] = frozenset()) -> str | None:
    """Why nothing is sent to that port; None where it is. `also` are ports that are fine beside 80, 443 and the high ones."""
    if port in (80, 443) or port in also or (1024 <= port <= 65_535 and port not in _SERVICE_PORTS):
        return None
    return f"port {port} was refused: it must be 80, 443 or one from 1024 on that belongs to no database or other such service"


def address_refusal(address: Address, *, allows_private: bool) -> str | None:
    """Why nothing is sent to that address; None where it is."""
    for each in _meant_by(address):
        if each in _METADATA:
            return "the address of a cloud's metadata service was refused"
        if each.is_multicast or each.is_link_local or each.is_unspecified:
            return "a link-local, multicast or unspecified address was refused"
        if any(each.version == network.version and each in network for network in _PRIVATE):
            if not allows_private:
                return "an address of this machine or of a private network was refused; HEATMAP_WEBHOOK_PRIVATE=yes allows those"
        elif not each.is_global or each.is_reserved or (isinstance(each, IPv6Address) and each not in _GLOBAL_V6):
            return "an address that is not on the internet was refused"
    return None


def resolve(host: str, port: int, *, allows_private: bool, timeout_s: float) -> list[Resolved]:
    """What to connect to, in the resolver's order.

    Raises AddressRefused where any of the host's addresses is refused, HostUnknown where it has none or does not answer in time.
    """
    found: list[Resolved] = []
    for family, sockaddr in _look_up(host, port, timeout_s):
        try:
            address = ip_address(str(sockaddr[0]))
        except ValueError:
            continue
        if refused := address_refusal(address, allows_private=allows_private):
            raise AddressRefused(f"{host}: {refused}")
        found.append(Resolved(family, sockaddr))
    if not found:
        raise HostUnknown(f"{host} has no address")
    return found


def _look_up(host: str, port: int, timeout_s: float) -> list[tuple[int, tuple[str | int, ...]]]:
    """getaddrinfo, which takes as long as it likes, in a thread that is left behind when it takes too long."""
    answers: queue.SimpleQueue[list[tuple[int, tuple[str | int, ...]]] | OSError | UnicodeError] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
            answers.put([(int(family), (str(sockaddr[0]), *sockaddr[1:])) for family, _, _, _, sockaddr in rows])
        except (OSError, UnicodeError) as error:
            answers.put(error)

    threading.Thread(target=look_up, name="alert-lookup", daemon=True).start()
    try:
        answer = answers.get(timeout=timeout_s)
    except queue.Empty:
        raise HostUnknown(f"the name {host} was not resolved within {timeout_s:g} s") from None
    if isinstance(answer, Exception):
        raise HostUnknown(f"the name {host} could not be resolved")
    return answer


def _meant_by(address: Address) -> list[Address]:
    """The address and those it hides: IPv4 in IPv6 (mapped, 6to4, NAT64)."""
    if isinstance(address, IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    hidden: list[Address] = [address.sixtofour] if address.sixtofour is not None else []
    if address in _NAT64:
        return [IPv4Address(int(address) & 0xFFFFFFFF)]
    plain = IPv6Address(int(address))  # without a zone, which would hide it from a comparison
    return [plain, *hidden]


def _is_v6(host: str) -> bool:
    try:
        return ip_address(host).version == 6
    except ValueError:
        return False
