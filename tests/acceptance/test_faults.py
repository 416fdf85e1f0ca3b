"""Every role a process of its own: killed at work, left without database or workers, fed what can not be accepted."""

from __future__ import annotations

import json
import os
import secrets
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from tests.services import PrivateBroker, PrivatePostgres, fresh_database

from checking_core.contracts.codec import MAX_BODY
from checking_core.transport.base import Message, Outgoing
from checking_core.transport.topology import Topology

from .bundle import message
from .faults import ONE_CHANCE, Kill, good, killed, slow, slow_backend, unserved, without_database
from .site import ROLES, Site

pytestmark = pytest.mark.timeout(300)  # many processes and much work, on a machine that may have other work as well

REDELIVERED = (
    "lists:sum([maps:get(messages_redelivered_total, Of, 0) || Of <- maps:values(rabbit_global_counters:overview())])."
)
AT_WORK = {"BACKENDS": '{"mock": {"plugin": "mock", "max_in_flight": 100}}', "BATCH_SIZE": 25}


async def test_kills_lose_nothing_and_double_nothing(
    tmp_path: Path, postgres_server_url: str, private_rabbitmq: PrivateBroker
) -> None:
    seed = int(os.environ.get("CHECKING_FAULTS_SEED") or secrets.randbelow(2**32))
    print(f"seed {seed}")
    random = Random(seed)
    victims = random.sample([*ROLES, "worker-1", "broker"], 6)
    kills = [Kill(victim, random.uniform(0.05, 0.4)) for victim in victims]
    with fresh_database(postgres_server_url) as database:
        services = {"broker": private_rabbitmq.restart}
        site = Site(tmp_path, database, private_rabbitmq.url, services=services, **AT_WORK)
        await killed(site, 2000, kills, random)
    assert [part for part in (*ROLES, "worker-1") if site.starts[part] < 2] == []


async def test_a_database_that_stops_and_comes_back_ends_no_process_and_loses_nothing(
    tmp_path: Path, private_postgres: PrivatePostgres, private_rabbitmq: PrivateBroker
) -> None:
    site = Site(tmp_path, private_postgres.url, private_rabbitmq.url)
    await without_database(site, 300, private_postgres, seconds=3)


async def test_a_backend_that_nobody_serves_for_a_while_loses_no_worker_and_is_not_given_up(
    tmp_path: Path, postgres_server_url: str, private_rabbitmq: PrivateBroker
) -> None:
    with fresh_database(postgres_server_url) as database:
        await unserved(Site(tmp_path, database, private_rabbitmq.url, **ONE_CHANCE), 300, turns=2)


async def test_a_slow_backend_loses_no_worker(
    tmp_path: Path, postgres_server_url: str, private_rabbitmq: PrivateBroker
) -> None:
    """Tasks wait for many times their lease."""
    count = 1000
    with fresh_database(postgres_server_url) as database:
        site = Site(tmp_path, database, private_rabbitmq.url, **ONE_CHANCE, **slow_backend(count))
        await slow(site, count, lease=2)


def poison(number: int) -> tuple[bytes, str]:
    """A message that can never be accepted, unlike any other, and what its reason must say."""
    told = json.loads(message(number))
    match number % 5:
        case 0:
            return message(number)[:-20].encode(), "is no JSON"
        case 1:
            told["padding"] = "x" * MAX_BODY
            return json.dumps(told).encode(), f"more than the limit of {MAX_BODY}"
        case 2:
            told["operation"]["operation_id"] = {"number": number}
            return json.dumps(told).encode(), "operation.operation_id"
        case 3:
            del told["operation"]["operation_id"]
            return json.dumps(told).encode(), "operation.operation_id: is missing"
    told["execution"]["link_id"] = [number]
    return json.dumps(told).encode(), "execution.link_id"


def poisoned(topology: Topology, number: int) -> Outgoing:
    return Outgoing(topology.execution_result_key, Message(body=poison(number)[0], message_id=f"poison-{number}"))


async def test_poison_among_good_messages_is_kept_with_its_reason_and_stops_nobody(
    tmp_path: Path, postgres_server_url: str, private_rabbitmq: PrivateBroker
) -> None:
    bad, done = 50, 500
    before = int(private_rabbitmq.ctl("eval", REDELIVERED))
    with fresh_database(postgres_server_url) as database:
        site = Site(tmp_path, database, private_rabbitmq.url, **AT_WORK)
        items = good(site.topology, done) + [poisoned(site.topology, number) for number in range(bad)]
        Random(7).shuffle(items)
        async with site.running():
            await site.send(items)
            await site.until(lambda now: now.closed >= done and now.dead >= bad, f"{done} closed, {bad} dead")
            await site.drained()
            await site.assert_each_done_once(done)
            letters = await site.dead_letters()
            again = int(private_rabbitmq.ctl("eval", REDELIVERED)) - before
    assert again == 0, "messages go round in circles"
    reasons = {body: reason for queue, reason, body in letters if queue == site.topology.instructions_queue}
    expected = dict(poison(number) for number in range(bad))
    assert len(letters) == bad
    assert reasons.keys() == expected.keys()
    assert [(reasons[body], why) for body, why in expected.items() if why not in reasons[body]] == []
    buried = Counter(line["message_id"] for line in site.logged("accept", "dead_lettered"))
    assert buried == Counter(f"poison-{number}" for number in range(bad))
