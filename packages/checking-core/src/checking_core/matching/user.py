r"""Whether two accounts are one. Pure.

``CORP\alice``, ``alice@corp.example`` and ``alice`` may be one; ``LAB\alice`` and ``CORP\alice`` never are, and a SID
is only ever itself.
"""

from __future__ import annotations

import re

import msgspec

__all__ = ["Account"]

_SID = re.compile(r"s-1-\d+(-\d+)+")


class Account(msgspec.Struct, frozen=True):
    """A user's name and, where it was told, the domain."""

    name: str
    domain: str = ""

    @classmethod
    def of(cls, text: str) -> Account | None:
        """From any of the usual forms; ``None`` if it names nobody."""
        plain = text.strip().casefold()
        domain, separator, name = plain.rpartition("\\")
        if not separator:
            name, _, domain = plain.partition("@")
        domain = "" if domain == "." else domain
        return cls(name, domain) if name and name != "-" else None

    def same_as(self, other: Account) -> bool:
        """Whether both may be one account. A short domain is the first part of a long one."""
        if self.name != other.name or _SID.fullmatch(self.name):
            return self == other
        if not (self.domain and other.domain):
            return True
        longer, shorter = sorted((self.domain, other.domain), key=len, reverse=True)
        return longer == shorter or ("." not in shorter and longer.partition(".")[0] == shorter)
