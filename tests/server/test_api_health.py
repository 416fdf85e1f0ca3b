"""Health: what is away is said, and what comes back is up again by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from checking_core.errors import BrokerUnavailableError, ConfigurationError
from checking_core.plugin.host import PluginInfo, PluginState
from checking_core.storage import Store, migrate
from checking_core.transport.base import Message, Outgoing, QueueState
from checking_core.transport.memory import MemoryTransport
from checking_core.transport.topology import Topology

from .api_client import NOBODY_LISTENS, client_of

HEALTH = "/api/v1/health"
SPLUNK = PluginInfo(
    name="splunk", distribution="checking-plugin-splunk", version="1.0", state=PluginState.LOADED, detectors=("splunk",)
)
BROKEN = PluginInfo(
    name="edr", distribution="checking-plugin-edr", version="1.0", state=PluginState.BROKEN, problem="raises KeyError"
)


class BrokerThatFails(MemoryTransport):
    """Away, as a broker is; ``silent``: takes the question and says nothing."""

    def __init__(self, *, silent: bool) -> None:
        super().__init__()
        self.silent = silent

    async def state(self, queue: str) -> QueueState:
        if self.silent:
            await asyncio.Event().wait()
        raise BrokerUnavailableError(f"no route to 10.0.0.9 for {queue}")


async def test_a_server_whose_parts_answer_is_up_and_ready(store: Store) -> None:
    async with client_of(store, queues=["tasks"], plugins=[SPLUNK]) as client:
        health, ready = await client.get(HEALTH), await client.get(f"{HEALTH}/ready")
        assert (health.status_code, ready.status_code) == (200, 200)
        told = health.json()
        assert told["status"] == ready.json()["status"] == "up"
        assert told["version"]
        for part in ("db", "broker", "plugins"):
            alone = await client.get(f"{HEALTH}/{part}")
            assert alone.status_code == 200
            assert alone.json() == told[part] | {"latency_ms": alone.json()["latency_ms"]}
            assert alone.json()["latency_ms"] >= 0


async def test_an_old_schema_is_not_ready_until_it_is_upgraded(store: Store) -> None:
    async with client_of(store) as client:
        await migrate.downgrade(store.url, "base")
        old = await client.get(f"{HEALTH}/ready")
        await migrate.upgrade(store.url)
        new = await client.get(f"{HEALTH}/ready")
    assert old.status_code == 503
    assert old.headers["retry-after"]
    assert old.json()["db"]["problem"].endswith("run: checking db upgrade")
    assert old.json()["db"]["revision"] is None
    assert new.status_code == 200
    assert new.json()["db"]["revision"] == new.json()["db"]["needs"] == migrate.head()


async def test_a_process_lives_while_its_database_is_away() -> None:
    async with Store(NOBODY_LISTENS) as store, client_of(store) as client:
        live, ready, health = [await client.get(HEALTH + path) for path in ("/live", "/ready", "")]
        operations = await client.get("/api/v1/operations")
    assert live.status_code == 200
    assert (ready.status_code, health.status_code, operations.status_code) == (503, 503, 503)
    assert ready.json()["db"]["status"] == health.json()["status"] == "down"
    assert ready.json()["broker"]["status"] == "up"
    assert "127.0.0.1" not in ready.text + health.text + operations.text


@pytest.mark.parametrize(("silent", "problem"), [(False, "the broker does not answer"), (True, "no answer within")])
async def test_a_broker_that_is_away_or_silent_is_not_ready(store: Store, silent: bool, problem: str) -> None:
    broker = BrokerThatFails(silent=silent)
    async with client_of(store, broker, queues=["tasks"], patience=0.5) as client:
        ready, alone = await client.get(f"{HEALTH}/ready"), await client.get(f"{HEALTH}/broker")
    assert (ready.status_code, alone.status_code) == (503, 503)
    assert problem in alone.json()["problem"]
    assert "10.0.0.9" not in alone.text
    assert ready.json()["db"]["status"] == "up"


async def test_a_process_that_does_not_rest_on_the_broker_is_ready_without_it(store: Store) -> None:
    async with client_of(store, BrokerThatFails(silent=False), queues=["tasks"], rests_on_broker=False) as client:
        ready, health, alone = [await client.get(HEALTH + path) for path in ("/ready", "", "/broker")]
    assert (ready.status_code, health.status_code, alone.status_code) == (200, 200, 200)
    assert ready.json()["status"] == health.json()["status"] == alone.json()["status"] == "degraded"
    assert "the broker does not answer" in alone.json()["problem"]


async def test_a_broker_that_refuses_this_process_is_told_without_a_detail(store: Store) -> None:
    class Refusing(MemoryTransport):
        async def state(self, queue: str) -> QueueState:
            raise ConfigurationError("the broker at 10.0.0.9 refuses user monitor_user")

    async with client_of(store, Refusing(), queues=["tasks"]) as client:
        alone = await client.get(f"{HEALTH}/broker")
    assert alone.status_code == 503
    assert alone.json()["problem"] == "it refuses this process; the log tells why"


async def test_queues_tell_what_waits_in_them(store: Store) -> None:
    topology = Topology()
    transport = MemoryTransport(topology)
    await transport.start()
    await transport.publish(_messages(topology.execution_result_key, 3))
    async with client_of(store, transport, queues=[topology.instructions_queue, topology.dead_queue]) as client:
        told = (await client.get(f"{HEALTH}/broker")).json()
    assert told["queues"] == [
        {"name": topology.instructions_queue, "waiting": 3, "consumers": 0},
        {"name": topology.dead_queue, "waiting": 0, "consumers": 0},
    ]


def _messages(key: str, count: int) -> Sequence[Outgoing]:
    return [Outgoing(key, Message(body=b"{}", message_id=str(number))) for number in range(count)]


async def test_a_broken_plugin_degrades_and_harms_nobody(store: Store) -> None:
    async with client_of(store, plugins=[SPLUNK, BROKEN]) as client:
        health, plugins, ready = [await client.get(HEALTH + path) for path in ("", "/plugins", "/ready")]
    assert (health.status_code, plugins.status_code, ready.status_code) == (200, 200, 200)
    assert health.json()["status"] == plugins.json()["status"] == "degraded"
    assert plugins.json()["problem"] == "broken: edr"
    assert [plugin["problem"] for plugin in plugins.json()["plugins"]] == ["", "raises KeyError"]
