"""The socket that the API listens on: taken before anything else is opened, so that a wrong port costs nothing."""

from __future__ import annotations

import errno
import socket
from ipaddress import ip_address

from checking_core.errors import ConfigurationError

__all__ = ["listen", "url_of"]


def listen(host: str, port: int, *, loopback: bool = True) -> socket.socket:
    """A socket that listens.

    Args:
        host: name or address.
        port: 0 for any free one.
        loopback: refuse an address that other machines can reach.

    Raises:
        ConfigurationError: the address is none, can be reached and must not, is in use or is not for us.
    """
    family, address = _resolved(host, port, loopback=loopback)
    try:
        listener = socket.create_server((address, port), family=family)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigurationError(
                f"port {port} on {host} is in use; stop what listens there or choose another port with --port"
            ) from error
        raise ConfigurationError(f"cannot listen on port {port} of {host}: {error.strerror}") from error
    # asyncio does this only for sockets that it has made itself; without, head and body of an answer come 40 ms apart
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def url_of(listener: socket.socket) -> str:
    """How a client on this machine calls what listens there."""
    address, port = listener.getsockname()[:2]
    return f"http://[{address}]:{port}" if listener.family == socket.AF_INET6 else f"http://{address}:{port}"


def _resolved(host: str, port: int, *, loopback: bool) -> tuple[socket.AddressFamily, str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"{host} is no address to listen on: {error}") from error
    if loopback and not all(ip_address(str(address[0])).is_loopback for *_, address in found):
        raise ConfigurationError(
            f"{host} can be reached from other machines, and with --no-auth nobody is asked who they are;"
            " leave --no-auth out, or listen on 127.0.0.1"
        )
    family, *_, address = found[0]
    return family, str(address[0])
