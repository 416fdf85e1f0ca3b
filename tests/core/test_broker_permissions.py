"""The seven users on a real broker: each can do what its role says and is refused everything else."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import AMQPError
from aiormq.exceptions import ChannelAccessRefused
from pydantic import SecretStr
from tests.services import Broker

from checking_core.errors import ConfigurationError, UnroutableError
from checking_core.settings import BrokerRole, BrokerSettings
from checking_core.transport.base import Message, Outgoing
from checking_core.transport.rabbitmq import RabbitTransport
from checking_core.transport.rabbitmq_definitions import definitions, password_hash
from checking_core.transport.rabbitmq_setup import set_up
from checking_core.transport.rabbitmq_topology import queue_declaration
from checking_core.transport.topology import DEFAULT_VHOST, Topology

NAMES = Topology()
LANE, LANE_KEY = NAMES.task_queue("api", "splunk-prod"), NAMES.task_key("api", "splunk-prod")
PASSWORDS = {f"{role}_pass": SecretStr(f"secret of {role} /@:") for role in BrokerRole}
QUEUES = (NAMES.dead_queue, LANE, *(binding.queue for binding in NAMES.bindings()))

MESSAGE = Message(body=b"{}", message_id="m")

Action = Callable[[AbstractChannel], Awaitable[object]]


def publish(key: str, *, exchange: str = NAMES.exchange) -> Action:
    async def act(channel: AbstractChannel) -> None:
        there = channel.default_exchange if exchange == "" else await channel.get_exchange(exchange, ensure=False)
        await there.publish(aio_pika.Message(b"{}"), key)

    return act


def read(queue: str) -> Action:
    async def act(channel: AbstractChannel) -> None:
        taken = await (await channel.get_queue(queue, ensure=False)).get(fail=False)
        if taken is not None:
            await taken.reject(requeue=True)

    return act


def create(queue: str) -> Action:
    async def act(channel: AbstractChannel) -> None:
        arguments = queue_declaration(NAMES, queue).arguments if NAMES.key_of(queue) else {}
        await channel.declare_queue(queue, durable=True, arguments=arguments)

    return act


def bind(queue: str, key: str) -> Action:
    async def act(channel: AbstractChannel) -> None:
        await (await channel.get_queue(queue, ensure=False)).bind(NAMES.exchange, key)

    return act


async def delete_exchange(channel: AbstractChannel) -> None:
    await channel.exchange_delete(NAMES.exchange)


async def delete_queue(channel: AbstractChannel) -> None:
    await channel.queue_delete(NAMES.instructions_queue)


def look_at(queue: str) -> Action:
    async def act(channel: AbstractChannel) -> None:
        await channel.declare_queue(queue, passive=True)

    return act


ACTIONS: dict[str, Action] = {
    "publish what the red team did": publish(NAMES.execution_result_key),
    "publish a task": publish(NAMES.api_task_key),
    "publish a task to a lane": publish(LANE_KEY),
    "publish a task to an agent": publish(NAMES.task_key("windows", "", "ws01")),
    "publish a result": publish(NAMES.api_response_key),
    "publish an agent's result": publish(NAMES.agent_response_key),
    "publish any other key": publish("anything.else"),
    "publish a dead letter": publish("", exchange=NAMES.dead_exchange),
    "publish past the exchange": publish(NAMES.instructions_queue, exchange=""),
    "create a lane": create(NAMES.task_queue("api", "new")),
    "create an agent's lane": create(NAMES.task_queue("windows", "", "ws01")),
    "create any other queue": create("anything.else"),
    "bind a lane to its tasks": bind(LANE, LANE_KEY),
    "bind a lane to everything": bind(LANE, "#"),
    "bind a lane to what the red team did": bind(LANE, NAMES.execution_result_key),
    "delete the exchange": delete_exchange,
    "delete a queue": delete_queue,
    **{f"read {queue}": read(queue) for queue in QUEUES},
}

MAY: dict[BrokerRole, set[str]] = {
    BrokerRole.PUBLISHER: {"publish what the red team did"},
    BrokerRole.CONSUMER: {f"read {NAMES.instructions_queue}", "publish a dead letter"},
    BrokerRole.DISPATCHER: {"publish a task", "publish a task to a lane", "publish a task to an agent"},
    BrokerRole.WORKER: {
        *(f"read {queue}" for queue in (LANE, NAMES.api_tasks_queue, NAMES.agent_tasks_queue)),
        "create a lane",
        "create an agent's lane",
        "bind a lane to its tasks",
        "publish a result",
        "publish an agent's result",
        "publish a dead letter",
    },
    BrokerRole.RESULT_CONSUMER: {
        *(f"read {queue}" for queue in (NAMES.api_responses_queue, NAMES.agent_responses_queue, NAMES.dead_queue)),
        "publish a dead letter",
    },
    BrokerRole.MONITOR: set(),
}


def url_of(rabbitmq: Broker, role: BrokerRole, vhost: str = DEFAULT_VHOST) -> str:
    url = SecretStr(f"{rabbitmq.url.rstrip('/')}/{quote(vhost, safe='')}")
    found = BrokerSettings(url=url, **PASSWORDS).url_for(role)  # type: ignore[arg-type]
    assert found is not None
    return found


def defined(**settings: object) -> dict[str, list[dict[str, Any]]]:
    return definitions(BrokerSettings(**{**PASSWORDS, **settings}), NAMES, [LANE])  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def imported(rabbitmq: Broker, tmp_path_factory: pytest.TempPathFactory) -> Broker:
    """The broker after the import of our definitions."""
    file = tmp_path_factory.mktemp("definitions") / "definitions.json"
    file.write_text(json.dumps(defined()))
    rabbitmq.ctl("import_definitions", str(file))
    return rabbitmq


async def refused(connection: aio_pika.abc.AbstractConnection, action: Action) -> bool:
    channel = await connection.channel()
    try:
        await action(channel)
    except ChannelAccessRefused:
        return True
    finally:
        await channel.close()
    return False


@pytest.mark.parametrize("role", MAY)
async def test_a_user_may_do_what_its_role_needs_and_nothing_else(imported: Broker, role: BrokerRole) -> None:
    async with await aio_pika.connect(url_of(imported, role)) as connection:
        may = {name for name, action in ACTIONS.items() if not await refused(connection, action)}
    assert may == MAY[role]


@pytest.mark.parametrize("role", BrokerRole)
async def test_every_user_may_ask_how_a_queue_stands(imported: Broker, role: BrokerRole) -> None:
    async with await aio_pika.connect(url_of(imported, role)) as connection:
        assert [queue for queue in QUEUES if await refused(connection, look_at(queue))] == []


@pytest.mark.parametrize("role", BrokerRole)
async def test_no_user_may_enter_another_virtual_host(imported: Broker, role: BrokerRole) -> None:
    with pytest.raises(AMQPError):
        await aio_pika.connect(url_of(imported, role, vhost="/"))


@pytest.mark.parametrize("role", BrokerRole)
async def test_every_user_finds_what_was_imported_as_the_engine_declares_it(imported: Broker, role: BrokerRole) -> None:
    transport = RabbitTransport(url_of(imported, role), NAMES)
    await transport.start()
    await transport.close()


async def test_a_worker_serves_a_backend_that_set_up_did_not_know(imported: Broker) -> None:
    worker, dispatcher = (url_of(imported, role) for role in (BrokerRole.WORKER, BrokerRole.DISPATCHER))
    serving, sending = RabbitTransport(worker, NAMES), RabbitTransport(dispatcher, NAMES)
    queue, item = NAMES.task_queue("api", "brand-new"), Outgoing(NAMES.task_key("api", "brand-new"), MESSAGE)
    try:
        await serving.start()
        await sending.start()
        (nobody_yet,) = await sending.publish([item])
        assert isinstance(nobody_yet, UnroutableError)
        lane = await serving.subscribe(queue, prefetch=1)
        assert list(await sending.publish([item])) == [None]
        (delivery,) = await lane.batch(1, 0)
        await lane.dead_letter(delivery, "just so")
    finally:
        await sending.close()
        await serving.close()


async def test_an_operator_finds_the_policy_on_every_queue(imported: Broker) -> None:
    told = imported.ctl("list_queues", "-p", DEFAULT_VHOST, "name", "type", "policy", "--formatter", "json")
    found = {row["name"]: (row["type"], row["policy"]) for row in json.loads(told)}
    assert {queue: found[queue] for queue in QUEUES} == dict.fromkeys(QUEUES, ("quorum", NAMES.exchange))


async def test_set_up_creates_what_is_missing_and_says_so(imported: Broker) -> None:
    names = NAMES.prefixed("set-up.")
    lane = names.task_queue("api", "splunk-prod")
    admin = url_of(imported, BrokerRole.ADMIN)
    first, second = await set_up(admin, names, []), await set_up(admin, names, [lane])
    assert len(first) == 2 + 6
    assert all(line.endswith(" created.") for line in first)
    assert [line for line in second if not line.endswith(" was there already.")] == [f"Queue {lane} created."]
    assert [line.split()[1] for line in second[:-1]] == [line.split()[1] for line in first]


async def test_set_up_by_somebody_who_may_not_names_what_is_missing(imported: Broker) -> None:
    consumer = url_of(imported, BrokerRole.CONSUMER)
    with pytest.raises(
        ConfigurationError, match=r"no exchange nobody\.caldera.*user checking_consumer may not create it"
    ):
        await set_up(consumer, NAMES.prefixed("nobody."), [])


def test_a_password_is_stored_as_the_broker_documents_it() -> None:
    documented = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"
    assert password_hash("test12", bytes.fromhex("908DC60A")) == documented
    assert password_hash("test12") != password_hash("test12")


def test_no_password_is_in_the_definitions() -> None:
    written = json.dumps(defined())
    assert [password for password in PASSWORDS.values() if password.get_secret_value() in written] == []


def test_a_user_without_a_password_is_left_out_with_its_rights() -> None:
    found = defined(worker_pass=None)
    mentioned = {entry.get("name", entry.get("user")) for key in ("users", "permissions") for entry in found[key]}
    assert mentioned == {getattr(BrokerSettings(), f"{role}_user") for role in BrokerRole} - {"checking_worker"}


def test_everything_is_in_the_virtual_host_of_the_settings() -> None:
    found = defined(url=SecretStr("amqp://admin@broker.example/%2Fred%20team"))
    assert found["vhosts"] == [{"name": "/red team"}]
    placed = [entry["vhost"] for key, entries in found.items() for entry in entries if key not in ("users", "vhosts")]
    assert set(placed) == {"/red team"}


def test_two_roles_of_one_user_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="two roles have the same user"):
        defined(worker_user="checking_consumer")
