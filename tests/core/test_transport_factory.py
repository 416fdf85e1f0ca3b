"""Which transport a setting means."""

import sys

import pytest

from checking_core.errors import ConfigurationError
from checking_core.transport import Topology
from checking_core.transport.factory import create_transport
from checking_core.transport.memory import MemoryTransport
from checking_core.transport.rabbitmq import RabbitTransport

URL = "amqp://user:hunter2@broker/"


@pytest.mark.parametrize("url", [None, ""])
def test_without_an_amqp_url_the_transport_is_in_process(url):
    assert isinstance(create_transport(url, Topology()), MemoryTransport)


@pytest.mark.parametrize("scheme", ["amqp", "amqps"])
def test_an_amqp_url_means_rabbitmq(scheme):
    assert isinstance(create_transport(URL.replace("amqp", scheme), Topology(), consume_url=URL), RabbitTransport)


def test_an_adapter_that_is_not_installed_is_named_by_its_extra(monkeypatch):
    monkeypatch.delitem(sys.modules, "checking_core.transport.rabbitmq")
    monkeypatch.setitem(sys.modules, "aiormq.exceptions", None)
    with pytest.raises(ConfigurationError, match=r"install checking-core\[amqp\]") as caught:
        create_transport(URL)
    assert "hunter2" not in str(caught.value)


def test_an_adapter_that_is_broken_is_not_taken_for_one_that_is_absent(monkeypatch):
    monkeypatch.setitem(sys.modules, "checking_core.transport.rabbitmq", None)
    with pytest.raises(ModuleNotFoundError):
        create_transport(URL)


@pytest.mark.parametrize(
    "url", ["http://user:hunter2@broker/", "amqp:///vhost", "amqp://user:hunter2@broker:port/", "hunter2"]
)
def test_a_url_that_cannot_be_read_is_refused_without_its_password(url):
    with pytest.raises(ConfigurationError, match="cannot be read") as caught:
        create_transport(url)
    assert "hunter2" not in str(caught.value)
