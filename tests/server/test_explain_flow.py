"""Stored rows become the explanation of a verdict, and a check is found by what people call it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from checking_core.contracts import (
    Answer,
    DetectionTask,
    Evidence,
    EvidenceKind,
    MatchTier,
    Met,
    NearMiss,
    Outcome,
    ParsedResults,
    Reason,
)
from checking_core.errors import NotFoundError
from checking_core.report import Explanation, to_text
from checking_core.storage.tables import detection_executions
from checking_server.flow.explain import explain
from checking_server.flow.retry import retry

from .conftest import SOMEBODY, Stations, hint, taken
from .test_attribution import FIRM, WEAK, claims, hit, tasks_of
from .test_gather import answer

Link = Callable[..., bytes]
NOT_YET = {"rule": Answer.UNKNOWN, "outcome": Outcome.INCONCLUSIVE, "reason": Reason.DEADLINE_NOT_REACHED}
MISSED = {"rule": Answer.NOT_ASKED, "alert": Answer.NO, "outcome": Outcome.NO_ALERT, "reason": Reason.ALERT_OTHER_HOST}


async def the_task(stations: Stations) -> DetectionTask:
    worker = await stations.serve("siem")
    await stations.dispatch()
    (task,) = await taken(worker)
    await worker.stop()
    return task


@pytest.fixture
async def missed(stations: Stations, link: Link) -> DetectionTask:
    """A miss, proven by its second look; the alert of another host came near."""
    await stations.accepts(link(detections=[hint(alert={"rule": "LSASS dump"}, expect="alerted")]))
    task = await the_task(stations)
    await stations.gathers(answer(task, **NOT_YET, final=False))
    stations.clock.move(1300)
    task = await the_task(stations)
    near = NearMiss(kind=EvidenceKind.ALERT, id="7", reason=Reason.ALERT_OTHER_HOST, title="LSASS dump", host="ws02")
    parsed = ParsedResults(near_misses=(near,), near_miss_counts={"alert_other_host": 3})
    about = {"query_sent": "rule='LSASS dump'", "searched_from": task.created_at, "searched_to": task.created_at}
    told = {"parsed_results": parsed, "result_metadata": {"warnings": ["index was slow", 7]}, **about}
    await stations.gathers(answer(task, **MISSED, **told, started_at=stations.clock.now))
    return task


async def only(stations: Stations, key: object, step: int | None = None) -> Explanation:
    (found,) = await explain(stations.store, str(key), step)
    return found


async def test_a_miss_tells_what_was_asked_what_came_and_what_was_rejected(
    stations: Stations, missed: DetectionTask
) -> None:
    found = await only(stations, missed.detection_execution_id)
    assert (found.check.outcome, found.check.met, found.check.censored) == (Outcome.NO_ALERT, Met.NO, True)
    assert found.config["alert"] == {"rule": "LSASS dump"}
    assert (found.query_sent, found.pid, found.source) == ("rule='LSASS dump'", 42, "mock")
    assert [(look.look, look.outcome, look.final) for look in found.looks] == [
        (1, Outcome.INCONCLUSIVE, False),
        (2, Outcome.NO_ALERT, True),
    ]
    assert [(near.id, near.host) for near in found.check.nearest] == [("7", "ws02")]
    assert found.warnings == ("index was slow",)
    text = to_text(found)
    for words in ("3 of another host", "ws02", "checking retry", "LSASS dump", "Near misses (3)", "index was slow"):
        assert words in text, words


async def test_a_hit_tells_the_fields_that_tie_its_evidence(stations: Stations, link: Link) -> None:
    (task,) = await tasks_of(stations, link())
    proof = Evidence(kind=EvidenceKind.ALERT, id="7", tier=MatchTier.PROCESS, matched=("host", "pid"))
    await stations.gathers(hit(task, parsed_results=ParsedResults(evidence=(proof,))))
    found = await only(stations, task.detection_execution_id)
    (shown,) = found.check.evidence
    assert (shown.tier, shown.matched) == (MatchTier.PROCESS, ("host", "pid"))


async def test_an_ambiguous_verdict_names_who_else_claims_its_records(stations: Stations, link: Link) -> None:
    weak, firm = await tasks_of(stations, link(1, command="whoami"), link(2, command="ipconfig"))
    await stations.gathers(hit(weak, *claims(WEAK, "a")), hit(firm, *claims(FIRM, "a", "b")))
    found = await only(stations, weak.detection_execution_id)
    (rival,) = found.rivals
    assert (rival.record_id, rival.tier, rival.own_tier, rival.command) == ("a", FIRM, WEAK, "ipconfig")
    assert rival.check_id == firm.detection_execution_id
    assert (await only(stations, firm.detection_execution_id)).rivals == ()


async def test_a_verdict_that_was_replaced_is_history(stations: Stations, missed: DetectionTask) -> None:
    assert missed.deadline is not None
    stations.clock.move(60)
    await retry(stations.store, [missed.detection_execution_id], SOMEBODY, on_due=stations._wake)
    waiting = await only(stations, missed.detection_execution_id)
    assert waiting.check.is_open
    assert [given.outcome for given in waiting.earlier] == [Outcome.NO_ALERT]
    alerted = {"rule": Answer.NOT_ASKED, "alert": Answer.YES, "outcome": Outcome.ALERTED}
    late = missed.deadline + timedelta(seconds=5)
    await stations.gathers(answer(await the_task(stations), **alerted, alert_at=late))
    found = await only(stations, missed.detection_execution_id)
    assert (found.check.outcome, found.check.late) == (Outcome.ALERTED, True)
    assert [(given.outcome, given.look) for given in found.earlier] == [(Outcome.NO_ALERT, 2)]


@pytest.mark.parametrize("fields", [{}, {"link_state": "DISCARD"}, {"detections": [hint("SIEM 1")]}])
async def test_a_check_that_nobody_has_answered_is_explained_too(
    stations: Stations, link: Link, fields: dict[str, Any]
) -> None:
    await stations.accepts(link(**fields))
    (check,) = await stations.checks()
    assert "What would change it" in to_text(await only(stations, check["id"]))


@pytest.mark.parametrize("parsed", [None, 7, {"near_misses": [1, {}], "evidence": {}}])
async def test_what_a_worker_of_the_original_system_writes_spoils_no_explanation(
    stations: Stations, link: Link, parsed: Any
) -> None:
    (task,) = await tasks_of(stations, link())
    await stations.gathers(hit(task, parsed_results=parsed, result_metadata={"warnings": "none"}))
    assert to_text(await only(stations, task.detection_execution_id))


# --- which check -------------------------------------------------------------------------------------------------


async def test_a_check_is_found_by_its_id_its_beginning_and_its_step(stations: Stations, missed: DetectionTask) -> None:
    check_id = str(missed.detection_execution_id)
    keys: list[tuple[str, int | None]] = [
        (check_id, None),
        (check_id.upper(), None),
        (check_id.replace("-", ""), None),
        (check_id[:8], None),
        (f" {check_id[:12]} ", None),
        ("latest", 1),
        ("op", 1),
    ]
    for key, step in keys:
        assert str((await only(stations, key, step)).check.id) == check_id, key


async def test_all_checks_of_a_step_are_explained(stations: Stations, link: Link) -> None:
    await stations.accepts(link(1), link(2, collect="2026-01-15T09:00:01Z", detections=[hint("siem"), hint("edr")]))
    found = await explain(stations.store, "latest", 2)
    assert [told.check.backend for told in found] == ["edr", "siem"]
    assert {told.execution.step for told in found} == {2}


@pytest.mark.parametrize(
    ("key", "step", "says"),
    [
        ("ffffffff", None, "no check has an id that begins with 'ffffffff'"),
        ("fff", None, "OPERATION STEP"),
        ("op", None, "OPERATION STEP"),
        ("\x1b[31m", None, "␛"),
        ("op", 0, "no step 0: there are 2"),
        ("op", 3, "no step 3"),
        ("op", 2, "step 2 has no check"),
        ("nope", 1, "no operation has the id or name"),
    ],
)
async def test_what_is_not_there_says_what_to_write(
    stations: Stations, link: Link, key: str, step: int | None, says: str
) -> None:
    await stations.accepts(link(1), link(2, collect="2026-01-15T09:00:01Z", detections=None))
    with pytest.raises(NotFoundError) as raised:
        await explain(stations.store, key, step)
    assert says in str(raised.value)


async def test_a_beginning_of_several_ids_names_them(stations: Stations, link: Link) -> None:
    await stations.accepts(*(link(number) for number in range(1, 4)))
    async with stations.store.begin() as uow:
        checks = await uow.checks.lock([check["id"] for check in await stations.checks()])
        copies = [_copy(row, f"abcd{number:028x}") for number, row in enumerate(checks.values())]
        await uow.checks.plan_batch(copies)
    with pytest.raises(NotFoundError) as raised:
        await explain(stations.store, "abcd")
    for copy in copies:
        assert str(copy["id"]) in str(raised.value)


def _copy(row: Any, key: str) -> dict[str, Any]:
    return {**{column.name: row[column.name] for column in detection_executions.c}, "id": UUID(key)}
