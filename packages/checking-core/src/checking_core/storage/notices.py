"""What a transaction has changed, told to whoever watches once it is committed, and never before.

Repositories note it as they write, so no writer can forget it. A notice is small: ids and words of ours, and nothing of
what a target or an attacker wrote but a short state; who wants more reads the row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias
from uuid import UUID

import msgspec
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from checking_core.contracts import CheckStatus, Outcome, Reason
from checking_core.storage import channel

__all__ = ["NOTED_COLUMNS", "CheckNotice", "Notes", "Notice", "OperationNotice", "following", "send"]

log = structlog.get_logger(__name__)

_CHANNEL = "checking_changes"
_LONGEST_STATE = 100


class OperationNotice(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="operation"):
    """An operation is new, or tells something else of itself now."""

    operation_id: UUID
    state: str | None


class CheckNotice(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="check"):
    """A check is new, was sent, or was answered. ``reason`` is that of its newest verdict, if it got one just now."""

    id: UUID
    operation_id: UUID
    execution_result_id: UUID
    detection_platform: str
    look: int
    status: CheckStatus
    outcome: Outcome
    reason: Reason | None = None


Notice: TypeAlias = OperationNotice | CheckNotice

NOTED_COLUMNS = tuple(name for name in CheckNotice.__struct_fields__ if name != "reason")
"""What a notice tells of a check's row."""


class Notes:
    """The notices of one transaction: of each thing the last word."""

    def __init__(self) -> None:
        self._operations: dict[UUID, str | None] = {}
        self._checks: dict[UUID, CheckNotice] = {}
        self._reasons: dict[UUID, Reason | None] = {}

    def operation(self, operation_id: UUID, state: str | None) -> None:
        """It has been written."""
        self._operations[operation_id] = state[:_LONGEST_STATE] if state else None

    def check(self, row: Mapping[Any, Any]) -> None:
        """It has been written, and has these columns now."""
        self._checks[row["id"]] = CheckNotice(**{name: row[name] for name in NOTED_COLUMNS})

    def verdict(self, check_id: UUID, reason: Reason | None) -> None:
        """It got a result."""
        self._reasons[check_id] = reason

    def __iter__(self) -> Iterator[Notice]:
        for operation_id, state in self._operations.items():
            yield OperationNotice(operation_id=operation_id, state=state)
        for key, check in self._checks.items():
            reason = self._reasons.get(key)
            yield msgspec.structs.replace(check, reason=reason) if reason else check


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[Notice]).decode


async def send(connection: AsyncConnection, notices: Sequence[Notice]) -> None:
    """Tell every process that follows, once the transaction is committed."""
    if notices:
        await channel.send(connection, _CHANNEL, list(_payloads(notices)))


def following(
    engine: AsyncEngine, on_notices: Callable[[Sequence[Notice]], None], *, on_gap: Callable[[], None]
) -> AbstractAsyncContextManager[None]:
    """Pass on what every process changes while the block runs.

    Args:
        engine: of PostgreSQL; one connection of it is held all the time.
        on_notices: must not block.
        on_gap: called whenever following begins, and when something could not be read: some may have been missed.
    """

    def read(payload: str) -> None:
        try:
            notices = _decode(payload)
        except msgspec.MsgspecError as error:  # of a process of another release
            log.warning("notice_not_read", problem=str(error))
            on_gap()
        else:
            on_notices(notices)

    return channel.listening(engine, _CHANNEL, read, on_begin=on_gap)


def _payloads(notices: Sequence[Notice]) -> Iterator[str]:
    """JSON lists of them, each as long as a notification may be."""
    page: list[bytes] = []
    size = 0
    for text in map(_encode, notices):
        if page and size + len(text) + 2 > channel.LONGEST:
            yield f"[{b','.join(page).decode()}]"
            page, size = [], 0
        page.append(text)
        size += len(text) + 1
    yield f"[{b','.join(page).decode()}]"
