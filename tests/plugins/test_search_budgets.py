"""Two hundred looks at once, each with a question of its own: no product is asked more than its budget allows."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager

import pytest
from tests.acceptance.products import PRODUCTS, Execution, Product
from tests.fakes.process import Fake, most_at_once, most_within

from checking_core import DetectionResult, Outcome, Reason
from checking_core.contracts import Timing
from checking_core.plugin import BaseWorker, PluginHost
from checking_core.settings import BackendSettings, WorkerSettings
from checking_core.testing import STARTED, a_task
from checking_core.worker.run_task import run_task

LOOKS = 200
AT_ONCE = 3
PER_MINUTE = 6
"""One more is allowed every ten seconds: no test waits so long."""
SETTINGS = WorkerSettings(jitter_min=0, jitter_max=0, max_retries=0, retry_delay=0)


class Asked:
    """A product that takes its time, and a detector with a budget."""

    def __init__(self, name: str, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
        self.name, self.fake = name, fake
        self.product: Product = PRODUCTS[name]
        self._environment = monkeypatch

    @asynccontextmanager
    async def detector(self, **budget: int) -> AsyncIterator[BaseWorker]:
        for key, value in {**self.product.settings(self.fake.url), **budget}.items():
            self._environment.setenv(f"BUDGET_{key.upper()}", str(value))
        made = PluginHost.load(only=self.name).create(
            self.name, BackendSettings(plugin=self.name, env_prefix="BUDGET_")
        )
        try:
            yield made
        finally:
            await made.close()

    async def looks(self, detector: BaseWorker, *, within: float) -> list[DetectionResult]:
        timing = Timing(before=30, after=900, settle=60, deadline=1200, timeout=within, delay=0.0)
        return await asyncio.gather(
            *(
                run_task(
                    detector,
                    a_task(
                        number,
                        detection_config=self.product.distinct(number),
                        command=f"whoami {number}",
                        pid=number,
                        timing=timing,
                    ),
                    SETTINGS,
                )
                for number in range(LOOKS)
            )
        )


@pytest.fixture(params=PRODUCTS)
def asked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    with ExitStack() as stack:
        fake = stack.enter_context(Fake(PRODUCTS[request.param].app, delay=0.02))
        seen = [Execution("ws01", f"whoami {number}", number, STARTED) for number in range(LOOKS)]
        fake.tell(PRODUCTS[request.param].records(seen))
        yield Asked(request.param, fake, monkeypatch)


async def test_as_many_searches_run_at_once_as_were_allowed_and_no_more(asked: Asked) -> None:
    async with asked.detector(max_concurrent=AT_ONCE) as detector:
        results = await asked.looks(detector, within=60)
    assert Counter(result.outcome for result in results) == {Outcome(asked.product.found): LOOKS}
    searches = asked.product.whole(asked.fake.seen(asked.product.searches))
    assert len(searches) == LOOKS
    assert most_at_once(searches) == AT_ONCE


async def test_whoever_finds_the_minute_used_up_comes_back_later_and_asks_nothing(asked: Asked) -> None:
    async with asked.detector(max_concurrent=AT_ONCE, max_per_minute=PER_MINUTE) as detector:
        results = await asked.looks(detector, within=4)
    searches = asked.product.whole(asked.fake.seen(asked.product.searches))
    assert len(searches) == most_within(searches, 60) == PER_MINUTE
    refused = [result for result in results if result.outcome is Outcome.INCONCLUSIVE]
    assert len(refused) == LOOKS - PER_MINUTE
    assert {(result.reason, result.final) for result in refused} == {(Reason.BACKEND_RATE_LIMITED, False)}
    assert all(result.result_metadata["retry_after"] >= 60 for result in refused)
