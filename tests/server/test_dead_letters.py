"""Dead letters: kept once with their reason, sent again to where they came from, removed only when they have left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from msgspec.structs import replace

from checking_core.contracts import CheckStatus, Outcome, Reason, decode_task
from checking_core.errors import ConfigurationError, NotFoundError, PublishError
from checking_core.storage.tables import dead_letters
from checking_core.transport import (
    DELIVERY_LIMIT,
    HEADER_FIRST_QUEUE,
    HEADER_REASON,
    HEADER_REPLAY_OF,
    HEADER_REQUEST_ID,
    Message,
    Outgoing,
)
from checking_core.transport.memory import MemoryTransport
from checking_server.flow.bury import Bury
from checking_server.flow.replay import Replay

from .conftest import Stations, an_answer

Link = Callable[..., bytes]


def dead(number: int = 1, *, queue: str = "caldera.checking.instructions", **headers: str) -> Message:
    """A message as it lies in the queue of the dead letters."""
    about = {HEADER_REASON: "operation.name: is missing", HEADER_FIRST_QUEUE: queue, HEADER_REQUEST_ID: "r1"}
    return Message(body=b"poison %d" % number, message_id=f"m{number}", headers={**about, **headers})


async def kept(stations: Stations) -> list[Any]:
    return await stations.rows(dead_letters)


async def test_a_dead_letter_is_kept_with_its_reason_and_its_queue(stations: Stations) -> None:
    await Bury(stations.store)([dead()])
    (row,) = await kept(stations)
    assert (row["queue"], row["reason"]) == ("caldera.checking.instructions", "operation.name: is missing")
    assert (row["body"], row["message_id"], row["headers"][HEADER_REQUEST_ID]) == (b"poison 1", "m1", "r1")


async def test_a_dead_letter_that_is_delivered_twice_is_kept_once(stations: Stations) -> None:
    bury = Bury(stations.store)
    await bury([dead(), dead()])
    await bury([dead(), dead(2)])
    assert sorted(row["body"] for row in await kept(stations)) == [b"poison 1", b"poison 2"]


async def test_headers_that_no_database_stores_cost_no_letter(stations: Stations) -> None:
    await Bury(stations.store)([dead(**{HEADER_REASON: "nul \0", "x\0y": "\ud800", "queue": "q" * 9000})])
    (row,) = await kept(stations)
    assert row["reason"] == "nul \ufffd"


async def fatal_task(stations: Stations, link: Link, **headers: str) -> Message:
    """A task that was sent, as it lies in the queue of the dead letters."""
    worker = await stations.serve("siem")
    await stations.accepts(link())
    await stations.dispatch()
    (delivery,) = await worker.batch(1, 0)
    about = {HEADER_REASON: DELIVERY_LIMIT, HEADER_FIRST_QUEUE: delivery.queue, **headers}
    return replace(delivery.message, headers=about)


async def test_a_task_that_no_worker_survived_closes_its_check(stations: Stations, link: Link) -> None:
    await Bury(stations.store)([dead(), await fatal_task(stations, link)])
    (check,), (result,) = await stations.checks(), await stations.results()
    assert (check["status"], check["outcome"]) == (CheckStatus.FAILED, Outcome.INCONCLUSIVE)
    assert (result["reason"], result["result_source"]) == (Reason.WORKER_LOST, "engine")
    assert len(await kept(stations)) == 2


async def test_a_fatal_task_that_is_replayed_can_still_be_answered(stations: Stations, link: Link) -> None:
    letter = await fatal_task(stations, link)
    await Bury(stations.store)([letter])
    stations.clock.move(1)
    await stations.gathers(an_answer(decode_task(letter.body)))
    (check,) = await stations.checks()
    assert check["status"] is CheckStatus.COMPLETED


async def test_a_fatal_task_that_was_answered_closes_nothing_and_is_no_letter(stations: Stations, link: Link) -> None:
    """Replayed, it would change nothing."""
    letter = await fatal_task(stations, link)
    await stations.gathers(an_answer(decode_task(letter.body)))
    before = await stations.checks()
    await Bury(stations.store)([letter, dead(), letter])
    assert await stations.checks() == before
    assert len(await stations.results()) == 1
    assert [row["body"] for row in await kept(stations)] == [dead().body]


async def test_a_fatal_task_of_a_check_that_is_not_here_is_kept(stations: Stations, link: Link) -> None:
    letter = await fatal_task(stations, link)
    stranger = msgspec.json.encode({**msgspec.json.decode(letter.body), "detection_execution_id": str(uuid4())})
    await Bury(stations.store)([replace(letter, body=stranger)])
    assert [row["body"] for row in await kept(stations)] == [stranger]


async def test_a_task_that_a_worker_refused_leaves_its_check_to_the_lease(stations: Stations, link: Link) -> None:
    """It may be a worker that is too old; the next one may know better."""
    await Bury(stations.store)([await fatal_task(stations, link, **{HEADER_REASON: "v: is of another version"})])
    (check,) = await stations.checks()
    assert check["status"] is CheckStatus.DISPATCHED


async def test_a_replayed_letter_arrives_as_a_new_message_and_is_gone(stations: Stations) -> None:
    await Bury(stations.store)([dead(), dead(2)])
    first, second = await kept(stations)
    replay = Replay(stations.store, stations.transport, stations.topology)
    assert await replay([first["id"]]) == [None]
    assert [row["id"] for row in await kept(stations)] == [second["id"]]
    instructions = await stations.transport.subscribe(stations.topology.instructions_queue, prefetch=9)
    (delivery,) = await instructions.batch(9, 0)
    assert (delivery.message.body, delivery.message.message_id, delivery.tries) == (first["body"], "m1", 0)
    assert delivery.message.headers == {HEADER_REQUEST_ID: "r1", HEADER_REPLAY_OF: str(first["id"])}


async def test_a_replayed_message_that_fails_again_is_a_new_letter(stations: Stations) -> None:
    """Whatever comes first, the removal of the old letter or the arrival of the new one."""
    bury = Bury(stations.store)
    await bury([dead()])
    (row,) = await kept(stations)
    await bury([dead(**{HEADER_REPLAY_OF: str(row["id"])})])
    assert len(await kept(stations)) == 2


async def test_a_replayed_message_is_accepted_once_it_can_be(stations: Stations, link: Link) -> None:
    letter = Message(body=link(), message_id="m", headers=dead().headers)
    await Bury(stations.store)([letter])
    (row,) = await kept(stations)
    await Replay(stations.store, stations.transport, stations.topology)([row["id"]])
    instructions = await stations.transport.subscribe(stations.topology.instructions_queue, prefetch=9)
    await stations.accept([delivery.message for delivery in await instructions.batch(9, 0)])
    assert len(await stations.checks()) == 1


class Refusing(MemoryTransport):
    """A broker that confirms every second message."""

    async def publish(self, items: Sequence[Outgoing]) -> Sequence[PublishError | None]:
        return [PublishError("not confirmed") if number % 2 else None for number, _ in enumerate(items)]


async def test_a_letter_stays_until_the_broker_has_its_message(stations: Stations) -> None:
    await Bury(stations.store)([dead(number) for number in range(4)])
    ids = [row["id"] for row in await kept(stations)]
    answers = await Replay(stations.store, Refusing(), stations.topology)(ids)
    assert [isinstance(answer, PublishError) for answer in answers] == [False, True, False, True]
    assert {row["id"] for row in await kept(stations)} == {ids[1], ids[3]}


@pytest.mark.parametrize("queue", ["", "somebody.else", "caldera.checking.dead"])
async def test_a_letter_from_no_queue_of_ours_stays(stations: Stations, queue: str) -> None:
    await Bury(stations.store)([dead(queue=queue)])
    (row,) = await kept(stations)
    replay = Replay(stations.store, stations.transport, stations.topology)
    stayed, unknown = await replay([row["id"], uuid4()])
    assert isinstance(stayed, ConfigurationError)
    assert isinstance(unknown, NotFoundError)
    assert len(await kept(stations)) == 1
