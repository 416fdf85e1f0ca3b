"""The detector and a cluster that is a process of its own: over a real connection, killed and started again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import structs
from tests.fakes import Fake
from tests.plugins.played import played

from checking_core import Answer, DetectionResult, Outcome, Prevention, Reason
from checking_core.contracts import EvidenceKind
from checking_core.settings import WorkerSettings
from checking_core.testing import ENDED, STARTED, KitClock, a_task
from checking_core.worker.run_task import run_task
from checking_plugin_elastic.detector import ElasticDetector
from checking_plugin_elastic.settings import ElasticSettings

Make = Callable[..., ElasticDetector]
SETTINGS = WorkerSettings(jitter_min=0, jitter_max=0, max_retries=0, retry_delay=0)
ALERTS = ".internal.alerts-security.alerts-default-000001"
EVENTS = "logs-endpoint.events.process-default"
ALERT = {"alert": {"rule": "LSASS dump"}}
EVENT = {
    "_id": "event-1",
    "@timestamp": STARTED.isoformat(),
    "event.category": "process",
    "host.name": "ws01",
    "process.pid": 4242,
    "process.command_line": "rundll32 comsvcs.dll MiniDump",
}
RAISED = {
    "_id": "alert-1",
    "@timestamp": (ENDED + timedelta(seconds=51)).isoformat(),
    "kibana.alert.original_time": STARTED.isoformat(),
    "kibana.alert.rule.name": "LSASS dump",
    "kibana.alert.original_event.kind": "alert",
    "kibana.alert.original_event.type": ["info", "denied"],
    "kibana.alert.original_event.outcome": "success",
    "host.name": "ws01",
    "process.pid": 4242,
}
RULE = {"id": "uuid-1", "rule_id": "static-1", "name": "LSASS dump", "enabled": True, "version": 7}


def held(**changes: Any) -> dict[str, Any]:
    return {"api_key": "key", "indices": {ALERTS: [RAISED], EVENTS: [EVENT]}, "rules": [RULE], **changes}


def silent(**changes: Any) -> dict[str, Any]:
    return held(indices={ALERTS: [], EVENTS: []}, **changes)


started, fake = played("tests.fakes.elastic:create_app", held)


@pytest.fixture
async def a_detector(fake: Fake) -> AsyncIterator[Make]:
    """Makes detectors of the cluster, each with an empty memory."""
    async with AsyncExitStack() as made:

        def make(**changes: Any) -> ElasticDetector:
            told = {"url": fake.url, "api_key": "key", "kibana_url": fake.url, "index": "logs-*", **changes}
            detector = ElasticDetector("elastic", ElasticSettings(**told), clock=KitClock())
            made.push_async_callback(detector.close)
            return detector

        yield make


async def look(detector: ElasticDetector, config: dict[str, Any], **task: Any) -> DetectionResult:
    return await run_task(detector, a_task(detection_config=config, **task), SETTINGS)


async def test_an_alert_is_found_with_what_it_tells(a_detector: Make) -> None:
    result = await look(a_detector(), {**ALERT, "prevention": True})
    assert (result.outcome, result.prevention) == (Outcome.BLOCKED, Prevention.BLOCKED)
    assert result.alert_at == ENDED + timedelta(seconds=51)


@pytest.mark.parametrize(
    ("language", "query"),
    [
        ("lucene", "host.name: ${agent_host} AND process.command_line: *MiniDump*"),
        ("dsl", '{"bool": {"filter": [{"term": {"host.name": ${agent_host}}}]}}'),
        ("eql", 'process where host.name == ${agent_host} and process.command_line like~ "*minidump*"'),
        ("esql", 'FROM logs-* METADATA _id | WHERE host.name == ${agent_host} AND process.command_line LIKE "*Mini*"'),
    ],
)
async def test_each_language_finds_the_trace_and_not_that_of_another_host(
    a_detector: Make, fake: Fake, language: str, query: str
) -> None:
    telemetry = {"telemetry": {"language": language, "query": query.replace("LIKE", "like")}}
    assert (await look(a_detector(), telemetry)).telemetry is Answer.YES
    fake.tell(held(indices={EVENTS: [{**EVENT, "host.name": "ws02"}]}))
    assert (await look(a_detector(), telemetry)).telemetry is Answer.NO


async def test_a_rule_that_is_switched_off_or_missing_explains_the_silence(a_detector: Make, fake: Fake) -> None:
    fake.tell(silent())
    quiet = await look(a_detector(), ALERT)
    fake.tell(silent(rules=[{**RULE, "enabled": False}]))
    off = await look(a_detector(), ALERT)
    fake.tell(silent(rules=[{**RULE, "name": "Another", "rule_id": "other"}]))
    missing = await look(a_detector(), ALERT)
    by_id = await look(a_detector(), {"alert": {"rule_id": "uuid-1"}})
    assert [one.reason for one in (quiet, off, missing, by_id)] == [
        Reason.DEADLINE_PASSED,
        Reason.RULE_DISABLED,
        Reason.RULE_MISSING,
        Reason.DEADLINE_PASSED,
    ]


async def test_rules_that_name_alerts_after_events_prove_no_name_missing(a_detector: Make, fake: Fake) -> None:
    fake.tell(silent(rules=[{**RULE, "name": "Endpoint Security", "rule_name_override": "message"}]))
    assert (await look(a_detector(), ALERT)).reason is Reason.DEADLINE_PASSED


async def test_rules_that_may_not_be_read_explain_nothing_and_disturb_nothing(a_detector: Make, fake: Fake) -> None:
    fake.tell(silent(rules=None))
    result = await look(a_detector(), ALERT)
    assert (result.reason, result.result_metadata.get("warnings", [])) == (Reason.DEADLINE_PASSED, [])


CROWD = [{**RAISED, "_id": f"crowd-{number}", "host.name": "ws99"} for number in range(1001)]


@pytest.mark.parametrize(
    "where",
    [
        {"host.name": "WS01.corp.example"},
        {"host.name": r"CORP\WS01$"},
        {"host.name": "wec01", "winlog.computer_name": "WS01"},
        {"host.name": "wec01", "host.id": "ws01"},
        {"host.name": "ip-10-0-0-1", "host.hostname": "WS01"},
    ],
    ids=str,
)
async def test_a_crowd_hides_no_alert_by_whichever_name_its_host_is_told(
    a_detector: Make, fake: Fake, where: dict[str, str]
) -> None:
    fake.tell(held(indices={ALERTS: [*CROWD, {**RAISED, "_id": "ours", **where}]}))
    assert (await look(a_detector(), ALERT)).outcome is Outcome.ALERTED


@pytest.mark.parametrize(
    "where",
    [{"host.name": None}, {"host.name": "Unknown"}, {"host.name": "-"}, {"host.name": "localhost.localdomain"}],
    ids=str,
)
async def test_an_alert_of_nobody_in_a_crowd_is_no_silence(
    a_detector: Make, fake: Fake, where: dict[str, str | None]
) -> None:
    nobody = {name: value for name, value in {**RAISED, "_id": "ours", **where}.items() if value is not None}
    fake.tell(held(indices={ALERTS: [*CROWD, nobody]}))
    assert (await look(a_detector(), ALERT)).outcome is Outcome.INCONCLUSIVE


async def test_an_alert_whose_host_is_told_by_its_address_is_found_in_a_crowd(a_detector: Make, fake: Fake) -> None:
    fake.tell(held(indices={ALERTS: [*CROWD, {**RAISED, "_id": "ours", "host.name": "10.1.2.3"}]}))
    task = a_task(detection_config=ALERT)
    context = structs.replace(task.execution_context, addresses=("10.1.2.3",))
    result = await run_task(a_detector(), structs.replace(task, execution_context=context), SETTINGS)
    assert result.outcome is Outcome.ALERTED


async def test_a_crowd_hides_no_alert_whose_name_has_letters_beyond_ascii(a_detector: Make, fake: Fake) -> None:
    noise = [{**alert, "host.name": "ws01", "kibana.alert.rule.name": "Another"} for alert in CROWD]
    fake.tell(held(indices={ALERTS: [*noise, {**RAISED, "_id": "ours", "kibana.alert.rule.name": "ÜBERNAHME"}]}))
    assert (await look(a_detector(), {"alert": {"rule": "übernahme"}})).outcome is Outcome.ALERTED


SUPPRESSED = {
    **RAISED,
    "_id": "suppressed",
    "@timestamp": (STARTED - timedelta(hours=3)).isoformat(),
    "kibana.alert.original_time": (STARTED - timedelta(hours=4)).isoformat(),
    "kibana.alert.suppression.start": (STARTED - timedelta(hours=4)).isoformat(),
    "kibana.alert.suppression.end": (ENDED + timedelta(days=3)).isoformat(),
    "kibana.alert.suppression.docs_count": 5,
    "kibana.alert.suppression.terms": [{"field": "host.name", "value": ["ws01"]}],
}


async def test_an_alert_is_looked_for_by_the_time_of_what_it_suppressed(a_detector: Make, fake: Fake) -> None:
    fake.tell(held(indices={ALERTS: [SUPPRESSED]}))
    assert (await look(a_detector(), {**ALERT, "control": False})).outcome is Outcome.ALERTED


async def test_a_crowd_hides_no_alert_that_may_have_suppressed_ours(a_detector: Make, fake: Fake) -> None:
    elsewhere = {**SUPPRESSED, "host.name": "ws98", "kibana.alert.suppression.terms": []}
    fake.tell(held(indices={ALERTS: [*CROWD, {**elsewhere, "@timestamp": ENDED.isoformat()}]}))
    assert (await look(a_detector(), ALERT)).reason is Reason.ALERT_FIELDS_INCOMPLETE


async def test_every_rule_is_known_however_many_there_are(a_detector: Make, fake: Fake) -> None:
    many = [{**RULE, "id": f"uuid-{number}", "rule_id": f"static-{number}"} for number in range(1500)]
    fake.tell(held(rules=many))
    rules = await a_detector().rules()
    assert rules is not None
    assert {rule.id for rule in rules} >= {"uuid-0", "static-0", "uuid-1499", "static-1499"}
    assert len(fake.seen("rules/_find")) == 2


async def test_shards_that_fail_are_no_silence(a_detector: Make, fake: Fake) -> None:
    fake.tell(silent(failed_shards=1))
    result = await look(a_detector(), ALERT)
    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.BACKEND_UNREACHABLE)


async def test_a_cluster_that_was_killed_is_away_and_then_answers(a_detector: Make, fake: Fake) -> None:
    detector = a_detector()
    assert (await look(detector, ALERT)).outcome is Outcome.ALERTED
    fake.kill()
    try:
        gone = await look(detector, {"alert": {"rule": "Another"}, "telemetry": {"query": "host.name: ws01"}})
    finally:
        fake.start()
    assert (gone.outcome, gone.reason) == (Outcome.INCONCLUSIVE, Reason.BACKEND_UNREACHABLE)
    assert (await look(detector, {"telemetry": {"query": "host.name: ws01"}})).telemetry is Answer.YES


async def test_a_key_that_is_none_is_told(a_detector: Make, fake: Fake) -> None:
    result = await look(a_detector(api_key="old"), ALERT)
    assert (result.reason, result.final) == (Reason.BACKEND_AUTH_FAILED, True)


async def test_the_self_check_tells_what_a_person_wants_to_know(a_detector: Make, fake: Fake) -> None:
    fake.tell(held(privileges=["read", "write"]))
    health = await a_detector(check_host="WS01").self_check()
    ages = {record: f"{(KitClock().now - at).total_seconds() / 60:.0f}" for record, at in _NEWEST.items()}
    assert health.ok
    assert f"newest alert {ages['alert']} minutes old" in health.detail
    assert f"events in logs-* can be read; newest event {ages['event']} minutes old" in health.detail
    assert f"of WS01 newest event {ages['event']} minutes old" in health.detail
    assert "the rules can be read" in health.detail
    assert "may write, which it does not need" in health.detail
    offset = (datetime.now(UTC) - KitClock().now).total_seconds()
    assert abs(float(health.detail.split("clock ")[1].split(" s")[0]) - offset) < 60


async def test_a_host_that_never_reported_is_no_health(a_detector: Make, fake: Fake) -> None:
    health = await a_detector(check_host="ws0").self_check()
    assert health.ok is False
    assert "of ws0 there is no event yet" in health.detail


async def test_a_host_is_looked_for_in_an_index_that_is_named(a_detector: Make) -> None:
    health = await a_detector(check_host="ws01", index=None).self_check()
    assert health.ok is False
    assert "of ws01 nothing is known: set INDEX" in health.detail


async def test_nothing_that_a_detector_asks_for_can_change_anything(a_detector: Make, fake: Fake) -> None:
    detector = a_detector(check_host="ws01")
    await look(detector, {**ALERT, "telemetry": {"query": "host.name: ws01"}})
    await detector.self_check()
    routes = {(one.method, one.path.rsplit("/", 1)[-1]) for one in fake.seen()}
    assert routes <= {("POST", "_search"), ("POST", "_has_privileges"), ("GET", "_find")}


_NEWEST = {"alert": ENDED + timedelta(seconds=51), "event": STARTED}


async def test_what_a_query_of_detection_logic_hits_is_a_match(a_detector: Make) -> None:
    rule = {"rule": {"query": "host.name: ${agent_host}"}, "telemetry": {"query": "host.name: ws01"}}
    result = await look(a_detector(), rule)
    assert {one.kind for one in result.parsed_results.evidence} == {EvidenceKind.MATCH, EvidenceKind.EVENT}


async def test_a_sigma_rule_is_asked_as_eql(a_detector: Make, fake: Fake) -> None:
    rule = {
        "title": "Dump of a process",
        "author": "An Author",
        "logsource": {"product": "windows", "category": "process_creation"},
        "detection": {"selection": {"CommandLine|contains": "minidump"}, "condition": "selection"},
    }
    fake.tell(held(indices={EVENTS: [{**EVENT, "event.type": "start"}]}))
    result = await look(a_detector(), {"sigma": rule})
    assert result.outcome is Outcome.MATCHED
    (match,) = result.parsed_results.evidence
    assert (match.kind, match.title) == (EvidenceKind.MATCH, "Dump of a process (rule by An Author)")
    assert [one.status for one in fake.seen("/_eql/search")] == [200]
