"""Rules about load and about hostile texts: a detector holds, and gives away no secret."""
# ruff: noqa: D102 - the name of a test states its rule

from __future__ import annotations

import asyncio
import logging

import pytest
from structlog.testing import capture_logs

from checking_core.contracts import MAX_BODY, Answer, Ask, Reason, decode_result, encode
from checking_core.plugin.base import BaseWorker
from checking_core.testing.detector_conformance.asking import Asking, answer, found_in, timing_with
from checking_core.testing.detector_conformance.stage import Relaxation, Stage, Trouble

__all__ = ["HostileRules"]

_HOSTILE = {
    "utf-8": "echo 'Grüße aus Zürich' 漢字 😀",
    "quotes": 'cmd /c "echo \\" \' ` $(id) %PATH% ${agent_host}"',
    "control": "one\r\ntwo\tthree\x00\x1b[31m\u202efour\x7f",
    "query": '" OR 1=1 | delete index=* ; DROP TABLE x -- */ ) ] }',
    "wildcards": "*?[a-z]^.*$\\",
    "long": "A" * 100_000,
    "braces": "${command} ${nobody} {{7*7}} %s %(x)s {0}",
}
_PATIENCE = 10.0  # seconds until a cancellation that does not end fails the test


class HostileRules(Asking):
    """Command lines, records and answers are written by an attacker, or are simply large."""

    @pytest.mark.parametrize("command", _HOSTILE.values(), ids=_HOSTILE)
    async def test_a_hostile_command_line_breaks_nothing(
        self, stage: Stage, detector: BaseWorker, ask: Ask, command: str
    ) -> None:
        stage.show(ask, self.record(ask, commands=(command,), title=command))
        result = await self.look(detector, ask, command=command)
        assert answer(decode_result(encode(result)), ask) is Answer.YES

    @pytest.mark.parametrize("command", _HOSTILE.values(), ids=_HOSTILE)
    async def test_a_hostile_command_line_is_a_literal_in_a_query(
        self, stage: Stage, detector: BaseWorker, command: str
    ) -> None:
        self.needs(Relaxation.PLACEHOLDERS)
        ask = next(ask for ask in (Ask.RULE, Ask.TELEMETRY, Ask.ALERT) if ask in detector.answers)
        stage.show(ask)
        config = {ask.value: {"query": self.query_with_placeholder}}
        result = await self.look(detector, ask, command=command, detection_config=config)
        assert answer(result, ask) is Answer.NO
        assert result.query_sent is not None
        assert "${command}" not in result.query_sent or "${command}" in command

    async def test_a_huge_answer_fits_into_a_message(self, stage: Stage, detector: BaseWorker, ask: Ask) -> None:
        stage.show(ask, self.record(ask, title="T" * 100_000, fields={"blob": "x" * 3_000_000}))
        result = await self.look(detector, ask)
        assert answer(result, ask) is Answer.YES
        assert len(encode(result)) <= MAX_BODY

    async def test_twenty_looks_at_once_get_their_answers(self, stage: Stage, detector: BaseWorker, ask: Ask) -> None:
        commands = [f"whoami /all {number}" for number in range(20)]
        records = [
            self.record(ask, id=f"record-{number}", commands=(command,), pid=5000 + number)
            for number, command in enumerate(commands)
        ]
        stage.show(ask, *records)
        looks = (
            self.look(detector, ask, number=number, command=command, pid=5000 + number)
            for number, command in enumerate(commands)
        )
        results = await asyncio.gather(*looks)
        assert {answer(result, ask) for result in results} == {Answer.YES}
        if Relaxation.RECORDS not in self.relaxed:
            assert [found_in(result)[0] for result in results] == [record.id for record in records]

    async def test_a_cancelled_look_ends_and_leaves_the_detector_usable(
        self, stage: Stage, detector: BaseWorker, ask: Ask
    ) -> None:
        self.needs(Relaxation.TIME_OUT)
        stage.show(ask, self.record(ask))
        stage.suffer(Trouble.HANGS)
        look = asyncio.create_task(self.look(detector, ask))
        await asyncio.wait({look}, timeout=0.1)
        assert not look.done()
        look.cancel()
        async with asyncio.timeout(_PATIENCE):
            with pytest.raises(asyncio.CancelledError):
                await look
        stage.suffer(None)
        assert answer(await self.look(detector, ask), ask) is Answer.YES

    @pytest.mark.parametrize("trouble", [None, *Trouble])
    async def test_no_secret_gets_into_results_and_logs(
        self, stage: Stage, detector: BaseWorker, ask: Ask, caplog: pytest.LogCaptureFixture, trouble: Trouble | None
    ) -> None:
        self.needs(Relaxation.SECRETS)
        stage.show(ask, self.record(ask))
        stage.suffer(trouble)
        timing = timing_with(timeout=0.05 if trouble is Trouble.HANGS else 5.0)
        with capture_logs() as events, caplog.at_level(logging.DEBUG):
            result = await self.look(detector, ask, timing=timing)
        told = [encode(result).decode(), caplog.text, repr(detector.settings), repr(detector), *map(str, events)]
        assert not any(stage.secret in text for text in told)

    async def test_a_question_that_makes_no_sense_is_a_reason_and_no_answer(
        self, stage: Stage, detector: BaseWorker, ask: Ask
    ) -> None:
        stage.show(ask)
        if ask is Ask.ALERT or Relaxation.PLACEHOLDERS in self.relaxed:
            config = {ask.value: {"min_count": "many", "query": ""}}
        else:
            config = {ask.value: {"query": "${nobody}"}}
        result = await self.look(detector, ask, detection_config=config)
        assert (result.reason, result.final) == (Reason.QUERY_INVALID, True)
