"""``checking dead-letters``: messages that could not be accepted, read, sent again or forgotten by a person."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from cyclopts import App, Parameter
from cyclopts.validators import Number

from checking_core.errors import ConfigurationError, NotFoundError

if TYPE_CHECKING:
    from checking_core.storage import Store
    from checking_server.flow.replay import Replay
    from checking_server.flow.rows import Row

__all__ = ["app", "delete", "list_letters", "replay", "show"]

app = App(name="dead-letters", help="Messages that could not be accepted: list, show, replay, delete.")

_AT_A_TIME = 200
_LONGEST_SHOWN = 10_000
_LONGEST_REASON = 200

Ids = Annotated[UUID, Parameter(help="Ids of dead letters.")]
All = Annotated[bool, Parameter(name="--all", help="Every dead letter, or those of --reason.", negative="")]
Reason = Annotated[str, Parameter(help="Only those that have this text in their reason.")]


@app.command(name="list")
async def list_letters(
    *,
    reason: Reason = "",
    limit: Annotated[int, Parameter(help="At most so many.", validator=Number(gte=1, lte=10_000))] = 50,
) -> None:
    """List dead letters, newest first: since when, from which queue, why."""
    from checking_core.report.escape import shortened
    from checking_core.storage import Paging
    from checking_server.commands.terminal import cell, say, table, terminal

    async with _store() as store, store.read() as uow:
        page = await uow.dead_letters.list(Paging(size=limit), reason=reason)
    lines = table("Id", "Since", "Queue", "Reason", whole=("Id", "Since"))
    for row in page.items:
        words = (str(row["id"]), _since(row), row["queue"], shortened(row["reason"], _LONGEST_REASON))
        lines.add_row(*map(cell, words))
    console = terminal()
    if page.rows:
        console.print(lines)
    count = f"{'more than ' if page.total_is_minimum else ''}{page.total}"
    say(console, f"{count} dead letters, {len(page.rows)} shown." if page.rows else "There are no dead letters.")


@app.command
async def show(
    letter: Annotated[UUID, Parameter(help="Id of a dead letter.")],
    /,
    *,
    raw: Annotated[bool, Parameter(help="Write the body alone, whole and as it is.", negative="")] = False,
) -> None:
    """Show a dead letter: where it came from, why it is one, its headers, and its body, made harmless to look at.

    With --raw the body can be taken elsewhere: checking dead-letters show ID --raw | checking ingest -
    """
    import sys

    from checking_core.report.escape import shortened, visible
    from checking_server.commands.terminal import say, terminal

    async with _store() as store, store.read() as uow:
        found = await uow.dead_letters.get(letter)
    if found is None:
        raise NotFoundError(f"there is no dead letter {letter}; checking dead-letters list")
    if raw:
        sys.stdout.flush()
        sys.stdout.buffer.write(found["body"])
        return
    about = {"id": found["id"], "since": _since(found), "queue": found["queue"], "message id": found["message_id"]}
    for name, text in {**about, "reason": found["reason"], **(found["headers"] or {})}.items():
        say(terminal(), f"{name}: {shortened(str(text), _LONGEST_SHOWN)}")
    body = found["body"][:_LONGEST_SHOWN].decode(errors="backslashreplace")
    whole = len(found["body"]) <= _LONGEST_SHOWN
    print(visible(body, keep="\n") + ("" if whole else f"…\n({len(found['body'])} bytes; --raw writes all of them)"))


@app.command
async def replay(*letters: Ids, every: All = False, reason: Reason = "") -> int:
    """Send dead letters again to the queues they came from, and remove each as soon as the broker has its message.

    Their tries count from zero. One that fails again comes back as a new dead letter. Exit code 1 if one was not sent.
    """
    async with _store() as store, _replay(store) as send:
        chosen = await _chosen(store, letters, every=every, reason=reason)
        kept = 0
        for batch in _batches(chosen):
            for key, problem in zip(batch, await send(batch), strict=True):
                if problem is not None:
                    kept += 1
                    _complain(key, str(problem))
    print(f"{len(chosen) - kept} dead letters replayed.")
    return 1 if kept else 0


@app.command
async def delete(*letters: Ids, every: All = False, reason: Reason = "") -> int:
    """Forget dead letters for good. Exit code 1 if one was not there."""
    async with _store() as store:
        chosen = await _chosen(store, letters, every=every, reason=reason)
        gone: set[UUID] = set()
        for batch in _batches(chosen):
            async with store.begin() as uow:
                gone |= await uow.dead_letters.delete_batch(batch)
    for key in chosen:
        if key not in gone:
            _complain(key, "there is no such dead letter")
    print(f"{len(gone)} dead letters deleted.")
    return 0 if len(gone) == len(chosen) else 1


@asynccontextmanager
async def _store() -> AsyncIterator[Store]:
    from checking_core.settings import DatabaseSettings, LogSettings, read
    from checking_server.bootstrap import open_store
    from checking_server.commands.logs import log_problems

    log_problems(read(LogSettings))
    async with open_store(read(DatabaseSettings)) as store:
        yield store


@asynccontextmanager
async def _replay(store: Store) -> AsyncIterator[Replay]:
    from checking_core.settings import BrokerSettings, read
    from checking_core.transport.settings import TopologySettings
    from checking_server.bootstrap import open_replay

    async with open_replay(read(BrokerSettings), read(TopologySettings), store) as replay:
        yield replay


async def _chosen(store: Store, letters: Sequence[UUID], *, every: bool, reason: str) -> list[UUID]:
    """Those that were named or, all at this moment, those that were meant."""
    if bool(letters) == every or (reason and not every):
        raise ConfigurationError("name dead letters by their ids, or say --all, or --all --reason TEXT")
    if letters:
        return list(dict.fromkeys(letters))
    async with store.read() as uow:
        return list(await uow.dead_letters.ids(reason))


def _batches(keys: Sequence[UUID]) -> Iterator[list[UUID]]:
    remaining = iter(keys)
    while batch := list(islice(remaining, _AT_A_TIME)):
        yield batch


def _since(letter: Row) -> str:
    return str(letter["created_at"].astimezone().isoformat(" ", "seconds"))


def _complain(key: UUID, problem: str) -> None:
    import sys

    from checking_core.report.escape import visible

    print(f"checking: {key}: {visible(problem)}", file=sys.stderr)
