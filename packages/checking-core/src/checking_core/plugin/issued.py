"""A credential that a product issues for a while: all requests share it, and it is asked for again in time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import msgspec

from checking_core.errors import BackendAuthFailedError

__all__ = ["Issued", "IssuedCredential"]

_SPARE = timedelta(minutes=2)
"""It is renewed this long before it runs out: a request may be under way then."""
_KEEP_REFUSAL = timedelta(minutes=5)


class Issued(msgspec.Struct, frozen=True):
    """A token, and for how long it is good; ``None``: until it is refused."""

    token: str
    lasts: timedelta | None = None

    def __repr__(self) -> str:
        return f"Issued(lasts={self.lasts!r})"


class IssuedCredential:
    """The one credential of a backend.

    A product that refuses the log-in, or a token that it has just issued, is not asked again for five minutes: with two
    hundred looks waiting, wrong credentials would lock the account out.

    Args:
        issue: logs in.
        clock: the present time.
    """

    def __init__(self, issue: Callable[[], Awaitable[Issued]], clock: Callable[[], datetime]) -> None:
        self._issue = issue
        self._clock = clock
        self._lock = asyncio.Lock()
        self._token: str | None = None
        self._good_until: datetime | None = None
        self._refusal: tuple[datetime, str] | None = None

    async def token(self) -> str:
        """The token, issued now if there is none that is good.

        Raises:
            DetectionError: of ``issue``.
            BackendAuthFailedError: the log-in, or what it gave, was refused a short while ago.
        """
        async with self._lock:
            now = self._clock()
            if self._token is None or (self._good_until is not None and now >= self._good_until):
                self._token = await self._issued(now)
            return self._token

    def refused(self, token: str) -> None:
        """A request with this token was refused: the next one gets a new one."""
        if token == self._token:
            self._token = None

    def refused_anew(self, token: str, words: str) -> None:
        """A request with this token was refused although it had been issued in place of one that was: no log-in helps.

        Args:
            token: the new one.
            words: how it was refused, told to all who ask before the next log-in.
        """
        if token == self._token:
            self._token = None
            self._refusal = self._clock(), words

    async def _issued(self, now: datetime) -> str:
        if self._refusal is not None and now < self._refusal[0] + _KEEP_REFUSAL:
            raise BackendAuthFailedError(f"{self._refusal[1]}; not tried again for a while, so as to lock nobody out")
        try:
            issued = await self._issue()
        except BackendAuthFailedError as error:
            self._refusal = now, str(error)
            raise
        self._refusal = None
        self._good_until = None if issued.lasts is None else now + issued.lasts - min(_SPARE, issued.lasts / 2)
        return issued.token
