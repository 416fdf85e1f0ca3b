"""All pages of a search, until there are no more or nobody wants more."""

from __future__ import annotations

from typing import Any, NamedTuple

from checking_core.plugin.fields import texts_at
from checking_plugin_crowdstrike.answers import page_of
from checking_plugin_crowdstrike.client import CrowdStrikeClient, traced
from checking_plugin_crowdstrike.queries import Asked

__all__ = ["Found", "search"]


class Found(NamedTuple):
    """Rows in order; ``gaps`` are what is missing of them for another reason than that nobody wanted more."""

    rows: list[dict[str, Any]]
    whole: bool
    gaps: tuple[str, ...]
    clock_offset: float | None


async def search(client: CrowdStrikeClient, question: Asked, *, limit: int) -> Found:
    """The rows of all pages, each record once.

    A page may hold fewer rows than were asked for, and the last one may lead to another that is empty; so the end is
    where there is no way on, or nothing new on it, and only what the answers say of the total tells whether that was
    too early. The largest total counts: a record that one page knew of may be lost on the next.

    Args:
        client: of the customer.
        question: what is searched.
        limit: rows that are wanted.

    Raises:
        DetectionError: of the client.
    """
    rows: dict[str | int, dict[str, Any]] = {}
    errors: list[str] = []
    totals: list[int] = []
    cursor: str | None = None
    while True:
        known = len(rows)
        reply = await client.ask(question.page(cursor))
        page = page_of(reply.json(), question.store.next_cursor)
        for row in page.rows:
            # A row without an id is one of its own: it cannot be told that it came before.
            rows[next(iter(texts_at(row, question.store.id)), len(rows))] = row
        errors += [traced(error, reply) for error in page.errors]
        totals += [] if page.total is None else [page.total]
        cursor = page.cursor
        if cursor is None or len(rows) == known or len(rows) >= limit:
            break
    total = max(totals, default=None)
    all_there = total is not None and total <= len(rows)
    if not all_there and len(rows) < limit:
        errors.append(f"{len(rows)} records came of {'nobody knows how many' if total is None else total}")
    return Found([*rows.values()], all_there and not errors, tuple(dict.fromkeys(errors)), reply.clock_offset)
