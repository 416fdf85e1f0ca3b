r"""Whether two accounts are one. Pure.

``CORP\alice``, ``alice@corp.example`` and ``alice`` may be one; ``LAB\alice`` and ``CORP\alice`` never are, and a SID
is only ever itself.
"""

from __future__ import annotations

import msgspec

from checking_core.matching.record import UNTOLD

__all__ = ["Account"]

_EVERYWHERE = frozenset({"root", "system", "local service", "network service", "s-1-5-18", "s-1-5-19", "s-1-5-20"})
_EVERY_DOMAIN = frozenset({"nt authority", "nt service", "window manager", "font driver host"})


class Account(msgspec.Struct, frozen=True):
    """A user's name and, where it was told, the domain."""

    name: str
    domain: str = ""

    @classmethod
    def of(cls, text: str) -> Account | None:
        """From any of the usual forms.

        ``None`` if it names nobody, or one that every host has and most of its processes run as: that tells nothing.
        """
        plain = text.strip().casefold()
        domain, separator, name = plain.rpartition("\\")
        if not separator:
            name, _, domain = plain.partition("@")
        if name in UNTOLD | _EVERYWHERE or name.endswith("$") or domain in _EVERY_DOMAIN:
            return None
        return cls(name, "" if domain == "." else domain)

    def same_as(self, other: Account) -> bool:
        """Whether both may be one account. A short domain is the first part of a long one."""
        if self.name != other.name:
            return False
        if self.domain == other.domain or not (self.domain and other.domain):
            return True
        shorter, longer = sorted((self.domain, other.domain))
        return longer.partition(".")[0] == shorter
