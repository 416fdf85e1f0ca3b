"""The audit log: who changed what. Append-only."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from checking_core.storage.listing import FIRST_PAGE, Listed, Page, Paging
from checking_core.storage.tables import audit_log

__all__ = ["Audit", "AuditFilter", "Author"]


Row: TypeAlias = Mapping[Any, Any]


class Author(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks for a change: a name, the key it came with, from which address, under which request id."""

    name: str
    key_id: UUID | None = None
    address: str | None = None
    request_id: str | None = None


class AuditFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Of entries: ``action`` is exact, as ``check.retry``; ``subject`` is the id of what was changed."""

    action: str | None = None
    subject: str | None = None
    author: str | None = None
    since: datetime | None = None
    until: datetime | None = None


ANY_ENTRY = AuditFilter()


class Audit:
    """Asks and answers about the audit log, inside the transaction of the change that is noted."""

    def __init__(self, connection: AsyncConnection, now: datetime) -> None:
        self._connection = connection
        self._now = now

    async def note(
        self, author: Author, action: str, subject: object, *, before: Row | None = None, after: Row | None = None
    ) -> None:
        """Append an entry.

        Args:
            author: who.
            action: what kind of thing and what became of it, as ``api_key.create``.
            subject: its id.
            before: what of it has changed, as it was; ``None`` if it is new.
            after: the same as it is now; ``None`` if it is gone.
        """
        row = {
            "id": uuid7(),
            "author": author.name,
            "key_id": author.key_id,
            "address": author.address,
            "request_id": author.request_id,
            "action": action,
            "subject": str(subject),
            "before": _plain(before),
            "after": _plain(after),
            "created_at": self._now,
        }
        await self._connection.execute(_APPEND, row)

    async def list(self, paging: Paging = FIRST_PAGE, wanted: AuditFilter = ANY_ENTRY) -> Page:
        """A page of entries, newest first."""
        told = audit_log.c
        tests: dict[str, Any] = {
            "action": told.action.__eq__,
            "subject": told.subject.__eq__,
            "author": told.author.__eq__,
            "since": told.created_at.__ge__,
            "until": told.created_at.__lt__,
        }
        asked = msgspec.structs.asdict(wanted).items()
        where = [tests[name](value) for name, value in asked if value is not None]
        return await _LISTED.page(self._connection, where, sort="-created_at", paging=paging)


_APPEND = sa.insert(audit_log)
_LISTED = Listed(audit_log, sa.select(audit_log))


def _plain(told: Row | None) -> dict[str, Any] | None:
    """As JSON has it. Names that come from a database are a kind of text of their own."""
    return None if told is None else {str(name): msgspec.to_builtins(value) for name, value in told.items()}
