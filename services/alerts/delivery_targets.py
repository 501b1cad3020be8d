"""What a page or the API needs to make a target: may it be, how is it shown, a key to sign with. No network."""

from __future__ import annotations

import re
import secrets
from typing import Final

from services.alerts.addresses import AddressRefused, webhook_address
from services.domain.alerts import TargetKind

# Services that tell people. What apprise can do beyond them runs things on this machine, reads its files, or is a webhook without
# a signature (dbus, syslog, json, ...): those are refused.
APPRISE_SCHEMES: Final = frozenset(
    (
        "bark", "barks", "bluesky", "brevo", "bsky", "dingtalk", "discord", "feishu", "flock", "gchat", "gotify",
        "gotifys", "groupme", "guilded", "hassio", "hassios", "ifttt", "ilert", "join", "lark", "line", "mailersend",
        "mailgun", "mailto", "mailtos", "mastodon", "mastodons", "matrix", "matrixs", "mmost", "mmosts", "msgbird",
        "nctalk", "nctalks", "nexmo", "notifiarr", "ntfy", "ntfys", "onesignal", "opsgenie", "pagerduty", "pagertree",
        "pbul", "postmark", "pover", "prowl", "psafer", "psafers", "pushdeer", "pushdeers", "pushy", "resend",
        "revolt", "ringc", "rocket", "rockets", "ryver", "schan", "sendgrid", "ses", "seven", "signal", "signals",
        "signl4", "simplepush", "slack", "smtp2go", "sns", "sparkpost", "splunk", "spush", "squadcast", "synology",
        "synologys", "telnyx", "tgram", "threema", "toot", "toots", "twilio", "twist", "viber", "victorops", "vonage",
        "webex", "wecombot", "whatsapp", "workflow", "workflows", "wxteams", "zulip",
    )
)  # fmt: skip
_URL: Final = re.compile(r"([a-z][a-z0-9]{1,31})://\S+")
_LONGEST: Final = 2_000


def address_problem(kind: TargetKind, address: str) -> str | None:
    """Why a target cannot have this address, in a sentence that does not repeat it; None where it can."""
    if kind == "webhook":
        try:
            webhook_address(address)
        except AddressRefused as error:
            return str(error)
        return None
    scheme = apprise_scheme(address)
    if scheme is None:
        return "the address must be one apprise URL, such as tgram://token/chat, discord://id/token or mailtos://user:password@host"
    if scheme not in APPRISE_SCHEMES:
        return f"{scheme}:// was refused; allowed are services that tell people: {', '.join(sorted(APPRISE_SCHEMES))}"
    return None


def masked_address(kind: TargetKind, address: str) -> str:
    """What may be shown of it: a webhook's host, an apprise URL's scheme; its host may be a token."""
    if kind == "webhook":
        try:
            return webhook_address(address).masked
        except AddressRefused:
            return "***"
    scheme = apprise_scheme(address)
    return f"{scheme}://***" if scheme in APPRISE_SCHEMES else "***"


def new_signing_key() -> str:
    """A key for a webhook's signatures: 64 hex digits, to be shown once."""
    return secrets.token_hex(32)


def apprise_scheme(address: str) -> str | None:
    """The scheme of an apprise URL; None for what is no single URL."""
    found = _URL.fullmatch(address) if len(address) <= _LONGEST and address.isprintable() else None
    return found.group(1) if found else None
