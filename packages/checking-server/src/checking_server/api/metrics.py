"""What Prometheus reads: the counters of this process, and what is stored and waits as it stood a moment ago."""

from __future__ import annotations

from collections import Counter

from litestar import Response, Router, get
from litestar.di import NamedDependency

from checking_core.errors import UnavailableError
from checking_core.storage import Paging, Store
from checking_server.api.checkup import Checkup
from checking_server.api.problems import problems
from checking_server.api.schemas import BrokerHealth, State
from checking_server.api.statistics import counted
from checking_server.engine import Engine
from checking_server.kept import Kept
from checking_server.metrics import Metrics

__all__ = ["router"]

_FORMAT = "text/plain; version=0.0.4; charset=utf-8"


@get("/", media_type=_FORMAT, responses=problems())
async def read_metrics(
    engine: NamedDependency[Engine], checkup: NamedDependency[Checkup], kept: NamedDependency[Kept]
) -> Response[bytes]:
    """Counters, times and gauges in the text format of Prometheus."""
    metrics = engine.metrics
    metrics.up("db", answers=await _told_of_store(engine.store, kept, metrics))
    broker: BrokerHealth = await kept.get("broker", checkup.broker)
    metrics.up("broker", answers=broker.status is State.UP)
    for queue in broker.queues:
        metrics.queue(queue.name, queue.waiting, queue.consumers)
    return Response(metrics.text(), media_type=_FORMAT)


async def _told_of_store(store: Store, kept: Kept, metrics: Metrics) -> bool:
    """Whether the store answered. What it told before stays: nothing in it has changed because nobody can read it."""
    try:
        _, checks = await counted(store, kept, "all checks", lambda uow: uow.statistics.checks())
        _, results = await counted(store, kept, "all results", lambda uow: uow.statistics.results())
        _, letters = await counted(store, kept, "letters", lambda uow: uow.dead_letters.list(Paging(size=1)))
    except UnavailableError:
        return False
    metrics.stored_checks({(one.backend, one.status, one.outcome): one.checks for one in checks})
    reasons: Counter[tuple[str, str]] = Counter()
    for one in results:
        reasons[one.outcome, one.reason or ""] += one.results
    metrics.stored_results(reasons)
    metrics.stored_letters(letters.total)
    return True


router = Router("/metrics", route_handlers=[read_metrics], tags=["metrics"])
