"""Rules about a product that does not answer: this is never a miss, and it is told what it was."""
# ruff: noqa: D102 - the name of a test states its rule

from __future__ import annotations

import pytest

from checking_core.contracts import Answer, Ask, Outcome, Reason
from checking_core.errors import DetectionError
from checking_core.plugin.base import BaseWorker
from checking_core.testing.detector_conformance.asking import Asking, answer, timing_with
from checking_core.testing.detector_conformance.stage import RETRY_AFTER, KitClock, Relaxation, Stage, Trouble

__all__ = ["TroubleRules"]


class TroubleRules(Asking):
    """An outage is waited for, wrong credentials are not, and neither is ever a no."""

    async def test_an_outage_is_no_answer_and_is_asked_again(
        self, stage: Stage, detector: BaseWorker, ask: Ask
    ) -> None:
        stage.show(ask)
        stage.suffer(Trouble.AWAY)
        result = await self.look(detector, ask)
        assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.BACKEND_UNREACHABLE)
        assert not result.final

    async def test_an_outage_that_is_over_is_forgotten(self, stage: Stage, detector: BaseWorker, ask: Ask) -> None:
        stage.show(ask, self.record(ask))
        stage.suffer(Trouble.AWAY)
        await self.look(detector, ask)
        stage.suffer(None)
        assert answer(await self.look(detector, ask, look=2), ask) is Answer.YES

    async def test_a_short_outage_is_over_within_one_look(self, stage: Stage, ask: Ask, clock: KitClock) -> None:
        stage.show(ask, self.record(ask))
        stage.suffer(Trouble.AWAY)

        async def until_it_is_well(_: float) -> None:
            stage.suffer(None)

        detector = stage.detector(clock=clock, sleep=until_it_is_well)
        result = await self.look(detector, ask, max_retries=1, timing=timing_with(delay=1.0))
        await detector.close()
        assert (answer(result, ask), result.retry_count) == (Answer.YES, 1)

    async def test_wrong_credentials_are_told_at_once(self, stage: Stage, detector: BaseWorker, ask: Ask) -> None:
        self.needs(Relaxation.CREDENTIALS)
        stage.suffer(Trouble.REFUSES)
        result = await self.look(detector, ask, max_retries=3)
        assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.BACKEND_AUTH_FAILED)
        assert (result.final, result.retry_count) == (True, 0)

    async def test_a_limit_of_requests_is_kept_for_as_long_as_the_product_asks(
        self, stage: Stage, detector: BaseWorker, ask: Ask
    ) -> None:
        self.needs(Relaxation.RATE_LIMIT)
        stage.suffer(Trouble.LIMITS)
        result = await self.look(detector, ask, max_retries=3)
        assert (result.reason, result.final) == (Reason.BACKEND_RATE_LIMITED, False)
        assert result.result_metadata.get("retry_after") == RETRY_AFTER.total_seconds()

    async def test_a_product_that_hangs_is_an_outage(self, stage: Stage, detector: BaseWorker, ask: Ask) -> None:
        self.needs(Relaxation.TIME_OUT)
        stage.suffer(Trouble.HANGS)
        result = await self.look(detector, ask, timing=timing_with(timeout=0.05))
        assert (result.reason, result.final) == (Reason.BACKEND_UNREACHABLE, False)

    async def test_a_partial_answer_proves_no_miss(self, stage: Stage, detector: BaseWorker, ask: Ask) -> None:
        self.needs(Relaxation.PARTIAL_ANSWER)
        stage.show(ask)
        stage.suffer(Trouble.PARTIAL)
        result = await self.look(detector, ask)
        assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.BACKEND_PARTIAL_ANSWER)
        assert not result.final

    async def test_a_hit_in_a_partial_answer_is_a_hit(self, stage: Stage, detector: BaseWorker, ask: Ask) -> None:
        self.needs(Relaxation.PARTIAL_ANSWER)
        stage.show(ask, self.record(ask))
        stage.suffer(Trouble.PARTIAL)
        assert answer(await self.look(detector, ask), ask) is Answer.YES

    async def test_an_answer_that_cannot_be_read_is_no_answer(
        self, stage: Stage, detector: BaseWorker, ask: Ask
    ) -> None:
        self.needs(Relaxation.GARBLED_ANSWER)
        stage.show(ask)
        stage.suffer(Trouble.GARBLED)
        result = await self.look(detector, ask)
        assert result.outcome is Outcome.INCONCLUSIVE
        assert answer(result, ask) in (Answer.UNKNOWN, Answer.NOT_ASKED)

    async def test_the_self_check_tells_a_product_that_is_there_from_one_that_is_not(
        self, stage: Stage, detector: BaseWorker
    ) -> None:
        well = await detector.self_check()
        if well.ok is None:
            pytest.skip(f"{type(detector).__name__} has no self-check")
        stage.suffer(Trouble.AWAY)
        try:
            away = (await detector.self_check()).ok
        except DetectionError:
            away = False
        assert (well.ok, away) == (True, False)
