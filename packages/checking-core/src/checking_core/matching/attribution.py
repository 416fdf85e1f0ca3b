"""To which of several executions a record belongs. Pure, and the same whatever order the claims came in.

It belongs to the firmest claim. Equally firm claims of one procedure share it: a recipe that ran twice may raise one
alert. Those of different procedures cannot both be right, and nobody knows which is: they are ambiguous, like every
claim that is weaker than another execution's. A record that sums up several things is everybody's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from uuid import UUID

import msgspec

from checking_core.contracts import MatchTier
from checking_core.matching.tiers import RANK

__all__ = ["Claim", "ambiguous_checks"]


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A check rests on a record.

    ``procedure`` is the fingerprint of what its execution ran, empty if not known. ``decisive``: the headline of the
    check rests on it; what is not only stands behind that, and makes the record the execution's own all the same.
    """

    backend: str
    record_id: str
    check_id: UUID
    execution_id: UUID
    procedure: str
    tier: MatchTier
    shared: bool = False
    decisive: bool = True


def ambiguous_checks(claims: Iterable[Claim]) -> frozenset[UUID]:
    """The checks whose headline rests on nothing but records which belong to another execution, or may.

    Args:
        claims: every claim on the records in question, of all their checks.
    """
    by_record: dict[tuple[str, str], list[Claim]] = defaultdict(list)
    for claim in claims:
        by_record[claim.backend, claim.record_id].append(claim)
    owned: dict[UUID, bool] = defaultdict(bool)
    for rivals in by_record.values():
        owners = _owners(rivals)
        for claim in rivals:
            if claim.decisive:
                owned[claim.check_id] |= claim.execution_id in owners
    return frozenset(check for check, sure in owned.items() if not sure)


def _owners(rivals: Collection[Claim]) -> frozenset[UUID]:
    """The executions whose own this record is; none where it cannot be told."""
    if any(claim.shared for claim in rivals):
        return frozenset(claim.execution_id for claim in rivals)
    firmest = min(RANK[claim.tier] for claim in rivals)
    best = [claim for claim in rivals if RANK[claim.tier] == firmest]
    executions = frozenset(claim.execution_id for claim in best)
    recipes = {claim.procedure for claim in best}
    one_recipe = len(recipes) == 1 and "" not in recipes
    return executions if one_recipe or len(executions) == 1 else frozenset()
