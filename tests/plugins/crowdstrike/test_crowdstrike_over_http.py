"""The detector and a Falcon that is a process of its own: over a real connection, killed and started again."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.fakes import Fake
from tests.plugins.played import played

from checking_core import Answer, BackendAuthFailedError, DetectionResult, Outcome, Prevention, Reason
from checking_core.settings import WorkerSettings
from checking_core.testing import ENDED, STARTED, KitClock, a_task
from checking_core.worker.run_task import run_task
from checking_plugin_crowdstrike.detector import CrowdStrikeDetector
from checking_plugin_crowdstrike.settings import CrowdStrikeSettings

Make = Callable[..., CrowdStrikeDetector]
SETTINGS = WorkerSettings(jitter_min=0, jitter_max=0, max_retries=0, retry_delay=0)
ALERT = {"alert": {"rule": "LSASS dump"}}
ALIVE = {"alive": {"query": "hostname:${host_names}"}}
RAISED = {
    "composite_id": "alert-1",
    "product": "epp",
    "name": "CredentialDump",
    "display_name": "LSASS dump",
    "device": {"hostname": "ws01", "device_id": "d1"},
    "local_process_id": "4242",
    "cmdline": "rundll32 comsvcs.dll MiniDump",
    "pattern_disposition": 2176,
    "pattern_disposition_details": {"process_blocked": True, "quarantine_file": True},
    "timestamp": STARTED.isoformat(),
    "created_timestamp": (ENDED + timedelta(seconds=51)).isoformat(),
}
HOST = {"device_id": "d1", "hostname": "ws01", "first_seen": "2020-01-01T00:00:00Z", "last_seen": ENDED.isoformat()}


def held(**changes: Any) -> dict[str, Any]:
    return {"client": ["id", "s3cret"], "alerts": [RAISED], "devices": [HOST], **changes}


def silent(**changes: Any) -> dict[str, Any]:
    return held(alerts=[], **changes)


started, fake = played("tests.fakes.crowdstrike:create_app", held)


@pytest.fixture
async def a_detector(fake: Fake) -> AsyncIterator[Make]:
    """Makes detectors of the customer, each with an empty memory."""
    async with AsyncExitStack() as made:

        def make(clock: Any = None, **changes: Any) -> CrowdStrikeDetector:
            told = {"base_url": fake.url, "client_id": "id", "client_secret": "s3cret", **changes}
            detector = CrowdStrikeDetector("crowdstrike", CrowdStrikeSettings(**told), clock=clock or KitClock())
            made.push_async_callback(detector.close)
            return detector

        yield make


async def look(detector: CrowdStrikeDetector, config: dict[str, Any], **task: Any) -> DetectionResult:
    return await run_task(detector, a_task(detection_config=config, max_retries=0, **task), SETTINGS)


async def test_an_alert_is_found_with_what_it_tells(a_detector: Make) -> None:
    result = await look(a_detector(), {**ALERT, **ALIVE, "prevention": True})
    assert (result.outcome, result.prevention, result.alive) == (Outcome.BLOCKED, Prevention.BLOCKED, Answer.YES)
    assert (result.event_at, result.alert_at) == (STARTED, ENDED + timedelta(seconds=51))


async def test_a_filter_finds_the_alert_and_not_that_of_another_host(a_detector: Make, fake: Fake) -> None:
    config = {"alert": {"query": "device.hostname:${agent_host}+cmdline:'*MiniDump*'"}}
    assert (await look(a_detector(), config)).alert is Answer.YES
    fake.tell(held(alerts=[{**RAISED, "device": {"hostname": "ws02"}}]))
    assert (await look(a_detector(), config)).alert is Answer.NO


async def test_a_hostile_command_is_found_as_itself(a_detector: Make, fake: Fake) -> None:
    hostile = "echo 'a'+b:!*),(c:'\\' \"*\" \r\n${agent_host}"
    fake.tell(held(alerts=[{**RAISED, "cmdline": hostile}]))
    config = {"alert": {"query": "cmdline:${command}"}}
    assert (await look(a_detector(), config, command=hostile)).alert is Answer.YES
    fake.tell(held(alerts=[{**RAISED, "cmdline": hostile.replace("*", "x")}]))
    assert (await look(a_detector(), config, command=hostile)).alert is Answer.NO


async def test_alerts_behind_the_first_page_are_found(a_detector: Make, fake: Fake) -> None:
    others = [{**RAISED, "composite_id": f"other-{number}", "device": {"hostname": "dc01"}} for number in range(25)]
    fake.tell(
        held(alerts=[*others, {**RAISED, "created_timestamp": (ENDED + timedelta(minutes=2)).isoformat()}], page=10)
    )
    assert (await look(a_detector(), ALERT)).outcome is Outcome.ALERTED
    assert len(fake.seen("/alerts/combined")) == 3


async def test_one_host_among_too_many_alerts_is_asked_for_alone(a_detector: Make, fake: Fake) -> None:
    others = [{**RAISED, "composite_id": f"other-{number}", "device": {"hostname": "dc01"}} for number in range(1001)]
    fake.tell(held(alerts=[*others, {**RAISED, "created_timestamp": (ENDED + timedelta(minutes=2)).isoformat()}]))
    assert (await look(a_detector(), ALERT)).outcome is Outcome.ALERTED
    fake.tell(held(alerts=others))
    assert (await look(a_detector(), ALERT)).outcome is Outcome.NO_ALERT


async def test_a_token_that_is_good_no_more_is_renewed(a_detector: Make, fake: Fake) -> None:
    detector = a_detector()
    assert (await look(detector, ALERT)).outcome is Outcome.ALERTED
    fake.tell(held(generation=2))
    assert (await look(detector, ALIVE)).alive is Answer.YES
    assert [one.status for one in fake.seen("/devices/")] == [401, 200]
    assert len(fake.seen("/oauth2/token")) == 2


async def test_a_limit_is_kept_and_then_over(a_detector: Make, fake: Fake) -> None:
    detector = a_detector(clock=lambda: datetime.now(UTC))
    fake.tell(held(limited_until=int(time.time()) + 3600))
    limited = await look(detector, ALERT)
    assert (limited.reason, limited.final) == (Reason.BACKEND_RATE_LIMITED, False)
    assert 3400 < limited.result_metadata["retry_after"] < 3700
    await look(detector, ALERT, look=2)
    assert len(fake.seen()) == 1, "the second look was kept back"
    fake.tell(held())
    assert (await look(a_detector(), ALERT)).outcome is Outcome.ALERTED


async def test_an_answer_in_part_is_no_silence(a_detector: Make, fake: Fake) -> None:
    fake.tell(silent(errors=[{"code": 500, "message": "a shard is away"}]))
    result = await look(a_detector(), ALERT)
    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.BACKEND_PARTIAL_ANSWER)


async def test_a_filter_that_falcon_cannot_read_is_told(a_detector: Make) -> None:
    result = await look(a_detector(), {"alert": {"query": "this is no filter"}})
    assert (result.reason, result.final) == (Reason.QUERY_INVALID, True)


async def test_a_falcon_that_was_killed_is_away_and_then_answers(a_detector: Make, fake: Fake) -> None:
    detector = a_detector()
    assert (await look(detector, ALERT)).outcome is Outcome.ALERTED
    fake.kill()
    try:
        gone = await look(detector, {**ALERT, "alert": {"query": "name:'x'"}})
    finally:
        fake.start()
    assert (gone.outcome, gone.reason) == (Outcome.INCONCLUSIVE, Reason.BACKEND_UNREACHABLE)
    assert (await look(detector, ALIVE)).alive is Answer.YES


async def test_a_secret_that_is_none_is_told(a_detector: Make, fake: Fake) -> None:
    result = await look(a_detector(client_secret="old"), ALERT)
    assert (result.reason, result.final) == (Reason.BACKEND_AUTH_FAILED, True)
    assert fake.seen("/alerts/") == []


async def test_hosts_that_may_not_be_read_leave_alerts_as_they_are(a_detector: Make, fake: Fake) -> None:
    fake.tell(silent(scopes=["Alerts: Read"]))
    assert (await look(a_detector(), ALERT)).outcome is Outcome.NO_ALERT
    refused = await look(a_detector(), {**ALERT, **ALIVE})
    assert (refused.outcome, refused.reason) == (Outcome.INCONCLUSIVE, Reason.BACKEND_AUTH_FAILED)


async def test_the_self_check_tells_what_a_person_wants_to_know(a_detector: Make, fake: Fake) -> None:
    fake.tell(held(scopes=["Alerts: Read", "Hosts: Read", "Users: Read", "Real time response: Read"]))
    health = await a_detector(clock=lambda: ENDED + timedelta(minutes=5), check_host="WS01").self_check()
    assert health.ok
    assert "alerts can be read; newest alert 4 minutes old" in health.detail
    assert "hosts can be read; newest contact of a host 5 minutes old" in health.detail
    assert "of WS01 newest contact 5 minutes old" in health.detail
    assert "may do Users: Read, Real time response: Read, which it does not need" in health.detail
    offset = (datetime.now(UTC) - ENDED - timedelta(minutes=5)).total_seconds()
    assert abs(float(health.detail.split("clock ")[1].split(" s")[0]) - offset) < 60


async def test_a_client_with_just_what_it_needs_has_nothing_to_hear(a_detector: Make) -> None:
    assert "does not need" not in (await a_detector().self_check()).detail


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"devices": []}, "of ws01 there is no contact yet"),
        ({"devices": [{**HOST, "last_seen": "2026-11-20T12:00:00Z"}]}, "of ws01 newest contact 449 minutes old"),
        ({"devices": [{**HOST, "reduced_functionality_mode": "yes"}]}, "runs with reduced functionality"),
        ({"scopes": ["Alerts: Read"]}, "hosts cannot be read, so alive cannot be asked: it needs Hosts: Read"),
        ({"errors": [{"code": 500, "message": "away"}]}, "Falcon answered in part: 500 away"),
    ],
)
async def test_what_is_not_well_is_told(a_detector: Make, fake: Fake, changes: dict[str, Any], words: str) -> None:
    fake.tell(held(**changes))
    health = await a_detector(clock=lambda: ENDED, check_host="ws01").self_check()
    assert health.ok is False
    assert words in health.detail


async def test_hosts_that_nobody_asks_for_need_not_be_readable(a_detector: Make, fake: Fake) -> None:
    fake.tell(held(scopes=["Alerts: Read"]))
    assert (await a_detector().self_check()).ok


async def test_a_client_that_may_read_no_alerts_is_of_no_use(a_detector: Make, fake: Fake) -> None:
    fake.tell(held(scopes=["Hosts: Read"]))
    with pytest.raises(BackendAuthFailedError, match="lacks Alerts: Read"):
        await a_detector().self_check()


async def test_nothing_that_a_detector_asks_for_can_change_anything(a_detector: Make, fake: Fake) -> None:
    detector = a_detector(check_host="ws01")
    await look(detector, {**ALERT, **ALIVE})
    await detector.self_check()
    posted = {one.path for one in fake.seen() if one.method != "GET"}
    assert posted == {"/oauth2/token", "/alerts/combined/alerts/v1"}
