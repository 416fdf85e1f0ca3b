"""One check without server and database: strict about what it is told, and judged as in the engine."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

import checking_core
from checking_core import Alert, Ask, BackendUnreachableError, Checked, SearchAnswer, SearchDetector, SearchRequest
from checking_core.contracts import Answer, Clock, Expect, Met, Outcome, Reason
from checking_core.errors import ConfigurationError, NotFoundError
from checking_core.plugin import NoSettings
from checking_core.settings import WorkerSettings
from checking_core.testing import ENDED, STARTED, a_task
from checking_core.worker.run_task import run_task

RULE = {"alert": {"rule": "LSASS dump"}}
LATER = ENDED + timedelta(days=1)


class Store(SearchDetector):
    """An alert store with these records; what it is asked is kept."""

    platform = "store"
    answers = frozenset({Ask.ALERT})

    def __init__(self, *records: dict[str, Any], now: datetime = LATER) -> None:
        super().__init__("store", NoSettings(), clock=lambda: now)
        self.records = records
        self.asked: list[SearchRequest] = []
        self.closed = False

    async def search(self, request: SearchRequest) -> SearchAnswer:
        self.asked.append(request)
        return SearchAnswer(records=self.records)

    def normalise(self, record: Mapping[str, Any]) -> Alert:
        return Alert(**{"id": "1", "rule": "LSASS dump", "hosts": ("ws01",), "event_at": STARTED, **record})

    async def close(self) -> None:
        self.closed = True


class Away(Store):
    async def search(self, request: SearchRequest) -> SearchAnswer:
        raise BackendUnreachableError("connection refused")


async def asked(store: Store, config: Mapping[str, Any] = RULE, **known: Any) -> Checked:
    return await checking_core.check(store, config, **({"host": "ws01", "at": STARTED} | known))


# --- the verdict -----------------------------------------------------------------------------------------------


async def test_a_hit_is_told_with_its_evidence():
    found = await asked(Store({"pid": 7, "severity": "high"}), pid=7)
    assert (found.result.outcome, found.expect, found.met) == (Outcome.ALERTED, Expect.ALERTED, Met.YES)
    [proof] = found.result.parsed_results.evidence
    assert (proof.tier, proof.matched) == ("process", ("host", "pid"))


async def test_what_came_near_is_told_with_its_reason():
    found = await asked(
        Store({"id": "1", "hosts": ("ws02",)}, {"id": "2", "event_at": STARTED - timedelta(seconds=20)})
    )
    assert (found.result.outcome, found.met) == (Outcome.NO_ALERT, Met.NO)
    assert found.result.parsed_results.near_miss_counts == {"alert_other_host": 1, "alert_outside_window": 1}


async def test_before_the_deadline_a_no_proves_nothing():
    found = await asked(Store(now=ENDED + timedelta(seconds=1)))
    assert (found.result.alert, found.result.final, found.met) == (Answer.UNKNOWN, False, Met.UNKNOWN)
    assert found.result.reason is Reason.DEADLINE_NOT_REACHED


async def test_an_outage_is_a_result_and_no_miss():
    found = await asked(Away(), {**RULE, "delay": 0})
    assert (found.result.outcome, found.result.reason) == (Outcome.INCONCLUSIVE, Reason.BACKEND_UNREACHABLE)
    assert found.met is Met.UNKNOWN


async def test_without_a_question_all_alerts_of_the_host_are_listed():
    found = await asked(Store({"rule": "Something else"}), {})
    assert (found.expect, found.result.outcome) == (Expect.OBSERVE, Outcome.ALERTED)


async def test_a_question_that_it_cannot_answer_is_not_applicable():
    found = await asked(Store(), {"telemetry": {"query": "x"}})
    assert (found.result.outcome, found.result.reason) == (Outcome.NOT_APPLICABLE, Reason.CAPABILITY_MISSING)


async def test_it_searches_and_judges_what_the_engine_would():
    """The same execution as a task of the engine: the same request, the same verdict."""
    record = {"pid": 4242, "created_at": ENDED + timedelta(seconds=9)}
    ours, engines = Store(record), Store(record)
    context = a_task().execution_context
    found = await asked(ours, until=ENDED, pid=context.pid, command=context.command, technique=context.technique_id)
    task = a_task(
        detection_config=RULE,
        clock=Clock.AGENT,
        backend="store",
        timing=found.task.timing,
        deadline=found.task.deadline,
    )
    result = await run_task(engines, task, WorkerSettings(jitter_min=0, jitter_max=0))
    assert ours.asked == engines.asked
    assert found.result.axes == result.axes
    assert found.result.parsed_results == result.parsed_results


async def test_the_same_question_has_the_same_ids_and_another_one_others():
    first, same = await asked(Store()), await asked(Store())
    other = await asked(Store(), {"alert": {"rule": "Another"}})
    assert first.task.task_id == same.task.task_id != other.task.task_id


async def test_text_is_read_as_a_time_and_the_original_form_as_a_rule():
    found = await asked(Store(), {"query": "index=x"}, at="2026-11-20T20:28:38+01:00")
    assert found.task.execution_context.started_at == STARTED
    assert found.task.detection_config == {"rule": {"query": "index=x"}}


# --- what is refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"alrt": {}}, "detection_config: alrt: is no known key; did you mean alert?"),
        ({"alert": {"rul": "x"}}, "detection_config: alert.rul: is no known key; did you mean rule?"),
        ({"telemetry": {}}, "detection_config: telemetry.query: is missing; add it"),
        ({"query": "a", "rule": {"query": "b"}}, "says the same as rule; keep one of them"),
        ({"settle": "soon"}, "settle: is no span of time; write seconds"),
        ({"backend": "x"}, "backend: is no known key"),
    ],
)
async def test_a_config_that_is_wrong_is_one_line_with_its_remedy(config: dict[str, Any], words: str):
    store = Store()
    with pytest.raises(ConfigurationError) as refused:
        await asked(store, config)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    assert store.asked == []


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ({"at": "yesterday"}, "at: is no time; write it as"),
        ({"at": "2026-11-20T19:28:38"}, "at: has no time zone; add Z"),
        ({"at": STARTED.replace(tzinfo=None)}, "at: has no time zone; add Z"),
        ({"at": "0001-01-01T00:00:00+14:00"}, "at: is no time between 1970 and 2199"),
        ({"until": "2026-11-20T18:00:00Z"}, "until: lies before the start"),
        ({"until": "soon"}, "until: is no time"),
        ({"at": LATER + timedelta(seconds=1)}, "at: lies in the future"),
        ({"until": LATER + timedelta(seconds=1)}, "until: lies in the future"),
        ({"host": " "}, "host: is empty"),
    ],
)
async def test_a_time_or_host_that_is_wrong_is_one_line_that_names_it(times: dict[str, Any], words: str):
    store = Store()
    with pytest.raises(ConfigurationError, match=words):
        await asked(store, **times)
    assert store.asked == []


# --- who is asked ----------------------------------------------------------------------------------------------


async def test_a_platform_or_a_configured_backend_is_asked_by_name(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CHECKING_BACKENDS", '{"siem": {"plugin": "mock", "timing": {"deadline": "1h"}}}')
    config = {"alert": {}, "mock": {"answer": "alerted"}}
    for name, deadline in (("siem", 3600), ("mock", 1200)):
        found = await checking_core.check(name, config, host="ws01", at=STARTED)
        assert (found.result.result_source, found.result.outcome) == (name, Outcome.ALERTED)
        assert found.task.deadline == STARTED + timedelta(seconds=deadline)


async def test_a_name_that_nothing_has_is_told_with_the_nearest():
    with pytest.raises(NotFoundError, match="'mokc'; did you mean mock"):
        await checking_core.check("mokc", {}, host="ws01", at=STARTED)


async def test_a_key_of_the_plugin_is_known_and_its_problem_a_verdict():
    found = await checking_core.check("mock", {"mock": {"answer": "perhaps"}}, host="ws01", at=STARTED)
    assert (found.result.outcome, found.result.reason) == (Outcome.INCONCLUSIVE, Reason.QUERY_INVALID)


async def test_a_detector_that_was_handed_over_stays_open():
    store = Store()
    await asked(store)
    await asked(store)
    assert not store.closed
