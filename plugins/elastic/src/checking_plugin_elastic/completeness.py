"""Whether an answer with status 200 saw all of the data: by default Elasticsearch answers in part. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from checking_core.plugin.fields import number_at, values_at

__all__ = ["gaps_in"]

_FLAGS = ("timed_out", "terminated_early", "is_partial", "is_running")
_CLUSTERS = ("skipped", "partial", "failed", "running")


def gaps_in(answer: Mapping[str, Any]) -> tuple[str, ...]:
    """What the answer lacks, in words; nothing if it is complete."""
    gaps = [flag for flag in _FLAGS if answer.get(flag)]
    shards = answer.get("_shards")
    if isinstance(shards, Mapping):
        if failed := number_at(shards, "failed"):
            gaps.append(f"{failed} of {number_at(shards, 'total')} shards failed")
        if number_at(shards, "total") == 0:
            gaps.append("no index was searched")
    gaps += [f"{many} clusters {name}" for name in _CLUSTERS if (many := number_at(answer, f"_clusters.{name}"))]
    failures = values_at(answer, "shard_failures")
    if failures:
        gaps.append(f"{len(failures)} shards failed")
    return tuple(gaps)
