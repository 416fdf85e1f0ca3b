"""``checking keys``: who may use the API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from cyclopts import App, Parameter
from cyclopts.validators import Number

from checking_core.contracts import AccessRole

if TYPE_CHECKING:
    from datetime import datetime

    from checking_core.storage import Store

__all__ = ["app", "create", "list_keys", "revoke"]

app = App(name="keys", help="Keys to the API: create, list, revoke.")


@app.command
async def create(
    name: Annotated[str, Parameter(help="Who or what it is for.")],
    /,
    *,
    role: Annotated[AccessRole, Parameter(help="What it allows: viewer, analyst, operator or admin.")],
    scope: Annotated[
        tuple[str, ...], Parameter(help="Confine it to these groups of routes; may be repeated.", negative="")
    ] = (),
    days: Annotated[
        int | None,
        Parameter(help="Good for so many days; else until it is revoked.", validator=Number(gte=1, lte=36_500)),
    ] = None,
) -> None:
    """Make a key and print it, this once: the store keeps what proves it, not the key."""
    from checking_server.access import create_key, scopes_named
    from checking_server.commands.author import author

    scopes = scopes_named(scope)
    async with _store() as store, store.begin() as uow:
        expires_at = None if days is None else uow.now + timedelta(days=days)
        key, row = await create_key(uow, author(), name=name, role=role, scopes=scopes, expires_at=expires_at)
    print(key)
    _say(f"Key {row['id']} for {name}, {role}, {_until(expires_at)}. Keep it: it is not shown again.")
    _say("Use it as the header X-API-Key, or as Authorization: Bearer.")


@app.command(name="list")
async def list_keys() -> None:
    """List keys, newest first: whose, what they allow, when they were used last, until when they are good."""
    from checking_core.storage import Paging
    from checking_server.commands.terminal import cell, say, table, terminal

    async with _store() as store, store.read() as uow:
        page, now = await uow.api_keys.list(Paging(size=1_000)), uow.now
    lines = table("Id", "Begins", "Name", "Role", "Scopes", "Last used", "Good", whole=("Id", "Begins"))
    for row in page.items:
        ended = row["expires_at"] is not None and row["expires_at"] <= now
        good = "revoked" if row["revoked_at"] else "expired" if ended else _until(row["expires_at"])
        used = _time(row["last_used_at"]) if row["last_used_at"] else "never"
        scopes = ", ".join(row["scopes"]) or "all"
        words = (str(row["id"]), f"chk_{row['prefix']}", row["name"], row["role"], scopes, used, good)
        lines.add_row(*map(cell, words))
    console = terminal()
    if page.rows:
        console.print(lines)
    say(console, f"{page.total} keys, {len(page.rows)} shown.")


@app.command
async def revoke(key: Annotated[UUID, Parameter(help="Id of the key.")], /) -> None:
    """Let a key be good for nothing. Servers know within five seconds; tokens made from it end with it."""
    from checking_server.access import revoke_key
    from checking_server.commands.author import author

    async with _store() as store, store.begin() as uow:
        row = await revoke_key(uow, author(), key)
    _say(f"Key {key} for {row['name']} is revoked.")


@asynccontextmanager
async def _store() -> AsyncIterator[Store]:
    from checking_core.settings import DatabaseSettings, read
    from checking_server.bootstrap import open_store

    async with open_store(read(DatabaseSettings)) as store:
        yield store


def _until(expires_at: datetime | None) -> str:
    return "until it is revoked" if expires_at is None else f"until {_time(expires_at)}"


def _time(value: datetime) -> str:
    return value.astimezone().isoformat(" ", "minutes")


def _say(text: str) -> None:
    """To stderr, so that stdout is the key alone."""
    import sys

    from checking_server.commands.terminal import say, terminal

    say(terminal(sys.stderr), text)
