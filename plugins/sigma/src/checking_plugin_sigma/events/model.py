"""An event as rules see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from checking_plugin_sigma.events.routing import Route

__all__ = ["Event", "Fields"]

Fields: TypeAlias = dict[str, str | tuple[str, ...]]
"""Every value as text; a list's elements are compared one by one."""


class Event(msgspec.Struct, frozen=True):
    """One event: its fields under Sigma's names, where it belongs, and the line and text it was read from."""

    fields: Fields
    route: Route
    line: int
    raw: bytes

    def text(self, *names: str) -> str:
        """The first of these fields that has a single value, or nothing."""
        return text_of(self.fields, *names)

    @property
    def host(self) -> str:
        """The host it speaks of, as it names it."""
        return self.text("Computer", "_HOSTNAME", "host.name", "hostname", "host.hostname", "host")


def text_of(fields: Mapping[str, str | tuple[str, ...]], *names: str) -> str:
    """The first of these fields that has a single value, or nothing."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, str) and value:
            return value
    return ""
