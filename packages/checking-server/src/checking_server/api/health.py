"""Health for people (``/health``), for orchestrators (``/health/live``, ``/health/ready``) and part by part."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from importlib.metadata import version
from typing import TypeVar

import msgspec
from litestar import Response, Router, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec

from checking_server.api.checkup import Checkup
from checking_server.api.guards import OPEN
from checking_server.api.problems import RETRY_AFTER, problems
from checking_server.api.schemas import (
    BrokerHealth,
    Health,
    Liveness,
    PartHealth,
    PluginsHealth,
    Readiness,
    State,
    StoreHealth,
)

__all__ = ["router"]

Shape = TypeVar("Shape", Health, Readiness, StoreHealth, BrokerHealth)

_DOWN = HTTPStatus.SERVICE_UNAVAILABLE


def _or_down(shape: type[msgspec.Struct]) -> dict[int, ResponseSpec]:
    return {int(_DOWN): ResponseSpec(shape, description="A part is down", generate_examples=False)}


@get("/", responses=problems() | _or_down(Health))
async def health(checkup: NamedDependency[Checkup]) -> Response[Health]:
    """Every part, and the worst of them as the whole."""
    db, broker = await asyncio.gather(checkup.db(), checkup.broker())
    plugins = checkup.plugins()
    release = version("checking-server")
    return _told(Health(status=_worst(db, broker, plugins), version=release, db=db, broker=broker, plugins=plugins))


@get("/live", opt=OPEN, security=[{}])
async def health_live() -> Liveness:
    """The process answers: restart it when this fails."""
    return Liveness(status=State.UP)


@get("/ready", opt=OPEN, security=[{}], responses=_or_down(Readiness))
async def health_ready(checkup: NamedDependency[Checkup]) -> Response[Readiness]:
    """The database and the broker answer and the schema is this release's: send it work while this holds."""
    db, broker = await asyncio.gather(checkup.db(), checkup.broker())
    return _told(Readiness(status=_worst(db, broker), db=db, broker=broker))


@get("/db", responses=problems() | _or_down(StoreHealth))
async def health_db(checkup: NamedDependency[Checkup]) -> Response[StoreHealth]:
    """The database and its schema."""
    return _told(await checkup.db())


@get("/broker", responses=problems() | _or_down(BrokerHealth))
async def health_broker(checkup: NamedDependency[Checkup]) -> Response[BrokerHealth]:
    """The transport and its queues."""
    return _told(await checkup.broker())


@get("/plugins", responses=problems())
async def health_plugins(checkup: NamedDependency[Checkup]) -> PluginsHealth:
    """The installed plugins, the broken ones with the reason."""
    return checkup.plugins()


def _worst(*parts: PartHealth) -> State:
    states = {part.status for part in parts}
    return next((state for state in (State.DOWN, State.DEGRADED) if state in states), State.UP)


def _told(found: Shape) -> Response[Shape]:
    """The same shape whatever is found, so that a probe can say what is away; the status says whether to wait."""
    if found.status is State.DOWN:
        return Response(found, status_code=int(_DOWN), headers=RETRY_AFTER)
    return Response(found)


router = Router(
    "/health",
    route_handlers=[health, health_live, health_ready, health_db, health_broker, health_plugins],
    tags=["health"],
)
