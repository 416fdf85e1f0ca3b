"""How a detector asks a product over HTTP: verified, bounded, never redirected. Needs the extra ``http``."""

from __future__ import annotations

import json
import ssl
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import httpx
import msgspec
from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from checking_core.contracts import Reason
from checking_core.errors import BackendUnreachableError, FatalDetectionError
from checking_core.plugin.budget import SearchSettings

__all__ = ["ApiSecret", "HttpClient", "HttpReply", "HttpSettings"]

_AT_ONCE = 8
"""Connections for searches of which the settings give no number: the detector's own budget is less."""
_ENCODINGS = {"": None, "identity": None, "gzip": zlib.MAX_WBITS | 16}
"""What ``zlib`` has to be told to unpack a body; nothing else is asked for."""


def _sendable(secret: SecretStr) -> SecretStr:
    value = secret.get_secret_value().strip()
    if not (value.isascii() and value.isprintable()):
        raise ValueError("has characters that cannot be sent; copy it once more")
    return SecretStr(value)


ApiSecret = Annotated[SecretStr, AfterValidator(_sendable)]
"""A key or token that a product issued: what copying left around it is gone, and any header can carry it.

Passwords are none of these: people choose them, with any characters."""


class HttpSettings(SearchSettings):
    """What the settings of every detector that asks over HTTP have in common. Errors never show what was set."""

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", populate_by_name=True, hide_input_in_errors=True
    )

    verify_ssl: bool = Field(default=True, description="Whether the product's certificate is checked")
    ca_cert: Path | None = Field(default=None, description="File of the authorities that may have signed it")
    timeout: float = Field(default=30.0, gt=0, description="Seconds without any sign of the product")


class HttpReply(msgspec.Struct, frozen=True, kw_only=True):
    """What the product answered, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    received_at: datetime

    @property
    def told_at(self) -> datetime | None:
        """The product's time in whole seconds, where it tells that."""
        try:
            return parsedate_to_datetime(self.headers["date"]).astimezone(UTC)
        except (KeyError, ValueError, OverflowError):
            return None

    @property
    def clock_offset(self) -> float | None:
        """The product's clock minus ours, in seconds."""
        return None if self.told_at is None else (self.told_at - self.received_at).total_seconds()

    def json(self) -> dict[str, Any]:
        """The body.

        Raises:
            BackendUnreachableError: it is no JSON object: cut off, or of somebody in between.
        """
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            kind = self.headers.get("content-type", "nothing").partition(";")[0][:50]
            raise BackendUnreachableError(f"answered {self.status} with {kind} that is no JSON object") from None
        return found


class HttpClient:
    """One product's API. Connects when it is first asked.

    Args:
        base_url: what paths are relative to.
        settings: how to connect.
        headers: sent with every request.
        most_bytes: of a body, unpacked: what a small answer unpacks to can fill any memory.
        clock: the present time.
    """

    def __init__(
        self,
        base_url: str,
        settings: HttpSettings,
        *,
        headers: Mapping[str, str] | None = None,
        most_bytes: int = 64 * 1024 * 1024,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._settings = settings
        self._headers = {"Accept": "application/json", "Accept-Encoding": "gzip", **(headers or {})}
        self._most_bytes = most_bytes
        self._clock = clock
        self._connected: httpx.AsyncClient | None = None

    async def ask(self, method: Literal["GET", "POST", "DELETE"], path: str, **request: Any) -> HttpReply:
        """Ask once.

        Args:
            method: of HTTP.
            path: below ``base_url``, or a whole URL.
            request: ``params``, ``json``, ``data`` and ``headers`` of httpx.

        Raises:
            BackendUnreachableError: no connection, no answer, or one that is broken or too large.
            FatalDetectionError: its certificate cannot be trusted, or the address is none.
        """
        url = path if "://" in path else f"{self._base_url}/{path.lstrip('/')}"
        with _told():
            async with self._client().stream(method, url, **request) as response:
                body = await self._body(response)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return HttpReply(status=response.status_code, headers=headers, body=body, received_at=self._clock())

    async def close(self) -> None:
        """Give the connections back."""
        connected, self._connected = self._connected, None
        if connected is not None:
            await connected.aclose()

    def _client(self) -> httpx.AsyncClient:
        if self._connected is None:
            self._connected = httpx.AsyncClient(
                headers=self._headers,
                verify=self._trust(),
                timeout=self._settings.timeout,
                limits=httpx.Limits(max_connections=(self._settings.max_concurrent or _AT_ONCE) + 2),
                follow_redirects=False,
            )
        return self._connected

    def _trust(self) -> ssl.SSLContext | bool:
        if not self._settings.verify_ssl or self._settings.ca_cert is None:
            return self._settings.verify_ssl
        try:
            return ssl.create_default_context(cafile=self._settings.ca_cert)
        except OSError as error:
            words = f"{self._settings.ca_cert.name} holds no certificate that can be read"
            raise FatalDetectionError(words, reason=Reason.BACKEND_UNREACHABLE) from error

    async def _body(self, response: httpx.Response) -> bytes:
        """The body, unpacked here: no more of it than is wanted."""
        encoding = response.headers.get("content-encoding", "").lower()
        if encoding not in _ENCODINGS:
            raise BackendUnreachableError(f"answered in the encoding {encoding[:20]!r}, which was not asked for")
        bits = _ENCODINGS[encoding]
        unpacker = None if bits is None else zlib.decompressobj(bits)
        body = bytearray()
        async for chunk in response.aiter_raw():
            room = self._most_bytes + 1 - len(body)
            body += chunk if unpacker is None else unpacker.decompress(chunk, room)
            if len(body) > self._most_bytes:
                raise BackendUnreachableError(f"answered with more than {self._most_bytes} bytes")
        if unpacker is not None and not unpacker.eof:
            raise BackendUnreachableError("the answer was cut off")
        return bytes(body)


@contextmanager
def _told() -> Iterator[None]:
    """What goes wrong on the way, in core's words: the kind of error.

    Neither its text is told nor the error itself: it may hold an address, or a header with a secret.
    """
    try:
        yield
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise FatalDetectionError("its address is no URL", reason=Reason.BACKEND_UNREACHABLE) from None
    except httpx.RequestError as error:
        if _distrusted(error):
            words = "its certificate cannot be trusted; name the authority that signed it in the setting ca_cert"
            raise FatalDetectionError(words, reason=Reason.BACKEND_UNREACHABLE) from None
        raise BackendUnreachableError(f"no answer ({type(error).__name__})") from None
    except zlib.error:
        raise BackendUnreachableError("the answer cannot be unpacked") from None


def _distrusted(error: BaseException) -> bool:
    """Whether a certificate is behind it. Whoever raises within a handler may tie causes into a ring."""
    behind: list[BaseException] = [error]
    for known in behind:
        if isinstance(known, ssl.SSLCertVerificationError):
            return True
        more = (known.__cause__, known.__context__)
        behind += [cause for cause in more if cause is not None and not any(cause is old for old in behind)]
    return False
