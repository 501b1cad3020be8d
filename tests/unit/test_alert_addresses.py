"""Which addresses alerts are sent to: every private corner of IPv4 and IPv6 is refused, in whatever form it is written."""

from __future__ import annotations

import socket
import threading
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.alerts.addresses import (
    AddressRefused,
    HostUnknown,
    address_refusal,
    port_refusal,
    resolve,
    webhook_address,
)
from services.alerts.apprise_child import Guard
from services.alerts.delivery_targets import APPRISE_SCHEMES, address_problem, masked_address, new_signing_key

PRIVATE = ["127.0.0.1", "127.255.0.9", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "::1", "fd12::1"]
NEVER = [
    "169.254.169.254", "169.254.1.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "224.0.0.1", "239.1.1.1",
    "0.0.0.0",  # noqa: S104 - refused
    "255.255.255.255", "240.0.0.1", "198.18.0.1", "192.0.2.1", "203.0.113.5", "0.1.2.3",
    "::", "fe80::1", "fe80::1%eth0", "ff02::1", "fd00:ec2::254", "fec0::1", "2001:db8::1", "100::1", "64:ff9b:1::1", "::7f00:1",
    "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1",
]  # fmt: skip
HIDDEN = ["::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2002:c0a8:101::1"]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "172.15.0.1",
    "172.32.0.1",
    "100.63.255.255",
    "2606:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
]


@pytest.mark.parametrize("text", PRIVATE + HIDDEN)
def test_private_addresses_are_refused_unless_they_are_allowed(text: str) -> None:
    refused = address_refusal(ip_address(text), allows_private=False)
    assert refused is not None
    assert "HEATMAP_WEBHOOK_PRIVATE=yes" in refused
    assert address_refusal(ip_address(text), allows_private=True) is None


@pytest.mark.parametrize("text", NEVER)
@pytest.mark.parametrize("allows_private", [False, True])
def test_metadata_link_local_multicast_and_reserved_addresses_are_always_refused(text: str, allows_private: bool) -> None:
    assert address_refusal(ip_address(text), allows_private=allows_private) is not None


@pytest.mark.parametrize("text", PUBLIC)
def test_addresses_of_the_internet_are_allowed(text: str) -> None:
    assert address_refusal(ip_address(text), allows_private=False) is None


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_the_same_however_it_is_wrapped_in_ipv6(address: IPv4Address) -> None:
    plain = address_refusal(address, allows_private=False) is None
    for wrapped in (IPv6Address(f"::ffff:{address}"), IPv6Address(int(IPv6Address("64:ff9b::")) + int(address))):
        assert (address_refusal(wrapped, allows_private=False) is None) == plain


@given(st.ip_addresses())
def test_what_is_allowed_is_global_as_the_standard_library_sees_it(address: IPv4Address | IPv6Address) -> None:
    if address_refusal(address, allows_private=False) is None:
        assert address.is_global
        assert not address.is_multicast


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "2130706433", "0x7f000001", "017700000001", "127.1", "0x7f.1", "localhost", "::1", "::ffff:127.0.0.1"]
)
def test_loopback_is_refused_in_every_form_that_the_resolver_takes(host: str) -> None:
    with pytest.raises((AddressRefused, HostUnknown)) as refused:
        resolve(host, 443, allows_private=False, timeout_s=5)
    assert isinstance(refused.value, AddressRefused) or host == "::1"  # a machine without IPv6 may know no ::1


def test_the_address_that_was_judged_is_the_one_that_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def rebinding(host: str, port: int, **_: object) -> list[object]:
        asked.append(host)
        address = "93.184.215.14" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    (found,) = resolve("rebind.example.org", 443, allows_private=False, timeout_s=5)
    assert found.sockaddr == ("93.184.215.14", 443)
    assert asked == ["rebind.example.org"]


def test_one_private_address_among_public_ones_is_enough_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in ("1.1.1.1", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: rows)
    with pytest.raises(AddressRefused, match="private network"):
        resolve("mixed.example.org", 443, allows_private=False, timeout_s=5)


def test_a_resolver_that_does_not_answer_is_left_alone_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait(20) and [])
    with pytest.raises(HostUnknown, match="was not resolved within"):
        resolve("slow.example.org", 443, allows_private=False, timeout_s=0.05)
    released.set()


def test_an_unknown_name_is_no_refusal_for_ever() -> None:
    with pytest.raises(HostUnknown, match="could not be resolved"):
        resolve("no-such-host.invalid", 443, allows_private=False, timeout_s=10)


@pytest.mark.parametrize(
    ("text", "host", "port", "path"),
    [
        ("https://hooks.example.org/a/b?c=d%20e", "hooks.example.org", 443, "/a/b?c=d%20e"),
        ("http://example.org", "example.org", 80, "/"),
        ("https://EXAMPLE.org:8443/x#part", "example.org", 8443, "/x"),
        ("https://bücher.example/ü", "xn--bcher-kva.example", 443, "/%C3%BC"),
        ("http://[2606:4700::1111]:8080/", "2606:4700::1111", 8080, "/"),
    ],
)
def test_a_webhooks_address_is_taken_apart(text: str, host: str, port: int, path: str) -> None:
    address = webhook_address(text)
    assert (address.host, address.port, address.path) == (host, port, path)


@pytest.mark.parametrize(
    "text",
    [
        "", "hooks.example.org", "ftp://example.org/", "file:///etc/passwd", "gopher://example.org:70/", "https://", "https:///x",
        "https://user:pw@example.org/", "https://example.org@127.0.0.1/", "https://a b/", "https://example.org/\r\nX: y",
        "https://example.org\\@127.0.0.1/", "https://example.org:99999/", "https://example.org:22/", "https://example.org:6379/",
        "https://example.org:5432/", "https://[::1", "https://[fe80::1%25eth0]zz/", "https://-a..b_\x00/", "https://" + "a" * 3_000,
        "https://exa%6dple.org/", "https://example.org:-1/", "https://example.org:0/",
    ],
)  # fmt: skip
def test_what_is_no_plain_web_address_is_refused_with_a_sentence_that_does_not_repeat_it(text: str) -> None:
    with pytest.raises(AddressRefused) as refused:
        webhook_address(text)
    assert len(str(refused.value)) > 20
    assert address_problem("webhook", text) == str(refused.value)
    assert masked_address("webhook", text) == "***"


@given(st.text(max_size=60))
def test_any_text_at_all_is_an_address_or_is_refused(text: str) -> None:
    for candidate in (text, f"https://{text}", f"http://example.org/{text}", f"https://{text}/x"):
        try:
            address = webhook_address(candidate)
        except AddressRefused:
            continue
        assert address.path.startswith("/")
        assert (address.path + address.host).isascii()
        assert not any(char.isspace() for char in address.path + address.host)


def test_ports_of_databases_and_remote_control_are_refused() -> None:
    assert [port for port in (80, 443, 1024, 8080, 8443, 65_535) if port_refusal(port)] == []
    assert all(port_refusal(port) for port in (-1, 0, 21, 22, 25, 1023, 2375, 3306, 5432, 6379, 9200, 11211, 65_536))
    assert port_refusal(587, also=frozenset({587})) is None


def test_addresses_are_shown_without_what_is_secret_in_them() -> None:
    assert masked_address("webhook", "https://hooks.example.org:8443/s3cret?t=t0ken") == "https://hooks.example.org:8443/***"
    assert masked_address("webhook", "http://[2606:4700::1]/s3cret") == "http://[2606:4700::1]/***"
    assert masked_address("apprise", "tgram://123456:AAtoken/-100") == "tgram://***"
    assert masked_address("apprise", "nonsense") == "***"
    assert "s3cret" not in repr(webhook_address("https://hooks.example.org/s3cret"))
    assert len(new_signing_key()) == 64
    assert new_signing_key() != new_signing_key()


@pytest.mark.parametrize(
    "scheme", ["json", "jsons", "xml", "form", "syslog", "dbus", "windows", "macosx", "apprise", "file", "mqtt"]
)
def test_services_that_reach_into_the_machine_are_refused(scheme: str) -> None:
    assert scheme not in APPRISE_SCHEMES
    assert "was refused" in (address_problem("apprise", f"{scheme}://s3cret/path") or "")
    assert "s3cret" not in (address_problem("apprise", f"{scheme}://s3cret/path") or "")


@pytest.mark.parametrize("text", ["", "tgram:/x", "tgram://a b", "TGRAM://x", "tgram://a\nslack://b", "slack://" + "a" * 3_000])
def test_what_is_no_single_apprise_url_is_refused(text: str) -> None:
    assert "one apprise URL" in (address_problem("apprise", text) or "")


@pytest.mark.parametrize(
    ("event", "given"),
    [
        ("socket.connect", (None, ("127.0.0.1", 443))),
        ("socket.connect", (None, ("example.org", 443))),
        ("socket.connect", (None, ("1.1.1.1", 22))),
        ("socket.connect", (None, "/run/docker.sock")),
        ("socket.connect", (None, ("::1", 443, 0, 0))),
        ("socket.sendto", (None, ("1.1.1.1", 514))),
        ("subprocess.Popen", ("sh", ["sh"], None, None)),
        ("os.system", (b"true",)),
        ("open", ("/etc/passwd", "r", 0)),
        ("open", (b"/proc/self/environ", "rb", 0)),
        ("open", (__file__, "r", 0)),
        ("open", (socket.__file__, "w", 0)),
    ],
)
def test_the_guard_of_the_sending_process_refuses(event: str, given: tuple[object, ...]) -> None:
    with pytest.raises(PermissionError):
        Guard(allows_private=False)(event, given)


def test_the_guard_lets_through_what_sending_needs() -> None:
    guard = Guard(allows_private=False)
    guard("socket.connect", (None, ("1.1.1.1", 443)))
    guard("socket.connect", (None, ("1.1.1.1", 587)))
    guard("open", (socket.__file__, "r", 0))
    guard("open", (3, "r", 0))
    guard("import", ("json", None, None, None, None))
    Guard(allows_private=True)("socket.connect", (None, ("127.0.0.1", 8080)))
    assert guard.refused is None
