"""``checking dead-letters``: what a person sees of a message that an attacker wrote, and what they may do with it."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.server.conftest import Stations
from tests.services import Broker

from checking_core.errors import ConfigurationError, NotFoundError
from checking_core.storage.tables import dead_letters
from checking_core.transport import Message, Topology
from checking_core.transport.factory import create_transport
from checking_server.commands import dead_letters as command
from checking_server.flow.bury import Bury

Output = pytest.CaptureFixture[str]
ESCAPE = "\x1b[2J\x1b]0;owned\x07"


@pytest.fixture
async def letters(stations: Stations) -> list[UUID]:
    """Three, the oldest first."""
    for number, reason in enumerate(("delivery_limit", f"name: is missing {ESCAPE}", "delivery_limit")):
        stations.clock.move(60)
        headers = {"x-reason": reason, "x-first-queue": stations.topology.instructions_queue, "x-evil": ESCAPE}
        message = Message(
            body=f'{{"n": {number}}}{ESCAPE}\n'.encode() + b"\xff", message_id=f"m{number}", headers=headers
        )
        await Bury(stations.store)([message])
    return [row["id"] for row in sorted(await rows(stations), key=lambda row: row["created_at"])]


async def rows(stations: Stations) -> list[Any]:
    return await stations.rows(dead_letters)


async def test_letters_are_listed_newest_first(letters: list[UUID], capsys: Output) -> None:
    await command.list_letters()
    told = capsys.readouterr().out
    assert [str(key) in told for key in letters] == [True] * 3
    assert told.index(str(letters[2])) < told.index(str(letters[0]))
    assert "3 dead letters, 3 shown." in told
    assert "\x1b" not in told


async def test_a_list_can_be_narrowed_by_reason_and_by_number(letters: list[UUID], capsys: Output) -> None:
    await command.list_letters(reason="is missing")
    assert str(letters[1]) in (told := capsys.readouterr().out)
    assert "1 dead letters, 1 shown." in told
    await command.list_letters(limit=1)
    assert "3 dead letters, 1 shown." in capsys.readouterr().out


async def test_no_letters_is_a_sentence(stations: Stations, capsys: Output) -> None:
    await command.list_letters()
    assert capsys.readouterr().out == "There are no dead letters.\n"


async def test_what_is_shown_of_a_letter_steers_no_terminal(letters: list[UUID], capsys: Output) -> None:
    await command.show(letters[1])
    told = capsys.readouterr().out
    assert "\x1b" not in told
    assert "reason: name: is missing ␛[2J" in told
    assert f"queue: {Topology().instructions_queue}" in told
    assert '{"n": 1}␛[2J' in told
    assert told.rstrip().endswith(r"\xff")


async def test_a_large_body_is_cut_and_says_so(stations: Stations, capsys: Output) -> None:
    await Bury(stations.store)([Message(body=b"a" * 50_000, message_id="m")])
    ((key),) = [row["id"] for row in await rows(stations)]
    await command.show(key)
    told = capsys.readouterr().out
    assert len(told) < 11_000
    assert "(50000 bytes; --raw writes all of them)" in told


async def test_a_raw_body_is_every_byte_and_nothing_else(
    letters: list[UUID], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    await command.show(letters[0], raw=True)
    assert capfdbinary.readouterr().out == f'{{"n": 0}}{ESCAPE}\n'.encode() + b"\xff"


async def test_an_unknown_letter_is_told(stations: Stations, capsys: Output) -> None:
    with pytest.raises(NotFoundError, match="checking dead-letters list"):
        await command.show(uuid4())
    assert await command.delete(uuid4()) == 1
    assert "there is no such dead letter" in capsys.readouterr().err


async def test_letters_are_deleted_by_id_by_reason_and_all(
    stations: Stations, letters: list[UUID], capsys: Output
) -> None:
    assert await command.delete(letters[0], letters[0]) == 0
    assert {row["id"] for row in await rows(stations)} == set(letters[1:])
    assert await command.delete(every=True, reason="IS MISSING") == 0
    assert {row["id"] for row in await rows(stations)} == {letters[2]}
    assert await command.delete(every=True) == 0
    assert await rows(stations) == []
    assert capsys.readouterr().out == "1 dead letters deleted.\n" * 3


@pytest.mark.parametrize("meant", [{}, {"reason": "x"}, {"ids": True, "every": True}, {"ids": True, "reason": "x"}])
async def test_what_is_not_clearly_meant_is_not_deleted(
    stations: Stations, letters: list[UUID], meant: dict[str, Any]
) -> None:
    ids = letters if meant.pop("ids", False) else []
    with pytest.raises(ConfigurationError, match="--all --reason TEXT"):
        await command.delete(*ids, **meant)
    assert len(await rows(stations)) == 3


async def test_without_a_broker_a_replay_names_another_way(letters: list[UUID]) -> None:
    with pytest.raises(ConfigurationError, match=r"--raw \| checking ingest -"):
        await command.replay(*letters)


async def test_letters_are_replayed_over_the_broker(
    stations: Stations,
    letters: list[UUID],
    rabbitmq: Broker,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Output,
) -> None:
    """Those of another topology stay, and cost the exit code."""
    prefix = f"replay-{uuid4().hex[:8]}."
    topology = stations.topology.prefixed(prefix)
    headers = {"x-reason": "r", "x-first-queue": topology.instructions_queue}
    await Bury(stations.store)([Message(body=b"again", message_id="m", headers=headers)])
    monkeypatch.setenv("CHECKING_AMQP_URL", rabbitmq.url)
    monkeypatch.setenv("CHECKING_TOPOLOGY_PREFIX", prefix)
    assert await command.replay(every=True) == 1
    told = capsys.readouterr()
    assert told.out == "1 dead letters replayed.\n"
    assert told.err.count("it came from no queue of this topology") == 3
    assert {row["id"] for row in await rows(stations)} == set(letters)
    transport = create_transport(rabbitmq.url, topology)
    await transport.start()
    (delivery,) = await (await transport.subscribe(topology.instructions_queue, prefetch=1)).batch(1, 0)
    assert delivery.message.body == b"again"
    await transport.close()
