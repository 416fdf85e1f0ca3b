"""How many searches the looks of one host cost when one answer serves many of them.

    python benchmarks/searches.py [--executions 200] [--seconds-between 0 1 5 30]

Every execution has a check with two questions, whether its trace is there and whether the source is alive, and nothing
is ever found: each check takes all its looks up to its deadline, ten minutes after its execution. Beside the searches
stands what the same looks cost that ask for themselves.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from rig.figures import options, tell

from checking_core import Ask, DetectionConfig, ExecutionContext, SearchAnswer, SearchDetector, SearchRequest
from checking_core.contracts import Clock, Expect, PlannedCheck, timing_of
from checking_core.matching.record import AnyRecord
from checking_core.plugin.forecast import Asked, forecast

CONFIG = {"telemetry": {"query": "index=security EventCode=1"}, "alive": {"query": "index=security"}}
OPERATION = UUID("464a80be-0d2e-4f5c-9a51-6f5c0a5e7a11")
BEGUN = datetime(2026, 1, 15, 9, 0, tzinfo=UTC)


class Product(SearchDetector):
    """What a search detector is, without a product."""

    platform = "product"
    answers = frozenset(Ask)

    async def search(self, request: SearchRequest) -> SearchAnswer:
        raise NotImplementedError

    def normalise(self, record: Mapping[str, Any]) -> AnyRecord:
        raise NotImplementedError


def checks(executions: int, seconds_between: float) -> Sequence[Asked]:
    """One for each execution, on one host."""
    config = DetectionConfig.model_validate(CONFIG)
    return [
        Asked(
            PlannedCheck(
                id=uuid5(OPERATION, str(number)),
                expectation_id=None,
                detection_type="api",
                backend="product",
                config=CONFIG,
                expect=Expect.LOGGED,
                max_retries=1,
                timing=timing_of(config),
            ),
            ExecutionContext(
                agent_host="ws01",
                command=f"whoami /all {number}",
                started_at=(started := BEGUN + timedelta(seconds=number * seconds_between)),
                finished_at=started + timedelta(seconds=1),
                clock=Clock.SERVER,
                operation_started_at=BEGUN,
            ),
        )
        for number in range(executions)
    ]


async def main() -> None:
    parser = options(__doc__, executions=200)
    parser.add_argument("--seconds-between", type=float, nargs="+", default=[0.0, 1.0, 5.0, 30.0])
    told = parser.parse_args()
    for seconds in told.seconds_between:
        cpu = time.process_time()
        load = await forecast(Product, checks(told.executions, seconds))
        used = time.process_time() - cpu
        alone = load.looks * len(CONFIG)
        figures = {"looks": load.looks, "searches": load.searches, "each for itself": alone}
        tell(f"one execution every {seconds:g} s", {**figures, "CPU ms a look": 1000 * used / load.looks})


if __name__ == "__main__":
    asyncio.run(main())
