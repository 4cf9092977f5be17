"""E-mail addresses: the form in which they are compared."""

from __future__ import annotations

import unicodedata


def canonical(address: str) -> str:
    """Return the form in which an address is kept and compared: its lower case.

    A character that only looks like another, such as the Kelvin sign U+212A, has the same
    lower case as that one.  An address with such characters (Unicode's compatibility
    characters, UAX #15) is therefore compared as it is, and is never somebody else's.
    """
    return address.lower() if unicodedata.is_normalized("NFKC", address) else address
