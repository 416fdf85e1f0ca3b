"""What people change of checks stands in the audit log, with what it was and is."""

from __future__ import annotations

from checking_core.storage import UnitOfWork
from checking_core.storage.audit import Author
from checking_server.flow.rows import Row

__all__ = ["note_check"]

_TELLING = ("status", "outcome", "look")


async def note_check(uow: UnitOfWork, author: Author, what: str, before: Row, changed: Row, **more: object) -> None:
    """Note a change of one check in the transaction that makes it.

    Args:
        uow: the transaction.
        author: who.
        what: became of the check, as ``retry``.
        before: the check as it was.
        changed: its columns that change.
        more: what else was said.
    """
    was = {name: before[name] for name in _TELLING}
    now = {name: changed.get(name, before[name]) for name in _TELLING}
    await uow.audit.note(author, f"check.{what}", before["id"], before=was, after={**now, **more})
