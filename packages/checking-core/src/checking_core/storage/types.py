"""Column types that mean the same on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import JSONB

__all__ = ["Json", "UtcDateTime", "enum_column", "with_offset"]

Json = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
"""JSON on SQLite, JSONB on PostgreSQL; a Python ``None`` is SQL NULL."""


def with_offset(value: datetime) -> datetime:
    """The same time. Raises ``ValueError`` for a naive one: it would silently mean another hour elsewhere."""
    if value.tzinfo is None:
        raise ValueError("a stored time needs an offset")
    return value


class _Text(sqlite.DATETIME):
    """SQLite's text of a time in a third of its own way's time: a batch of 200 messages binds thousands."""

    def bind_processor(self, dialect: sa.Dialect) -> Callable[[datetime | None], str | None]:  # noqa: ARG002
        """Naive times, for SQLite keeps no offset."""
        return lambda value: None if value is None else value.isoformat(" ", "microseconds")

    def result_processor(
        self,
        dialect: sa.Dialect,  # noqa: ARG002
        coltype: object,  # noqa: ARG002
    ) -> Callable[[str | None], datetime | None]:
        """Their offset back."""
        return lambda value: None if value is None else datetime.fromisoformat(value).replace(tzinfo=UTC)


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """Aware UTC in, aware UTC out. SQLite keeps no offset, so text there is always UTC; asyncpg always gives UTC."""

    impl = sa.DateTime(timezone=True).with_variant(_Text, "sqlite")
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        """See ``sqlalchemy.types.TypeEngine``."""
        return datetime

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Refuse naive times; drop the offset where the database would."""
        if value is None:
            return None
        value = with_offset(value).astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value


class _Enum(sa.Enum):
    """Looks a member up in no more than a dictionary: a page of a list has thousands of them."""

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Callable[[str | None], StrEnum | None]:  # noqa: ARG002
        """See ``sqlalchemy.types.TypeEngine``."""
        assert self.enum_class is not None  # noqa: S101 - ours are made of enums
        members: dict[str | None, Any] = {member.value: member for member in self.enum_class}
        return {**members, None: None}.__getitem__


def enum_column(name: str, kind: type[StrEnum], **options: Any) -> sa.Column[Any]:
    """Text with a CHECK of the enum's values: readable in SQL, the same on both databases."""
    values = _Enum(
        kind,
        native_enum=False,
        length=20 if max(map(len, kind)) <= 20 else 40,
        create_constraint=True,
        name=f"{name}_known",
        values_callable=lambda members: [member.value for member in members],
    )
    return sa.Column(name, values, **options)
