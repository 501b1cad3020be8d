"""`keys`: makes, lists and revokes API keys where there is no page yet, and for scripts. See docs/access.md."""

from __future__ import annotations

import argparse
import sys

from config import load_settings
from services.access.book import AccessBook, AccessRules
from services.access.visitor import LOCAL
from services.clock import SystemClock
from services.commands.opening import open_store
from services.domain.access import KEY_SCOPES, TIER_NAMES, ApiKey
from services.domain.errors import ConfigError
from services.domain.windows import from_us


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the sub-command."""
    parser = subparsers.add_parser("keys", help="make, list and revoke API keys")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make a key; it is printed once")
    create.add_argument("--name", required=True, help="what it is for")
    create.add_argument("--tier", choices=TIER_NAMES, help="of a service's key; leave it out with --owner")
    create.add_argument("--owner", default="", help="id of the user (u_…) whose key it is and whose tier it follows")
    create.add_argument("--scopes", default="read", help=f"comma-separated, of {', '.join(KEY_SCOPES)} (default read)")
    create.add_argument("--days", type=int, default=365, help="until it expires (default 365; 0 is never)")
    actions.add_parser("list", help="all keys, without their secrets")
    revoke = actions.add_parser("revoke", help="revoke a key for good")
    revoke.add_argument("key_id", help="the part between the underscores")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0 when done, 2 when there was nothing to do it to; raises DashboardError with a sentence."""
    settings = load_settings()
    if settings.store == "memory":
        raise ConfigError("HEATMAP_STORE was memory, which forgets keys when this command ends; it must be postgres")
    store = open_store(settings)
    try:
        book = AccessBook(store, AccessRules(settings.access, settings.admins), SystemClock())
        return {"create": _create, "list": _list, "revoke": _revoke}[args.action](book, args)
    finally:
        store.close()


def _create(book: AccessBook, args: argparse.Namespace) -> int:
    scopes = [scope.strip() for scope in args.scopes.split(",") if scope.strip()]
    key, made = book.create_key(
        LOCAL, name=args.name, scopes=scopes, owner=args.owner, tier=args.tier, days=args.days or None
    )  # fmt: skip
    sys.stdout.write(f"{made.text}\n")
    sys.stderr.write(f"key {key.id}, {_expiry(key)}: shown this once, only its hash is kept\n")
    return 0


def _list(book: AccessBook, _args: argparse.Namespace) -> int:
    for key in book.keys(LOCAL):
        state = "revoked" if key.revoked_us is not None else _expiry(key)
        used = "never used" if key.last_used_us is None else f"last used {from_us(key.last_used_us):%Y-%m-%d %H:%M}"
        whose = key.owner or f"service, {key.tier}"
        sys.stdout.write(f"{key.id}  {key.name!r}  {whose}  {','.join(key.scopes)}  {state}  {used}\n")
    return 0


def _revoke(book: AccessBook, args: argparse.Namespace) -> int:
    is_done = book.revoke_key(LOCAL, args.key_id)
    sys.stderr.write(f"key {args.key_id!r} {'is revoked' if is_done else 'was not there, or revoked before'}\n")
    return 0 if is_done else 2


def _expiry(key: ApiKey) -> str:
    return "never expires" if key.expires_us is None else f"expires {from_us(key.expires_us):%Y-%m-%d}"
