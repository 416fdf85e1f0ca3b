"""All pages of a search, until there are no more or nobody wants more."""

from __future__ import annotations

from typing import Any, NamedTuple

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
    """The rows of all pages.

    A page may hold fewer rows than were asked for, and the last one may lead to another that is empty; so the end is
    where there is no way on, and what the answers say of the total tells whether that was too early.

    Args:
        client: of the customer.
        question: what is searched.
        limit: rows that are wanted.

    Raises:
        DetectionError: of the client.
    """
    rows: list[dict[str, Any]] = []
    errors: list[str] = []
    ways: set[str] = set()
    cursor: str | None = None
    while True:
        reply = await client.ask(question.page(cursor))
        page = page_of(reply.json(), question.store.next_cursor)
        rows += page.rows
        errors += [traced(error, reply) for error in page.errors]
        if page.cursor is None or not page.rows or page.cursor in ways or len(rows) >= limit:
            break
        cursor = page.cursor
        ways.add(cursor)
    all_there = len(rows) >= page.total if page.total is not None else page.cursor is None
    if not all_there and len(rows) < limit:
        errors.append(f"{len(rows)} records came of {'more' if page.total is None else page.total}")
    return Found(rows, all_there and not errors, tuple(dict.fromkeys(errors)), reply.clock_offset)
