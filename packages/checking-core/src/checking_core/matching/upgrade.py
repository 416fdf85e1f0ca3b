"""Which of two verdicts of one check stands, when somebody has it asked again after it was closed. Pure."""

from __future__ import annotations

from checking_core.contracts import MatchTier, Outcome
from checking_core.matching.judge import outranks
from checking_core.matching.tiers import RANK

__all__ = ["outlasts"]

_SAYS = {Outcome.NONE: 2, Outcome.NO_ALERT: 2, Outcome.NOT_APPLICABLE: 1}
"""Of verdicts that show nothing: a proven no says more than that nobody could tell."""


def outlasts(stands: Outcome, tier: MatchTier | None, outcome: Outcome, new_tier: MatchTier | None) -> bool:
    """Whether a verdict stands against a later answer: records age out of a backend, what they proved does not.

    It gives way to what shows more, or as much from firmer evidence; a no also to a newer no, a doubt to anything.

    Args:
        stands: the present headline.
        tier: of its evidence.
        outcome: the later one.
        new_tier: of that one's evidence.
    """
    if outranks(stands, outcome) or outranks(outcome, stands):
        return outranks(stands, outcome)
    if outranks(stands, Outcome.INCONCLUSIVE):
        return _rank(new_tier) >= _rank(tier)
    return _SAYS.get(stands, 0) > _SAYS.get(outcome, 0)


def _rank(tier: MatchTier | None) -> int:
    return len(RANK) if tier is None else RANK[tier]
