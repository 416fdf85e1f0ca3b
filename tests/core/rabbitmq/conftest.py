"""A broker with names that only this test uses, and who speaks to it."""

import pytest

from .rabbit import fresh_names, started, stranger


@pytest.fixture
async def topology(rabbitmq):
    async with fresh_names(rabbitmq.url) as topology:
        yield topology


@pytest.fixture
async def transport(rabbitmq, topology):
    async with started(rabbitmq.url, topology) as transport:
        yield transport


@pytest.fixture
async def raw(rabbitmq):
    async with stranger(rabbitmq.url) as channel:
        yield channel


@pytest.fixture
def queue(topology):
    return topology.instructions_queue


@pytest.fixture
def key(topology):
    return topology.execution_result_key
