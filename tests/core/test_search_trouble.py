"""What core does for a detector whose backend fails, hangs, or has more than a search can bring."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.core.memory_product import MemoryDetector, an_alert, an_event

from checking_core import (
    Alert,
    Answer,
    Ask,
    BackendRateLimitedError,
    BackendUnreachableError,
    FatalDetectionError,
    QueryInvalidError,
    SearchAnswer,
    SearchRequest,
)
from checking_core.plugin.budget import SearchSettings

ALERT, RULE, TELEMETRY, ALIVE = Ask.ALERT, Ask.RULE, Ask.TELEMETRY, Ask.ALIVE


def failing(**errors: Exception) -> Any:
    def answer(request: SearchRequest) -> None:
        if request.ask in errors:
            raise errors[request.ask]

    return answer


# --- more than a search can bring ------------------------------------------------------------------------------


def crowded(*records: Any) -> SearchAnswer:
    """A first page of which nobody knows how many would follow."""
    others = [{"record": an_alert(id=f"other-{number}", hosts=("dc01",))} for number in range(1000)]
    return SearchAnswer(records=[*({"record": record} for record in records), *others][:1000], complete=False)


@pytest.mark.parametrize("narrower", [SearchAnswer(records=[]), BackendUnreachableError("refused")])
async def test_what_a_broad_search_found_is_not_lost_by_a_narrower_one(narrower):
    def answer(request: SearchRequest) -> SearchAnswer:
        if not request.hosts:
            return crowded(an_alert())
        if isinstance(narrower, Exception):
            raise narrower
        return narrower

    detector = MemoryDetector()
    detector.before = answer
    finding = await detector.look(ALERT)
    assert (finding.alert, finding.complete) == (Answer.YES, True)
    assert [record.id for record in finding.evidence] == ["alert-1"]
    assert len(finding.raw_response["alert"]) == 21


@pytest.mark.parametrize(("said", "proves"), [({}, False), ({"complete": False}, False), ({"complete": True}, True)])
async def test_a_full_page_proves_a_no_only_if_the_plugin_says_that_it_is_all(said: dict[str, bool], proves: bool):
    detector = MemoryDetector()
    detector.before = lambda _: SearchAnswer(records=crowded().records, **said)
    finding = await detector.look(ALERT)
    assert (finding.alert, finding.complete) == (Answer.NO, proves)


async def test_a_page_with_room_left_is_all_unless_the_plugin_says_otherwise():
    detector = MemoryDetector()
    detector.before = lambda _: SearchAnswer(records=[{"record": an_alert(hosts=("dc01",))}])
    finding = await detector.look(ALERT)
    assert (finding.alert, finding.complete) == (Answer.NO, True)


async def test_a_narrower_search_that_fails_before_anything_was_found_fails_the_look():
    detector = MemoryDetector()
    detector.before = lambda request: (
        crowded() if not request.hosts else failing(alert=BackendUnreachableError("refused"))(request)
    )
    with pytest.raises(BackendUnreachableError):
        await detector.look(ALERT)


# --- errors ---------------------------------------------------------------------------------------------------


async def test_a_question_that_fails_beside_a_yes_is_unknown_and_told():
    detector = MemoryDetector(an_alert())
    detector.before = failing(telemetry=BackendUnreachableError("refused"))
    finding = await detector.look(ALERT, TELEMETRY)
    assert (finding.alert, finding.telemetry, finding.complete) == (Answer.YES, Answer.UNKNOWN, False)
    assert finding.warnings == ("BackendUnreachableError: refused",)


async def test_a_question_that_fails_beside_a_no_fails_the_look():
    detector = MemoryDetector()
    detector.before = failing(telemetry=BackendUnreachableError("refused"))
    with pytest.raises(BackendUnreachableError):
        await detector.look(ALERT, TELEMETRY)


async def test_a_source_that_reports_hides_no_question_that_failed():
    detector = MemoryDetector(an_event())
    detector.before = failing(alert=QueryInvalidError("syntax"))
    with pytest.raises(QueryInvalidError):
        await detector.look(ALERT, ALIVE)


@pytest.mark.parametrize("worst", [ValueError("a bug"), QueryInvalidError("syntax")])
async def test_of_two_errors_the_one_that_needs_a_person_is_told(worst):
    detector = MemoryDetector()
    detector.before = failing(alert=BackendUnreachableError("refused"), telemetry=worst)
    with pytest.raises(type(worst)):
        await detector.look(ALERT, TELEMETRY)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
async def test_a_search_that_wants_to_end_the_process_ends_its_look(error):
    detector = MemoryDetector()
    detector.before = failing(alert=error)
    with pytest.raises(FatalDetectionError, match=type(error).__name__):
        await detector.look(ALERT)


async def test_a_translation_that_wants_to_end_the_process_ends_its_look():
    class Exits(MemoryDetector):
        def normalise(self, record: Any) -> Alert:
            raise SystemExit(3)

    with pytest.raises(FatalDetectionError, match="SystemExit"):
        await Exits(an_alert()).look(ALERT)


async def test_a_row_of_outages_spares_the_backend():
    detector = MemoryDetector()
    detector.before = failing(telemetry=BackendUnreachableError("refused"))
    for _ in range(8):
        detector.time.forward(1)
        with pytest.raises(BackendUnreachableError):
            await detector.look(TELEMETRY)
    assert len(detector.requests) == 5


async def give_up_after(detector: MemoryDetector, seconds: float) -> None:
    """Take a look that nobody waits for any longer than that."""
    detector.asked.clear()
    look = asyncio.create_task(detector.look(TELEMETRY))
    await detector.asked.wait()
    detector.time.forward(seconds)
    look.cancel()
    await asyncio.wait({look})


async def test_a_search_that_was_waited_for_in_vain_counts_as_an_outage():
    detector = MemoryDetector()
    detector.hold = asyncio.Event()
    for _ in range(5):
        await give_up_after(detector, 2.6)  # of 5 s
    with pytest.raises(BackendUnreachableError, match="not asked again for 15 s"):
        await detector.look(TELEMETRY)


async def test_a_search_that_was_given_up_early_tells_nothing_of_the_backend():
    detector = MemoryDetector()
    detector.hold = asyncio.Event()
    for _ in range(20):
        await give_up_after(detector, 2.4)  # of 5 s
    assert len(detector.requests) == 20


async def test_a_search_ends_at_its_time_out_for_everybody():
    detector = MemoryDetector()
    detector.hold = asyncio.Event()
    with pytest.raises(BackendUnreachableError, match=r"no answer within 0\.01 s"):
        await detector.look(config={"telemetry": {"query": "*"}, "timeout": 0.01}, timing=None)


# --- budget ---------------------------------------------------------------------------------------------------


class Narrow(MemoryDetector):
    searches_at_once = 2
    running = most = 0

    async def search(self, request: SearchRequest) -> SearchAnswer:
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0)
        self.running -= 1
        return await super().search(request)


@pytest.mark.parametrize(("limits", "most"), [({}, 2), ({"max_concurrent": 1}, 1), ({"max_concurrent": 3}, 3)])
async def test_no_more_searches_run_at_a_time_than_the_product_tolerates(limits, most):
    detector = Narrow(settings=SearchSettings(**limits))
    await detector.look(ALERT, RULE, TELEMETRY, ALIVE)
    assert (detector.most, len(detector.requests)) == (most, 4)


async def test_a_backend_is_searched_no_oftener_in_a_minute_than_its_settings_say():
    detector = MemoryDetector(settings=SearchSettings(max_per_minute=1))
    with pytest.raises(BackendRateLimitedError):
        await detector.look(TELEMETRY, RULE, config={"timeout": 0.1}, timing=None)
    assert len(detector.requests) == 1


async def test_looks_that_share_a_search_spend_one_of_the_budget():
    class Rare(MemoryDetector):
        searches_per_minute = 1

    detector = Rare(an_event())
    findings = await asyncio.gather(*(detector.look(TELEMETRY) for _ in range(20)))
    assert {finding.telemetry for finding in findings} == {Answer.YES}
