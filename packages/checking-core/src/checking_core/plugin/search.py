"""What a search detector is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from checking_core.contracts import Ask, DetectionConfig, Reason
from checking_core.contracts.detection_config import AlertQuestion
from checking_core.matching.window import Window

__all__ = ["Rule", "SearchAnswer", "SearchRequest"]


class SearchRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One question to one backend.

    ``ask`` is never ``prevention``: whether something was blocked is told by the alerts. ``query`` has its
    placeholders filled in; it is ``None`` where the alert store is asked and the author added no condition.

    ``hosts`` and ``alert`` narrow a question. They are empty at first, since one answer about everything serves many
    looks, and filled in only where that is more than ``limit`` records: then a product that can search by host, or by
    rule, should. A record too many does no harm, core tells them apart; one too few may be the one that is wanted, so
    search for every form of a host's name, and whatever its case.

    Records beyond ``limit`` are not wanted. After ``timeout`` seconds nobody waits any more. ``config`` is there for
    the plugin's own keys.
    """

    ask: Ask
    query: str | None
    language: str | None = None
    index: str | None = None
    alert: AlertQuestion | None = None
    hosts: tuple[str, ...] = ()
    window: Window
    limit: int
    timeout: float = 60.0
    config: DetectionConfig


class SearchAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the backend said.

    ``complete`` is false when it answered from a part of its data, or has more records than it handed over: a hit
    still counts, a silence does not. Where nothing is said of it, as many records as the request's ``limit`` are taken
    for the first of more, and fewer for all. ``query_sent`` is the query as the backend got it. ``messages`` are the
    backend's own warnings. ``clock_offset`` is backend minus worker, in seconds.
    """

    records: Sequence[Mapping[str, Any]]
    complete: bool | None = None
    reason: Reason | None = None
    query_sent: str | None = None
    messages: tuple[str, ...] = ()
    clock_offset: float | None = None


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that the product knows."""

    id: str
    name: str
    enabled: bool = True
    version: str | None = None
