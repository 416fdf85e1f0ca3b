"""What Prometheus reads: the counters of this process, and what is stored and waits as it stood a moment ago."""

from __future__ import annotations

from asyncio import gather
from collections import Counter

from litestar import Response, Router, get
from litestar.di import NamedDependency

from checking_core.errors import UnavailableError
from checking_core.storage import Paging, Store
from checking_server.api.checkup import Checkup
from checking_server.api.problems import problems
from checking_server.api.schemas import State
from checking_server.api.statistics import counted
from checking_server.engine import Engine
from checking_server.kept import Kept
from checking_server.metrics import Metrics

__all__ = ["router"]

_PATIENCE = 0.005
"""Seconds; what takes longer is shown as it stood at the scrape before. Who watches must not be a burden."""
_FORMAT = "text/plain; version=0.0.4"


@get("/", media_type=_FORMAT, responses=problems())
async def read_metrics(
    engine: NamedDependency[Engine], checkup: NamedDependency[Checkup], kept: NamedDependency[Kept]
) -> Response[bytes]:
    """Counters, times and gauges in the text format of Prometheus."""
    metrics = engine.metrics
    answers, broker, _ = await gather(
        checkup.db_answers(), kept.get("broker", checkup.broker), _count(engine.store, kept, metrics)
    )
    metrics.up("db", answers=answers)
    metrics.up("broker", answers=broker.status is State.UP)
    for queue in broker.queues:
        metrics.queue(queue.name, queue.waiting, queue.consumers)
    return Response(metrics.text(), media_type=_FORMAT)


async def _count(store: Store, kept: Kept, metrics: Metrics) -> None:
    """Tell what is stored, or leave what was told before: nothing has changed because nobody can read it."""
    try:  # at once: on a busy server each of them waits longer for its turn than for its answer
        (_, checks), (_, results), (_, letters) = await gather(
            counted(store, kept, "all checks", lambda uow: uow.statistics.checks(), patience=_PATIENCE),
            counted(store, kept, "all results", lambda uow: uow.statistics.results(), patience=_PATIENCE),
            counted(store, kept, "letters", lambda uow: uow.dead_letters.list(Paging(size=1)), patience=_PATIENCE),
        )
    except UnavailableError:
        return
    metrics.stored_checks({(one.backend, one.status, one.outcome): one.checks for one in checks})
    reasons: Counter[tuple[str, str]] = Counter()
    for one in results:
        reasons[one.outcome, one.reason or ""] += one.results
    metrics.stored_results(reasons)
    metrics.stored_letters(letters.total)


router = Router("/metrics", route_handlers=[read_metrics], tags=["metrics"])
