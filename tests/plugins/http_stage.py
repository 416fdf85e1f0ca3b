"""What the products that are played over HTTP have in common: how each kind of trouble comes."""

from __future__ import annotations

import asyncio
from abc import abstractmethod

import httpx

from checking_core.testing import RETRY_AFTER, Stage, Trouble

PLAIN_WAIT = {"Retry-After": f"{RETRY_AFTER.total_seconds():.0f}"}


class HttpStage(Stage):
    """One product. ``asked`` are the requests."""

    def __init__(self) -> None:
        self.asked: list[httpx.Request] = []
        self.trouble: Trouble | None = None

    def suffer(self, trouble: Trouble | None) -> None:
        self.trouble = trouble

    async def answer(self, request: httpx.Request) -> httpx.Response:
        self.note(request)
        match self.trouble:
            case Trouble.AWAY:
                raise httpx.ConnectError("refused", request=request)
            case Trouble.REFUSES:
                return self.refusal()
            case Trouble.LIMITS:
                return self.limit()
            case Trouble.HANGS:
                await asyncio.Event().wait()
            case Trouble.GARBLED:
                return httpx.Response(200, text="<html>Please log in</html>", headers={"Content-Type": "text/html"})
        return self.at_ease(request)

    def at_ease(self, request: httpx.Request) -> httpx.Response:
        return self.found(request)

    def note(self, request: httpx.Request) -> None:
        self.asked.append(request)

    @abstractmethod
    def refusal(self) -> httpx.Response:
        """401, as the product says it."""

    @abstractmethod
    def limit(self) -> httpx.Response:
        """429, which asks for ``RETRY_AFTER``."""

    @abstractmethod
    def found(self, request: httpx.Request) -> httpx.Response:
        """What the product answers when it is well, or in part."""
