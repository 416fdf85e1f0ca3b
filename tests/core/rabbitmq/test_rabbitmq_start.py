"""How the transport over RabbitMQ starts: on any broker that can be used, or with one line that says what to do."""

import asyncio
import socket
from uuid import uuid4

import pytest
from yarl import URL

from checking_core.errors import BrokerUnavailableError, ConfigurationError, PublishError, UnroutableError
from checking_core.transport import rabbitmq_link as link
from checking_core.transport.rabbitmq import RabbitTransport

from .rabbit import names_of, outgoing, take


@pytest.fixture
def closed_port():
    """Taken, so that nobody else listens there meanwhile."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        yield deaf.getsockname()[1]


def wrong_password(url, _):
    return str(URL(url).with_password("hunter2"))


def wrong_vhost(url, _):
    return str(URL(url).with_path("/nowhere"))


def wrong_port(url, closed_port):
    return str(URL(url).with_port(closed_port))


def wrong_host(url, _):
    return str(URL(url).with_host("broker.invalid"))


def wrong_scheme(url, _):
    return str(URL(url).with_scheme("amqps"))


@pytest.mark.parametrize(
    ("mistake", "error", "words"),
    [
        (wrong_port, BrokerUnavailableError, r"no broker listens at 127\.0\.0\.1:\d+: start it, or correct its host"),
        (wrong_host, BrokerUnavailableError, r"the broker's host broker\.invalid is not known: correct the name"),
        (wrong_password, ConfigurationError, r"refuses user \w+: correct its name or password"),
        (wrong_vhost, ConfigurationError, r"not let user \w+ into virtual host nowhere: create it and grant it"),
        (wrong_scheme, ConfigurationError, r"no trusted TLS connection .*: check port and certificates"),
    ],
)
@pytest.mark.parametrize("side", ["publish", "consume"])
async def test_a_wrong_url_is_one_line_with_its_remedy(rabbitmq, topology, closed_port, mistake, error, words, side):
    wrong = URL(mistake(rabbitmq.url, closed_port))
    urls = (str(wrong), rabbitmq.url) if side == "publish" else (rabbitmq.url, str(wrong))
    transport = RabbitTransport(urls[0], topology, consume_url=urls[1])
    with pytest.raises(error, match=words) as caught:
        await transport.start()
    assert "\n" not in str(caught.value)
    assert wrong.password not in str(caught.value).replace(f"user {wrong.user}", "")
    assert transport._consuming._connection is None


async def test_a_host_that_never_answers_is_waited_for_only_so_long(monkeypatch):
    monkeypatch.setattr(link, "_ANSWER_WITHIN", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(BrokerUnavailableError, match=r"nothing answers at .*: check host, port and network"):
            await RabbitTransport(f"amqp://127.0.0.1:{port}/").start()


async def test_what_hangs_up_is_no_broker():
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(BrokerUnavailableError, match="is no broker that is ready"):
            await RabbitTransport(f"amqp://127.0.0.1:{port}/").start()


async def test_a_queue_of_another_kind_is_said_in_words(rabbitmq, topology, raw, queue):
    await raw.queue_declare(queue, durable=True, arguments={"x-queue-type": "classic"})
    needed = f"with x-dead-letter-exchange none where '{topology.dead_exchange}' is needed: let it run empty"
    with pytest.raises(ConfigurationError, match=f"has queue {queue} already, declared {needed}"):
        await RabbitTransport(rabbitmq.url, topology).start()


async def test_an_exchange_of_another_kind_is_said_in_words(rabbitmq, topology, raw):
    await raw.exchange_declare(topology.exchange, exchange_type="fanout", durable=True)
    words = f"has exchange {topology.exchange} already, declared with type 'fanout' where 'topic' is needed"
    with pytest.raises(ConfigurationError, match=words):
        await RabbitTransport(rabbitmq.url, topology).start()


async def test_starting_again_finds_everything_there(rabbitmq, topology, transport):
    await transport.start()
    another = RabbitTransport(rabbitmq.url, topology)
    await another.start()
    await another.close()


@pytest.mark.parametrize("ended", [False, True])
async def test_a_transport_that_is_not_started_or_closed_takes_nothing(rabbitmq, topology, queue, key, ended):
    transport = RabbitTransport(rabbitmq.url, topology)
    if ended:
        await transport.start()
        await transport.close()
    (error,) = await transport.publish(outgoing(key, "a"))
    assert isinstance(error, PublishError)
    assert not isinstance(error, UnroutableError)
    for call in (transport.subscribe(queue, prefetch=1), transport.state(queue)):
        with pytest.raises(BrokerUnavailableError, match="not started"):
            await call


@pytest.mark.parametrize("prefetch", [0, -1])
async def test_a_prefetch_below_one_is_refused(transport, queue, prefetch):
    with pytest.raises(ValueError, match="at least one"):
        await transport.subscribe(queue, prefetch=prefetch)


class TestLimitedUser:
    """A user who may read and write, and create nothing but lanes."""

    @pytest.fixture
    def url(self, rabbitmq, topology):
        user, password = f"user-{uuid4().hex[:8]}", uuid4().hex
        rabbitmq.ctl("add_user", user, password)
        rabbitmq.ctl("set_permissions", user, r".*\.here$", ".*", r"^(?!.*\.responses$).*")
        yield str(URL(rabbitmq.url).with_user(user).with_password(password))
        rabbitmq.ctl("delete_user", user)

    async def test_uses_what_set_up_has_made_and_makes_its_lanes(self, url, topology, transport):
        limited = RabbitTransport(url, topology)
        await limited.start()
        lane = await limited.subscribe(topology.task_queue("api", "here"), prefetch=1)
        assert await transport.publish(outgoing(topology.task_key("api", "here"), "a")) == [None]
        assert names_of(await take(lane, 1)) == ["a"]
        with pytest.raises(
            ConfigurationError, match="may not create it: run 'checking broker setup' as the admin user"
        ):
            await limited.subscribe(topology.task_queue("api", "elsewhere"), prefetch=1)
        with pytest.raises(ConfigurationError, match=r"may not read queue .*: grant it"):
            await limited.subscribe(topology.api_responses_queue, prefetch=1)
        await limited.close()

    async def test_is_told_what_set_up_has_not_made(self, url, topology):
        with pytest.raises(ConfigurationError, match=r"the broker has no exchange .* run 'checking broker setup'"):
            await RabbitTransport(url, topology).start()
