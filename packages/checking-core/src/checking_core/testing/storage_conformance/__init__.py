"""The rules that the store keeps on every database. Subclass ``StorageConformance``; pytest runs it.

Needs the extra ``storage`` and ``asyncio_mode = "auto"``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from checking_core.storage import Store
from checking_core.testing.storage_conformance.accept import AcceptRules
from checking_core.testing.storage_conformance.claim import ClaimRules
from checking_core.testing.storage_conformance.claims import ClaimedRecordRules
from checking_core.testing.storage_conformance.concurrency import ConcurrencyRules
from checking_core.testing.storage_conformance.dead_letters import DeadLetterRules
from checking_core.testing.storage_conformance.faults import FaultRules
from checking_core.testing.storage_conformance.leases import LeaseRules
from checking_core.testing.storage_conformance.operations import OperationRules
from checking_core.testing.storage_conformance.plan import PlanRules
from checking_core.testing.storage_conformance.report import ReportRules
from checking_core.testing.storage_conformance.rows import MovableClock
from checking_core.testing.storage_conformance.settle import SettleRules
from checking_core.testing.storage_conformance.values import ValueRules

__all__ = ["MovableClock", "StorageConformance"]


class StorageConformance(
    OperationRules,
    AcceptRules,
    PlanRules,
    ClaimRules,
    LeaseRules,
    SettleRules,
    ClaimedRecordRules,
    ReportRules,
    ConcurrencyRules,
    FaultRules,
    ValueRules,
    DeadLetterRules,
):
    """What the flow relies on, as tests.

    The subclass adds three fixtures: ``store``, an empty, migrated ``Store`` whose clock is the fixture ``clock``,
    closed after the test; ``empty_url``, of a database without our tables; ``away_urls``, of databases that do not
    answer, each for a reason of its own.
    """

    @pytest.fixture
    def clock(self) -> MovableClock:
        """The store's time."""
        return MovableClock()

    @pytest.fixture
    async def second_store(self, store: Store, clock: MovableClock) -> AsyncIterator[Store]:
        """The same database as another process sees it."""
        async with Store(store.url, clock=clock) as second:
            yield second

    @pytest.fixture
    def default_clock_store(self, store: Store) -> Callable[[], Store]:
        """Opens the same database with the clock it has by default."""
        return lambda: Store(store.url)
