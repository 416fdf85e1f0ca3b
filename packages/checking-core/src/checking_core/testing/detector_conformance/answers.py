"""Rules about what a detector answers when the product does."""
# ruff: noqa: D102 - the name of a test states its rule

from __future__ import annotations

from datetime import timedelta

import pytest

from checking_core.contracts import Answer, Ask, Outcome, Prevention
from checking_core.matching.record import Alert
from checking_core.plugin.base import BaseWorker
from checking_core.testing.builders import ENDED
from checking_core.testing.detector_conformance.asking import JUST_BEFORE, Asking, answer, found_in, limit_of, parsed
from checking_core.testing.detector_conformance.stage import Relaxation, Stage

__all__ = ["AnswerRules"]


class AnswerRules(Asking):
    """A yes has evidence, a no is proven, and what is not there yet may still come."""

    async def test_every_question_can_be_answered_yes_and_no(self, stage: Stage, detector: BaseWorker) -> None:
        for ask in sorted(detector.answers - {Ask.PREVENTION}):
            stage.show(ask)
            assert answer(await self.look(detector, ask), ask) is Answer.NO, f"{ask}: nothing is there"
            stage.show(ask, self.record(ask))
            assert answer(await self.look(detector, ask), ask) is Answer.YES, f"{ask}: a record is there"

    async def test_what_was_blocked_is_told_from_what_was_not(self, stage: Stage, detector: BaseWorker) -> None:
        if Ask.PREVENTION not in detector.answers:
            pytest.skip(f"{type(detector).__name__} does not tell what was blocked")
        seen: list[Prevention] = []
        for state in (Prevention.BLOCKED, Prevention.NOT_BLOCKED):
            stage.show(Ask.ALERT, self.record(Ask.ALERT, prevention=state))
            seen.append((await self.look(detector, Ask.PREVENTION)).prevention)
        assert seen == [Prevention.BLOCKED, Prevention.NOT_BLOCKED]

    async def test_a_yes_names_its_record(self, stage: Stage, detector: BaseWorker, ask: Ask) -> None:
        stage.show(ask, self.record(ask))
        assert found_in(await self.look(detector, ask))

    async def test_a_yes_carries_the_times_of_its_record(self, stage: Stage, detector: BaseWorker, ask: Ask) -> None:
        self.needs(Relaxation.RECORDS)
        record = self.record(ask)
        stage.show(ask, record)
        result = await self.look(detector, ask)
        assert result.event_at is not None
        assert record.event_at is not None
        assert abs(result.event_at - record.event_at) <= timedelta(seconds=1)
        if isinstance(record, Alert):
            assert result.alert_at == record.created_at

    async def test_evidence_is_hashed_and_says_what_ties_it(self, stage: Stage, detector: BaseWorker, ask: Ask) -> None:
        self.needs(Relaxation.RECORDS)
        stage.show(ask, self.record(ask))
        (evidence,) = parsed(await self.look(detector, ask)).evidence
        assert evidence.tier is not None
        assert evidence.matched
        assert evidence.sha256 is not None
        assert len(evidence.sha256) == 64

    async def test_the_query_is_told_as_it_was_sent(self, stage: Stage, detector: BaseWorker) -> None:
        queried = sorted(detector.answers & {Ask.RULE, Ask.TELEMETRY, Ask.ALIVE})
        if not queried:
            pytest.skip(f"{type(detector).__name__} takes no queries")
        stage.show(queried[0])
        assert (await self.look(detector, queried[0])).query_sent

    async def test_nothing_yet_is_no_final_answer_before_the_deadline(
        self, stage: Stage, detector: BaseWorker, ask: Ask
    ) -> None:
        stage.show(ask)
        early = await self.look(detector, ask, deadline_passed=False)
        assert (answer(early, ask), early.final) == (Answer.UNKNOWN, False)
        stage.show(ask, self.record(ask))
        assert answer(await self.look(detector, ask, look=2), ask) is Answer.YES

    async def test_a_late_alert_counts_and_tells_how_late_it_was(self, stage: Stage, detector: BaseWorker) -> None:
        self.needs_alerts(detector)
        self.needs(Relaxation.RECORDS)
        late = detector.clock() - timedelta(seconds=5)
        assert late > ENDED + timedelta(seconds=1200)
        stage.show(Ask.ALERT, self.record(Ask.ALERT, created_at=late))
        result = await self.look(detector, Ask.ALERT)
        assert (result.outcome, result.alert_at) == (Outcome.ALERTED, late)

    async def test_a_record_that_came_twice_is_one(self, stage: Stage, detector: BaseWorker, ask: Ask) -> None:
        self.needs(Relaxation.RECORDS)
        stage.show(ask, self.record(ask), self.record(ask))
        assert len(found_in(await self.look(detector, ask))) == 1

    async def test_the_record_on_the_last_page_is_found(self, stage: Stage, detector: BaseWorker, ask: Ask) -> None:
        self.needs(Relaxation.RECORDS, Relaxation.PAGES)
        others = [self.record(ask, id=f"other-{number}", hosts=("dc01",)) for number in range(2 * self.page_size)]
        stage.show(ask, *others, self.record(ask))
        assert found_in(await self.look(detector, ask)) == ["record-1"]

    async def test_more_than_is_handed_over_proves_nothing(self, stage: Stage, detector: BaseWorker, ask: Ask) -> None:
        self.needs(Relaxation.RECORDS)
        others = (self.record_at(ask, JUST_BEFORE, id=f"other-{n}") for n in range(limit_of(detector) + 1))
        stage.show(ask, *others)
        assert answer(await self.look(detector, ask), ask) is Answer.UNKNOWN
