"""Email addresses: the canonical form that is stored and compared."""

from __future__ import annotations

import unicodedata


def canonical(address: str) -> str:
    """Return the form in which an address is stored and compared: its lower case.

    Some characters share their lower case with another character, such as the Kelvin sign
    U+212A with ``k``.  An address that contains such compatibility characters (UAX #15)
    is left unchanged, so that it can never match another user's address.
    """
    return address.lower() if unicodedata.is_normalized("NFKC", address) else address
