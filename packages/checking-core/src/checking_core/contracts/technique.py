"""How two ATT&CK ids are related: the same, parent and child, or one that the other was renamed to. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from checking_core.contracts.attack_renames import RENAMED

__all__ = ["Kinship", "current_technique", "kinship", "lineage_of"]


class Kinship(IntEnum):
    """How closely two techniques are related; more is closer."""

    NONE = 0
    FAMILY = 1
    SAME = 2


def current_technique(technique: str, renamed: Mapping[str, str] = RENAMED) -> str:
    """The newest id of a technique; a circle of renames ends where it closes."""
    technique = technique.strip().upper()
    seen = {technique}
    while (newer := renamed.get(technique, technique)) not in seen:
        seen.add(newer)
        technique = newer
    return technique


def lineage_of(technique: str, renamed: Mapping[str, str] = RENAMED) -> frozenset[str]:
    """Every id under which a technique may be asked for: itself, its parent, and what these are called now."""
    own = technique.strip().upper()
    lineage = {own, own.partition(".")[0]}
    for name in tuple(lineage):
        now = current_technique(name, renamed)
        lineage |= {now, now.partition(".")[0]}
    return frozenset(lineage - {""})


def kinship(one: str, other: str, renamed: Mapping[str, str] = RENAMED) -> Kinship:
    """How two ids are related; an empty one is related to nothing, not even to another empty one.

    Where several old techniques were merged into one, their common new name makes them a family only: it can no
    longer be told which of them is meant.
    """
    first, second = one.strip().upper(), other.strip().upper()
    if not (first and second):
        return Kinship.NONE
    if first == second:
        return Kinship.SAME
    now, then = current_technique(first, renamed), current_technique(second, renamed)
    if now == then:
        return Kinship.FAMILY if _merged(now, renamed) else Kinship.SAME
    related = now == then.partition(".")[0] or then == now.partition(".")[0]
    return Kinship.FAMILY if related else Kinship.NONE


def _merged(technique: str, renamed: Mapping[str, str]) -> bool:
    return sum(current_technique(old, renamed) == technique for old in renamed) > 1
