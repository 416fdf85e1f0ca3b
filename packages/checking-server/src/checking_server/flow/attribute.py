"""To whom the records belong that verdicts rest on: decided anew whenever a claim comes or goes.

What is decided depends on the claims that are stored and on nothing else, so the order in which they came leaves no
trace.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from checking_core.matching.attribution import ambiguous_checks
from checking_core.storage import UnitOfWork
from checking_server.flow.rows import Row

__all__ = ["attribute"]


async def attribute(
    uow: UnitOfWork, claims: Mapping[UUID, Sequence[Row]], *, asked_before: Collection[UUID] = ()
) -> None:
    """Store what new results rest on, and mark every current result whose claims that makes doubtful, or sure again.

    Without ``claims`` it only forgets: for checks that are about to be deleted.

    Args:
        uow: the transaction that has locked the checks and stored their results.
        claims: by check, for each with a new result.
        asked_before: checks that may rest on something since an earlier look; that is forgotten.
    """
    rows = [row for own in claims.values() for row in own]
    touched: dict[str, set[str]] = defaultdict(set)
    for backend, record_id in await uow.claims.records_of(asked_before) if asked_before else ():
        touched[backend].add(record_id)
    for row in rows:
        touched[row["backend"]].add(row["record_id"])
    if not touched:
        return
    await uow.claims.hold(touched)
    await uow.claims.replace(asked_before, rows)
    for backend, record_ids in touched.items():
        await _decide(uow, backend, record_ids, new=claims)


async def _decide(uow: UnitOfWork, backend: str, record_ids: Collection[str], *, new: Collection[UUID]) -> None:
    """Mark the checks that rest on these records; a new result is stored as one that nobody else claims."""
    claims = await uow.claims.around(backend, record_ids)
    concerned = {claim.check_id for claim in claims if claim.record_id in record_ids}
    ambiguous = ambiguous_checks(claims) & concerned
    await uow.claims.mark(ambiguous, ambiguous=True)
    await uow.claims.mark(concerned - ambiguous - set(new), ambiguous=False)
