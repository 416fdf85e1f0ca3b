"""The socket that the API listens on: taken before anything else is opened, so that a wrong port costs nothing."""

from __future__ import annotations

import errno
import socket
from ipaddress import ip_address

from checking_core.errors import ConfigurationError

__all__ = ["listen", "url_of"]


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Args:
        host: name or address; loopback, for nobody is asked who they are yet.
        port: 0 for any free one.

    Raises:
        ConfigurationError: the address is none, is not loopback, is in use or is not for us.
    """
    family, address = _resolved(host, port)
    try:
        return socket.create_server((address, port), family=family)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigurationError(
                f"port {port} on {host} is in use; stop what listens there or choose another port with --port"
            ) from error
        raise ConfigurationError(f"cannot listen on port {port} of {host}: {error.strerror}") from error


def url_of(listener: socket.socket) -> str:
    """How a client on this machine calls what listens there."""
    address, port = listener.getsockname()[:2]
    return f"http://[{address}]:{port}" if listener.family == socket.AF_INET6 else f"http://{address}:{port}"


def _resolved(host: str, port: int) -> tuple[socket.AddressFamily, str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"{host} is no address to listen on: {error}") from error
    if not all(ip_address(str(address[0])).is_loopback for *_, address in found):
        raise ConfigurationError(
            f"{host} can be reached from other machines, and access control is not part of this release yet;"
            " listen on 127.0.0.1, and let a proxy that asks who they are stand in front"
        )
    family, *_, address = found[0]
    return family, str(address[0])
