"""What every test may ask for: recorded data, a private PostgreSQL, a private RabbitMQ."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, settings

from .services import (
    Broker,
    PrivateBroker,
    PrivatePostgres,
    UnavailableServiceError,
    fresh_database,
    install_missing,
    postgres_server,
)

# a busy machine is slow for reasons that are none of a rule's
settings.register_profile("checking", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("checking")

ROOT = Path(__file__).resolve().parents[1]
FIXTURE_MARKS = {
    "postgres_url": "postgres",
    "private_postgres": "postgres",
    "rabbitmq": "rabbitmq",
    "private_rabbitmq": "rabbitmq",
    "shared_data": "shared",
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark a test by the services it asks for; tests of one broker stay on one xdist worker, so that it starts once."""
    for item in items:
        for fixture in set(getattr(item, "fixturenames", ())) & set(FIXTURE_MARKS):
            item.add_marker(FIXTURE_MARKS[fixture])
            if FIXTURE_MARKS[fixture] == "rabbitmq":
                item.add_marker(pytest.mark.xdist_group(fixture))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Install what the chosen tests need before the first one's clock runs."""
    if not session.config.option.collectonly:
        wanted = {"postgres": "CHECKING_TEST_DATABASE_URL", "rabbitmq": "CHECKING_TEST_AMQP_URL"}
        install_missing(
            {
                service
                for service, variable in wanted.items()
                if not os.environ.get(variable) and any(item.get_closest_marker(service) for item in session.items)
            }
        )


def _absent(what: str, why: object, *, required: bool) -> NoReturn:
    """A skip with its reason, or a failure where the tests have promised to run everything."""
    message = f"{what} is not available: {why}"
    if required:
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def _in_ci() -> bool:
    return os.environ.get("CI") == "true"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of recorded data: used in place, never copied, never written to."""
    folder = Path(os.environ.get("CHECKING_SHARED_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        required = os.environ.get("CHECKING_REQUIRE_SHARED") == "1"
        _absent("Recorded data", "CHECKING_SHARED_DATA names no folder and ../shared/data is none", required=required)
    return folder


@pytest.fixture(scope="session")
def postgres_server_url() -> Iterator[str]:
    """A server where databases may be created: of ``CHECKING_TEST_DATABASE_URL``, or a private one."""
    if url := os.environ.get("CHECKING_TEST_DATABASE_URL"):
        yield url
        return
    with contextlib.ExitStack() as stack:
        try:
            url = stack.enter_context(postgres_server())
        except UnavailableServiceError as error:
            _absent("PostgreSQL", error, required=_in_ci())
        yield url


@pytest.fixture(scope="session")
def postgres_url(postgres_server_url: str) -> Iterator[str]:
    """An empty PostgreSQL database of this test process alone, dropped afterwards."""
    with contextlib.ExitStack() as stack:
        try:
            url = stack.enter_context(fresh_database(postgres_server_url))
        except UnavailableServiceError as error:
            _absent("PostgreSQL", error, required=_in_ci())
        yield url


@pytest.fixture
def private_postgres() -> Iterator[PrivatePostgres]:
    """A PostgreSQL with ``url``, ``start()`` and ``kill()`` for one test, whatever server the others use."""
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(contextlib.closing(PrivatePostgres()))
            server.start()
        except UnavailableServiceError as error:
            given = bool(os.environ.get("CHECKING_TEST_DATABASE_URL"))
            _absent("A PostgreSQL to kill", error, required=_in_ci() and not given)
        yield server


class _GivenBroker:
    """The broker of ``CHECKING_TEST_AMQP_URL``: somebody else's, so no test may end it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def start(self) -> None:
        pytest.skip("a broker that was given by CHECKING_TEST_AMQP_URL is not ours to start")

    def kill(self) -> None:
        pytest.skip("a broker that was given by CHECKING_TEST_AMQP_URL is not ours to kill")

    restart = kill

    def ctl(self, *_: str) -> str:
        pytest.skip("a broker that was given by CHECKING_TEST_AMQP_URL is not ours to administer")


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[Broker]:
    """A broker with ``url``, ``start()``, ``kill()``, ``restart()`` and ``ctl()``. Whoever kills it starts it again."""
    if url := os.environ.get("CHECKING_TEST_AMQP_URL"):
        yield _GivenBroker(url)
        return
    with _private_broker(required=_in_ci()) as broker:
        yield broker


@pytest.fixture(scope="module")
def private_rabbitmq() -> Iterator[PrivateBroker]:
    """A broker for the tests of one module, whatever broker the others use: what it counts is theirs alone."""
    with _private_broker(required=_in_ci() and not os.environ.get("CHECKING_TEST_AMQP_URL")) as broker:
        yield broker


@contextlib.contextmanager
def _private_broker(*, required: bool) -> Iterator[PrivateBroker]:
    with contextlib.ExitStack() as stack:
        try:
            broker = stack.enter_context(contextlib.closing(PrivateBroker()))
            broker.start()
        except UnavailableServiceError as error:
            _absent("RabbitMQ", error, required=required)
        yield broker
