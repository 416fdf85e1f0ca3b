"""Every role a process of its own, killed at work; and messages that can never be accepted among good ones."""

from __future__ import annotations

import json
import os
import secrets
from collections import Counter
from pathlib import Path
from random import Random

from tests.services import Broker, fresh_database

from checking_core.contracts.codec import MAX_BODY
from checking_core.transport.base import Message, Outgoing
from checking_core.transport.topology import Topology

from .bundle import message
from .faults import ROLES, Kill, Site, good, run

REDELIVERED = (
    "lists:sum([maps:get(messages_redelivered_total, Of, 0) || Of <- maps:values(rabbit_global_counters:overview())])."
)


async def test_kills_lose_nothing_and_double_nothing(
    tmp_path: Path, postgres_server_url: str, rabbitmq: Broker
) -> None:
    seed = int(os.environ.get("CHECKING_FAULTS_SEED") or secrets.randbelow(2**32))
    print(f"seed {seed}")
    random = Random(seed)
    kills = [Kill(victim, random.uniform(0.05, 0.4)) for victim in random.sample([*ROLES, "worker-1"], 5)]
    with fresh_database(postgres_server_url) as database:
        site = Site(tmp_path, database, rabbitmq.url)
        async with site.running():
            await run(site, 500, kills, random)
        assert site.starts == {**dict.fromkeys([*ROLES, "worker-1"], 2), "worker-2": 1}


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
    tmp_path: Path, postgres_server_url: str, rabbitmq: Broker
) -> None:
    bad, done = 50, 300
    before = int(rabbitmq.ctl("eval", REDELIVERED))
    with fresh_database(postgres_server_url) as database:
        site = Site(tmp_path, database, rabbitmq.url)
        items = good(site.topology, done) + [poisoned(site.topology, number) for number in range(bad)]
        Random(7).shuffle(items)
        async with site.running():
            await site.send(items)
            await site.until(lambda now: now.closed >= done and now.dead >= bad, f"{done} closed, {bad} dead")
            await site.drained()
            await site.assert_each_done_once(done)
            letters = await site.dead_letters()
    reasons = {body: reason for queue, reason, body in letters if queue == site.topology.instructions_queue}
    expected = dict(poison(number) for number in range(bad))
    assert len(letters) == bad
    assert reasons.keys() == expected.keys()
    assert [(reasons[body], why) for body, why in expected.items() if why not in reasons[body]] == []
    buried = Counter(line["message_id"] for line in logged(site, "accept", "dead_lettered"))
    assert buried == Counter(f"poison-{number}" for number in range(bad))
    # The count is the whole broker's: what an earlier test left on loan may come back meanwhile. A hot loop shows in
    # thousands.
    assert int(rabbitmq.ctl("eval", REDELIVERED)) - before <= bad, "messages go round in circles"


def logged(site: Site, part: str, event: str) -> list[dict[str, str]]:
    """What a part has said of one kind."""
    lines = [json.loads(line) for line in site.log(part).splitlines()]
    return [line for line in lines if line["event"] == event]
