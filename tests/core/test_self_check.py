"""What a detector says of itself is told, however badly it behaves."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import SecretStr
from pydantic_settings import BaseSettings

from checking_core.plugin import Health
from checking_core.testing import FakeDetector
from checking_core.worker.self_check import health_of


class AcmeSettings(BaseSettings):
    password: SecretStr = SecretStr("none")


class Acme(FakeDetector):
    """Its self-check does what it is told."""

    Settings = AcmeSettings

    def __init__(self, found: Any, **told: Any) -> None:
        super().__init__()
        self.settings = AcmeSettings(**told)
        self.found = found
        self.calls: list[str] = []

    async def start(self) -> None:
        self.calls.append("start")

    async def close(self) -> None:
        self.calls.append("close")

    async def self_check(self) -> Health:
        self.calls.append("self_check")
        if isinstance(self.found, BaseException):
            raise self.found
        if callable(self.found):
            return await self.found()
        return self.found


def test_a_detector_is_started_checked_and_closed():
    detector = Acme(Health(ok=True, detail="version 9"))
    assert health_of(detector) == Health(ok=True, detail="version 9")
    assert detector.calls == ["start", "self_check", "close"]


@pytest.mark.parametrize(
    "found",
    [RuntimeError("wrong password hunter2"), SystemExit("hunter2"), "fine", None, Health(ok=False, detail="hunter2")],
)
def test_whatever_a_self_check_does_is_told_without_secrets(found: Any):
    health = health_of(Acme(found, password="hunter2"))
    assert health.ok is False
    assert health.detail
    assert "hunter2" not in health.detail


def test_a_self_check_that_hangs_ends():
    detector = Acme(asyncio.Event().wait)
    assert health_of(detector, within=0.01) == Health(
        ok=False, detail="self-check failed: BackendUnreachableError: no answer within 0.01 s"
    )
    assert detector.calls[-1] == "close"
