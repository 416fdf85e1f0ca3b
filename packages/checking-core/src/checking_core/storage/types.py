"""Column types that mean the same on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

__all__ = ["Json", "UtcDateTime", "enum_column"]

Json = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
"""JSON on SQLite, JSONB on PostgreSQL; a Python ``None`` is SQL NULL."""


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """Aware UTC in, aware UTC out. SQLite keeps no offset, so text there is always UTC."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Refuse naive times: they would silently mean another hour on another machine."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a stored time needs an offset")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002
        """Give SQLite's naive text its offset back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def enum_column(name: str, kind: type[StrEnum], **options: Any) -> sa.Column[Any]:
    """Text with a CHECK of the enum's values: readable in SQL, the same on both databases."""
    values = sa.Enum(
        kind,
        native_enum=False,
        length=20 if max(map(len, kind)) <= 20 else 40,
        create_constraint=True,
        name=f"{name}_known",
        values_callable=lambda members: [member.value for member in members],
    )
    return sa.Column(name, values, **options)
