"""The version, told by the pages, the API, exports and recordings."""

from typing import Final

VERSION: Final = "0.1.0"
