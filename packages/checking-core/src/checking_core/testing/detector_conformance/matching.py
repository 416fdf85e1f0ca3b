"""Rules about whose a record is: a detector hands over enough for core to tell."""
# ruff: noqa: D102 - the name of a test states its rule

from __future__ import annotations

import asyncio
from datetime import timedelta, timezone

import pytest

from checking_core.contracts import Answer, Ask, Reason
from checking_core.matching.record import AnyRecord
from checking_core.plugin.base import BaseWorker
from checking_core.testing.builders import ENDED, STARTED
from checking_core.testing.detector_conformance.asking import JUST_BEFORE, Asking, answer, found_in, limit_of, parsed
from checking_core.testing.detector_conformance.stage import Relaxation, Stage

__all__ = ["MatchRules"]


class MatchRules(Asking):
    """What belongs to another host, hour, process or rule is no hit, and is shown as a near miss where it was near."""

    async def test_a_record_of_another_host_is_a_near_miss(self, stage: Stage, detector: BaseWorker, ask: Ask) -> None:
        self.needs(Relaxation.RECORDS)
        stage.show(ask, self.record(ask, hosts=("dc01",)))
        result = await self.look(detector, ask)
        assert answer(result, ask) is Answer.NO
        assert parsed(result).near_miss_counts.keys() <= {Reason.ALERT_OTHER_HOST}

    @pytest.mark.parametrize("host", ["ws011", "xws01", "ws01-old", "aws01.example"])
    async def test_a_host_whose_name_contains_ours_is_another(
        self, stage: Stage, detector: BaseWorker, ask: Ask, host: str
    ) -> None:
        self.needs(Relaxation.RECORDS)
        stage.show(ask, self.record(ask, hosts=(host,)))
        assert answer(await self.look(detector, ask), ask) is Answer.NO

    @pytest.mark.parametrize("host", ["WS01", "ws01.corp.example"])
    async def test_another_form_of_the_hosts_name_is_the_same_host(
        self, stage: Stage, detector: BaseWorker, ask: Ask, host: str
    ) -> None:
        self.needs(Relaxation.RECORDS)
        stage.show(ask, self.record(ask, hosts=(host,)))
        assert answer(await self.look(detector, ask), ask) is Answer.YES

    async def test_where_there_is_much_no_form_of_the_hosts_name_is_overlooked(
        self, stage: Stage, detector: BaseWorker, ask: Ask
    ) -> None:
        self.needs(Relaxation.RECORDS)
        others = (self.record(ask, id=f"other-{number}", hosts=("dc01",)) for number in range(limit_of(detector)))
        stage.show(ask, *others, self.record(ask, hosts=("WS01.corp.example",)))
        assert answer(await self.look(detector, ask), ask) is not Answer.NO

    async def test_an_address_within_an_address_is_another(self, stage: Stage, detector: BaseWorker, ask: Ask) -> None:
        self.needs(Relaxation.RECORDS)
        stage.show(ask, self.record(ask, hosts=("10.1.2.33",)))
        assert answer(await self.look(detector, ask, agent_host="10.1.2.3"), ask) is not Answer.YES

    async def test_what_happened_before_the_attack_is_no_hit(
        self, stage: Stage, detector: BaseWorker, ask: Ask
    ) -> None:
        self.needs(Relaxation.RECORDS)
        stage.show(ask, self.record_at(ask, JUST_BEFORE))
        result = await self.look(detector, ask)
        assert answer(result, ask) is Answer.NO
        assert parsed(result).near_miss_counts.keys() <= {Reason.ALERT_OUTSIDE_WINDOW}

    async def test_what_happened_hours_later_is_no_hit(self, stage: Stage, detector: BaseWorker, ask: Ask) -> None:
        self.needs(Relaxation.RECORDS)
        stage.show(ask, self.record_at(ask, ENDED + timedelta(hours=5)))
        assert answer(await self.look(detector, ask), ask) is Answer.NO

    async def test_a_clock_that_is_a_second_off_hides_nothing(
        self, stage: Stage, detector: BaseWorker, ask: Ask
    ) -> None:
        self.needs(Relaxation.RECORDS)
        stage.show(ask, self.record_at(ask, STARTED - timedelta(seconds=1)))
        assert answer(await self.look(detector, ask), ask) is Answer.YES

    async def test_a_time_in_another_zone_is_the_same_time(self, stage: Stage, detector: BaseWorker, ask: Ask) -> None:
        self.needs(Relaxation.RECORDS)
        zone = timezone(timedelta(hours=5, minutes=30))
        stage.show(ask, self.record_at(ask, (STARTED + timedelta(seconds=1)).astimezone(zone)))
        result = await self.look(detector, ask)
        assert answer(result, ask) is Answer.YES
        assert result.event_at == STARTED + timedelta(seconds=1)

    async def test_an_alert_of_another_rule_is_no_hit(self, stage: Stage, detector: BaseWorker) -> None:
        self.needs(Relaxation.RECORDS)
        self.needs_alerts(detector)
        other = self.record(Ask.ALERT, rule="Phishing", title="Phishing", commands=(), pid=None)
        stage.show(Ask.ALERT, other)
        assert answer(await self.look(detector, Ask.ALERT), Ask.ALERT) is Answer.NO

    async def test_two_executions_in_one_minute_on_one_host_get_their_own_record_first(
        self, stage: Stage, detector: BaseWorker, ask: Ask
    ) -> None:
        self.needs(Relaxation.RECORDS)
        steps = {
            "record-1": {"command": "rundll32.exe comsvcs.dll MiniDump 624 out.dmp full", "pid": 4242},
            "record-2": {"command": "procdump.exe -ma lsass.exe MiniDump.dmp", "pid": 5252},
        }
        stage.show(ask, *(self._of(ask, name, str(step["command"]), step["pid"]) for name, step in steps.items()))
        looks = (self.look(detector, ask, number=number, **step) for number, step in enumerate(steps.values()))
        results = await asyncio.gather(*looks)
        assert [found_in(result)[0] for result in results] == list(steps)

    def _of(self, ask: Ask, name: str, command: str, pid: object) -> AnyRecord:
        return self.record(ask, id=name, commands=(command,), pid=pid)
