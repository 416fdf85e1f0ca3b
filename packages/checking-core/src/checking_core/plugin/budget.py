"""How much one backend is asked: so many searches at a time, so many a minute."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import timedelta

from aiolimiter import AsyncLimiter
from pydantic import Field
from pydantic_settings import BaseSettings

from checking_core.errors import BackendRateLimitedError

__all__ = ["Budget", "SearchSettings"]


class SearchSettings(BaseSettings):
    """What the settings of a detector have where its budget may be set for each backend."""

    max_concurrent: int | None = Field(default=None, ge=1, description="Searches at a time")
    max_per_minute: float | None = Field(default=None, gt=0, description="Searches a minute")


class Budget:
    """Places for searches.

    Args:
        at_once: searches at a time; ``None``: any number.
        per_minute: searches a minute; ``None``: any number.
    """

    def __init__(self, at_once: int | None, per_minute: float | None) -> None:
        self._places: list[AbstractAsyncContextManager[None]] = []
        if at_once:
            self._places.append(asyncio.Semaphore(at_once))
        if per_minute:
            self._places.append(AsyncLimiter(per_minute))

    @asynccontextmanager
    async def place(self, patience: float) -> AsyncIterator[None]:
        """Hold a place.

        Args:
            patience: seconds to wait for one. Longer waits belong to the store, where they cost a row and no worker.

        Raises:
            BackendRateLimitedError: none became free in time; it was us who held back, and a later look asks again.
        """
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(patience):
                    for place in self._places:
                        await held.enter_async_context(place)
            except TimeoutError:
                words = f"its budget of searches is used up, no place within {patience:g} s"
                raise BackendRateLimitedError(words, retry_after=timedelta(minutes=1)) from None
            yield
