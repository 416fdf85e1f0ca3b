"""Who gets how much of what is scarce."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["fair_shares"]


def fair_shares(limit: int, demands: Mapping[str, int]) -> dict[str, int]:
    """Divide a limit: equal shares, what one does not need going to the others.

    Args:
        limit: what there is.
        demands: how much each wants; when it does not divide evenly, the first ones get one more.

    Returns:
        The share of each, none above its demand, together as much of the limit as anybody wants.
    """
    shares = dict.fromkeys(demands, 0)
    while hungry := [name for name in demands if shares[name] < demands[name]][: max(limit, 0)]:
        portion = limit // len(hungry)
        for name in hungry:
            more = min(portion, demands[name] - shares[name])
            shares[name] += more
            limit -= more
    return shares
