"""Layouts that a user saved: a page of ours with the choices that its address holds, under a name.

Everything in one comes from a browser: whoever shows a name escapes it, and what is opened is checked and clamped as any address is
(services/views/layout_links.py).
"""

from __future__ import annotations

from typing import Final

import msgspec

MAX_LAYOUTS: Final = 50
LONGEST_NAME: Final = 80
LONGEST_QUERY: Final = 2_000


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """A saved layout.

    owner     whose it is ("local" in an open installation); nobody else reads or changes it
    name      1 to 80 printable characters, unlike the owner's other names
    page      the page's path without a slash, such as "liquidity"; "" is the first page
    query     the choices as the address holds them: "instrument=ETH-USDT-PERP&window=1h"
    is_start  whether the owner's visits begin with it; at most one of an owner's is
    """

    id: str
    owner: str
    name: str
    page: str
    query: str
    created_us: int
    is_start: bool = False
