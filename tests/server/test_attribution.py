"""A record that several executions claim: its verdicts are flagged, whatever the order in which they came."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from checking_core.contracts import (
    Answer,
    DetectionResult,
    DetectionTask,
    EvidenceClaim,
    EvidenceKind,
    MatchTier,
    Outcome,
    Reason,
)
from checking_core.matching.attribution import Claim, ambiguous_checks
from checking_core.storage import Store, migrate
from checking_server.flow.attribute import attribute
from checking_server.flow.report import report
from checking_server.flow.rows import next_look_row

from .conftest import Clock, Stations, hint, taken

Link = Callable[..., bytes]
FIRM, WEAK = MatchTier.PROCESS, MatchTier.NAMED_RULE


def claims(tier: MatchTier, *records: str, shared: bool = False) -> tuple[EvidenceClaim, ...]:
    return tuple(EvidenceClaim(record_id=record, tier=tier, shared=shared) for record in records)


def hit(task: DetectionTask, *rests_on: EvidenceClaim, **fields: Any) -> DetectionResult:
    told = {"alert": Answer.YES, "outcome": Outcome.ALERTED, "reason": Reason.MATCHED_ALERT, **fields}
    return DetectionResult(
        id=task.task_id,
        detection_execution_id=task.detection_execution_id,
        look=task.look,
        result_timestamp=task.created_at,
        result_source="siem",
        claims=rests_on,
        **told,
    )


def seen_once(task: DetectionTask, *rests_on: EvidenceClaim) -> DetectionResult:
    """A rule matched; an alert may still come."""
    told = {"rule": Answer.YES, "alert": Answer.UNKNOWN, "outcome": Outcome.MATCHED, "reason": Reason.MATCHED_RULE}
    return hit(task, *rests_on, **told, final=False)


async def tasks_of(stations: Stations, *links: bytes, backend: str = "siem") -> list[DetectionTask]:
    """A task for each execution, in their order."""
    worker = await stations.serve(backend)
    await stations.accepts(*links)
    await stations.dispatch()
    found = {task.execution_context.link_id: task for task in await taken(worker)}
    await worker.stop()
    return [found[key] for key in sorted(found, key=str)]


async def flagged(stations: Stations, *tasks: DetectionTask) -> list[bool]:
    """Of each task's check whether its current result is ambiguous."""
    async with stations.store.read() as uow:
        rows = await uow.results.current([task.detection_execution_id for task in tasks])
    found = {row["detection_execution_id"]: row["ambiguous"] for row in rows}
    return [found[task.detection_execution_id] for task in tasks]


async def next_look(stations: Stations) -> DetectionTask:
    """The task of the one check that waits, once it is due."""
    worker = await stations.serve("siem")
    stations.clock.move(60)
    await stations.dispatch()
    (task,) = await taken(worker)
    await worker.stop()
    return task


@pytest.fixture
async def pair(stations: Stations, link: Link) -> list[DetectionTask]:
    """Two executions of different procedures, with a worker."""
    return await tasks_of(stations, link(1, command="whoami"), link(2, command="ipconfig"))


async def test_a_record_that_nobody_else_claims_leaves_no_doubt(
    stations: Stations, pair: Sequence[DetectionTask]
) -> None:
    one, other = pair
    await stations.gathers(hit(one, *claims(FIRM, "a")), hit(other, *claims(FIRM, "b")))
    assert await flagged(stations, one, other) == [False, False]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("firm_first", [True, False])
async def test_a_record_belongs_to_the_firmest_claim_whichever_came_first(
    stations: Stations, pair: Sequence[DetectionTask], firm_first: bool, together: bool
) -> None:
    firm, weak = pair
    answers = [hit(firm, *claims(FIRM, "a")), hit(weak, *claims(WEAK, "a"))][:: 1 if firm_first else -1]
    if together:
        await stations.gathers(*answers)
    else:
        for answer in answers:
            await stations.gathers(answer)
    assert await flagged(stations, firm, weak) == [False, True]


async def test_equal_claims_of_different_procedures_are_both_in_doubt(
    stations: Stations, pair: Sequence[DetectionTask]
) -> None:
    one, other = pair
    await stations.gathers(hit(one, *claims(WEAK, "a")))
    assert await flagged(stations, one) == [False]
    await stations.gathers(hit(other, *claims(WEAK, "a")))
    assert await flagged(stations, one, other) == [True, True]
    lines = (await report(stations.store, "op")).lines
    assert [line.check and line.check.ambiguous for line in lines] == [True, True]


async def test_equal_claims_of_one_procedure_share_the_record(stations: Stations, link: Link) -> None:
    one, again = await tasks_of(stations, link(1), link(2))
    await stations.gathers(hit(one, *claims(WEAK, "a")), hit(again, *claims(WEAK, "a")))
    assert await flagged(stations, one, again) == [False, False]


async def test_a_record_that_sums_up_several_things_is_everybodys(
    stations: Stations, pair: Sequence[DetectionTask]
) -> None:
    firm, weak = pair
    await stations.gathers(hit(firm, *claims(FIRM, "a")), hit(weak, *claims(WEAK, "a", shared=True)))
    assert await flagged(stations, firm, weak) == [False, False]


async def test_a_record_of_its_own_beside_a_contested_one_leaves_no_doubt(
    stations: Stations, pair: Sequence[DetectionTask]
) -> None:
    one, other = pair
    await stations.gathers(hit(one, *claims(WEAK, "a", "b")))
    await stations.gathers(hit(other, *claims(FIRM, "a")))
    assert await flagged(stations, one, other) == [False, False]


async def test_an_alert_of_another_execution_is_not_made_ones_own_by_a_trace_that_is(
    stations: Stations, pair: Sequence[DetectionTask]
) -> None:
    one, other = pair
    alert = EvidenceClaim(record_id="a", tier=WEAK, kind=EvidenceKind.ALERT)
    trace = EvidenceClaim(record_id="t", tier=FIRM, kind=EvidenceKind.EVENT)
    await stations.gathers(hit(other, *claims(FIRM, "a")), hit(one, alert, trace))
    assert await flagged(stations, one, other) == [True, False]


async def test_a_trace_is_what_a_logged_verdict_rests_on(stations: Stations, pair: Sequence[DetectionTask]) -> None:
    one, other = pair
    trace = EvidenceClaim(record_id="t", tier=WEAK, kind=EvidenceKind.EVENT)
    logged = {"alert": Answer.NOT_ASKED, "telemetry": Answer.YES, "outcome": Outcome.LOGGED}
    await stations.gathers(hit(one, trace, **logged), hit(other, *claims(FIRM, "t")))
    assert await flagged(stations, one, other) == [True, False]


async def test_a_record_of_another_backend_is_another_record(stations: Stations, link: Link) -> None:
    ours = await tasks_of(stations, link(1, command="whoami"))
    theirs = await tasks_of(stations, link(2, command="ipconfig", detections=[hint("edr")]), backend="edr")
    await stations.gathers(hit(ours[0], *claims(WEAK, "1")), hit(theirs[0], *claims(FIRM, "1")))
    assert await flagged(stations, *ours, *theirs) == [False, False]


async def test_a_doubt_ends_when_the_firmer_claim_goes(stations: Stations, pair: Sequence[DetectionTask]) -> None:
    """Its check was answered anew, and rests on something else now."""
    firm, weak = pair
    await stations.gathers(hit(weak, *claims(WEAK, "a")), seen_once(firm, *claims(FIRM, "a")))
    assert await flagged(stations, weak, firm) == [True, False]
    await stations.gathers(hit(await next_look(stations), *claims(FIRM, "b")))
    assert await flagged(stations, weak, firm) == [False, False]


async def test_a_doubt_ends_when_the_check_of_the_firmer_claim_is_forgotten(
    stations: Stations, pair: Sequence[DetectionTask]
) -> None:
    firm, weak = pair
    await stations.gathers(hit(firm, *claims(FIRM, "a")), hit(weak, *claims(WEAK, "a")))
    async with stations.store.begin() as uow:
        await attribute(uow, {}, asked_before=[firm.detection_execution_id])
    assert await flagged(stations, weak) == [False]


async def test_an_answer_that_rests_on_nothing_takes_the_claims_of_the_one_it_replaces(
    stations: Stations, pair: Sequence[DetectionTask]
) -> None:
    firm, weak = pair
    await stations.gathers(hit(weak, *claims(WEAK, "a")), seen_once(firm, *claims(FIRM, "a")))
    await stations.gathers(hit(await next_look(stations)))
    assert await flagged(stations, weak, firm) == [False, False]


async def test_a_look_that_gives_no_verdict_leaves_the_claims_as_they_are(
    stations: Stations, pair: Sequence[DetectionTask]
) -> None:
    firm, weak = pair
    await stations.gathers(hit(weak, *claims(WEAK, "a")), seen_once(firm, *claims(FIRM, "a")))
    away = {"alert": Answer.UNKNOWN, "outcome": Outcome.INCONCLUSIVE, "reason": Reason.BACKEND_UNREACHABLE}
    await stations.gathers(hit(await next_look(stations), *claims(FIRM, "b"), **away, final=False))
    assert await flagged(stations, weak, firm) == [True, False]


async def test_two_gatherers_at_a_time_find_the_same_doubts(stations: Stations, link: Link) -> None:
    tasks = await tasks_of(stations, *(link(number, command=f"command {number}") for number in (1, 2, 3)))
    async with asyncio.timeout(60):
        await asyncio.gather(*(stations.gathers(hit(task, *claims(WEAK, "a", "b"))) for task in tasks))
    assert await flagged(stations, *tasks) == [True, True, True]


async def test_what_rests_on_nothing_costs_nothing(stations: Stations, pair: Sequence[DetectionTask]) -> None:
    """Of a check that was asked before it has to be asked whether it rested on something; nothing is ever locked."""
    one, other = pair
    assert await statements(stations, seen_once(one), hit(other)) == 0
    assert await statements(stations, hit(await next_look(stations))) == 1


async def statements(stations: Stations, *answers: DetectionResult) -> int:
    """How many statements about claims it takes to gather answers."""
    told: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        told.append(statement)

    engine = stations.store._writer.sync_engine
    sa.event.listen(engine, "before_cursor_execute", note)
    await stations.gathers(*answers)
    sa.event.remove(engine, "before_cursor_execute", note)
    return sum("evidence_claims" in statement or "advisory" in statement for statement in told)


# --- whatever the order ------------------------------------------------------------------------------------------

COMMANDS = ("whoami", "whoami", "ipconfig")
claimed = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from([FIRM, WEAK]), st.booleans()),
    max_size=3,
    unique_by=lambda c: c[0],
)
story = st.lists(st.tuples(st.integers(0, len(COMMANDS) - 1), claimed), min_size=1, max_size=8)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("attribution") / "template.db"
    asyncio.run(migrate.upgrade(f"sqlite+aiosqlite:///{path}"))
    return path


async def _told(database: Path, story: Any, batches: int, link: Link) -> None:
    """Live through a story of answers, so many at a time, and compare with what the last answers alone decide."""
    clock = Clock()
    async with Store(f"sqlite+aiosqlite:///{database}", clock=clock) as store:
        stations = Stations(store, clock)
        await stations.transport.start()
        tasks = await tasks_of(stations, *(link(number, command=command) for number, command in enumerate(COMMANDS)))
        last: dict[int, Any] = {}
        while story:
            part, story = story[:batches], story[batches:]
            part = [one for place, one in enumerate(part) if one[0] not in {other for other, _ in part[:place]}]
            answers = []
            for number, records in part:
                task = tasks[number]
                told = [claims(tier, record, shared=shared)[0] for record, tier, shared in records]
                answers.append(hit(task, *told))
                last[number] = told
            await stations.gathers(*answers)
            clock.move(1)
            await _ask_again(stations, tasks, [number for number, _ in part])
        await stations.transport.close()
        executions = {row["id"]: row["procedure_fingerprint"] for row in await stations.executions()}
        of_check = {row["id"]: row["execution_result_id"] for row in await stations.checks()}
        wanted = ambiguous_checks(
            Claim(
                backend="siem",
                record_id=claim.record_id,
                check_id=tasks[number].detection_execution_id,
                execution_id=of_check[tasks[number].detection_execution_id],
                procedure=executions[of_check[tasks[number].detection_execution_id]],
                tier=claim.tier,
                shared=claim.shared,
            )
            for number, told in last.items()
            for claim in told
        )
        found = await flagged(stations, *(tasks[number] for number in last))
        checks: list[UUID] = [tasks[number].detection_execution_id for number in last]
        assert {check for check, doubt in zip(checks, found, strict=True) if doubt} == wanted


async def _ask_again(stations: Stations, tasks: list[DetectionTask], numbers: Sequence[int]) -> None:
    """Let checks be asked once more, as a person may, without what stands against a weaker answer."""
    worker = await stations.serve("siem")
    async with stations.store.begin() as uow:
        held = await uow.checks.lock([tasks[number].detection_execution_id for number in numbers])
        await uow.checks.settle_batch([next_look_row(check, uow.now) for check in held.values()])
    while await stations.dispatch():
        pass
    found = {task.detection_execution_id: task for task in await taken(worker)}
    await worker.stop()
    for number in numbers:
        tasks[number] = found[tasks[number].detection_execution_id]


def test_what_is_in_doubt_depends_on_the_last_answers_and_not_on_their_order(
    template: Path, link: Link, tmp_path: Path
) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))

    @settings(max_examples=25, suppress_health_check=list(HealthCheck))
    @given(story=story, batches=st.integers(1, 3))
    def holds(story: Any, batches: int) -> None:
        database = tmp_path / "story.db"
        for stale in tmp_path.glob("story.db*"):
            stale.unlink()
        shutil.copy(template, database)
        asyncio.run(_told(database, story, batches, link))

    try:
        holds()
    finally:
        structlog.reset_defaults()
