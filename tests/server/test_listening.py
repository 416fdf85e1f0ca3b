"""Where the API listens: loopback, on a port that is free."""

from __future__ import annotations

import socket

import pytest

from checking_core.errors import ConfigurationError
from checking_server.listening import listen, url_of


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.8.9.10"])
def test_a_loopback_address_is_listened_on(host: str) -> None:
    with listen(host, 0) as listener:
        address = listener.getsockname()
        assert url_of(listener) == f"http://{address[0]}:{address[1]}"
        with socket.create_connection(address, 5):
            pass


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_an_ipv6_address_is_written_as_urls_write_it() -> None:
    try:
        listener = listen("::1", 0)
    except ConfigurationError as error:
        pytest.skip(str(error))
    with listener:
        assert url_of(listener) == f"http://[::1]:{listener.getsockname()[1]}"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_an_address_that_others_can_reach_is_refused(host: str) -> None:
    with pytest.raises(ConfigurationError, match="leave --no-auth out"):
        listen(host, 0)


def test_a_port_in_use_is_named_with_the_remedy() -> None:
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"port {port} on 127\.0\.0\.1 is in use.*--port"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["no such name", "x" * 300])
def test_a_host_that_is_no_address_is_named(host: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{host} is no address"):
        listen(host, 0)


def test_an_answer_does_not_wait_for_more_of_it() -> None:
    """What is accepted inherits that: head and body of an answer would come 40 ms apart otherwise."""
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname(), 5):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
