"""Read this first: one message's whole way, station by station, with nothing but what is shipped.

A red team dumped credentials on ws01. The SIEM's plugin is a fake that finds a rule hit. What you see here once is
what the engine does ten thousand times: accept, dispatch, execute, gather, report.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from checking_core.contracts import (
    Answer,
    Ask,
    CheckStatus,
    DetectionTask,
    Evidence,
    EvidenceKind,
    Met,
    Outcome,
    Reason,
)
from checking_core.plugin import BaseWorker, Finding, NoSettings
from checking_core.settings import BackendSettings, PlanSettings, WorkerSettings
from checking_core.storage import Store, migrate
from checking_core.transport import Message, Topology
from checking_core.transport.memory import MemoryTransport
from checking_core.worker.loop import Worker
from checking_server.bootstrap import plans_of
from checking_server.engine import Engine
from checking_server.flow.accept import Change
from checking_server.flow.report import report
from checking_server.roles import Role
from checking_server.settings import FlowSettings

EXPECTATIONS = """
version: 1
expectations:
- id: lsass-comsvcs
  when: {technique: T1003}
  backend: siem
  expect: matched
  rule: {query: 'index=wineventlog CommandLine="*comsvcs*MiniDump*"'}
"""

ENDED = datetime(2026, 1, 15, 9, 0, 2, tzinfo=UTC)

WHAT_THE_RED_TEAM_DID = {
    "message_type": "link_result",
    "timestamp": "2026-01-15T09:00:03Z",
    "operation": {"operation_id": "464a80be-3c6e-4a5e-9a7d-5f9d2b1c7e01", "name": "autumn exercise"},
    "execution": {
        "link_id": "571fb0b5-1f0e-4d7a-8a11-0b6f6f0c2d02",
        "agent_host": "ws01",
        "agent_paw": "tgtbbb",
        "command": "rundll32.exe comsvcs.dll, MiniDump 712 C:\\l.dmp full",
        "pid": 4711,
        "status": 0,
        "link_state": "SUCCESS",
        "collect": "2026-01-15T09:00:00Z",
        "finish": "2026-01-15T09:00:02Z",
        "ability": {"name": "Dump LSASS", "technique_id": "T1003.001", "tactic": "credential-access"},
    },
}


class Siem(BaseWorker):
    """A plugin is this much: what it can answer, and the asking."""

    platform = "siem"
    answers = frozenset({Ask.RULE})

    async def detect(self, task: DetectionTask) -> Finding:
        record = Evidence(kind=EvidenceKind.MATCH, id="event-1", host=task.execution_context.agent_host)
        return Finding(rule=Answer.YES, evidence=(record,), query_sent=task.detection_config["rule"]["query"])


async def test_one_message_becomes_one_explained_verdict(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'checking.db'}"
    await migrate.upgrade(url)
    file = tmp_path / "expectations.yml"
    file.write_text(EXPECTATIONS)
    backends = {"siem": BackendSettings(plugin="siem")}
    topology = Topology()
    transport = MemoryTransport(topology)
    await transport.start()
    async with Store(url, clock=lambda: ENDED + timedelta(minutes=2)) as store:
        engine = Engine(
            store=store,
            transports=dict.fromkeys(Role, transport),
            topology=topology,
            plans=plans_of(PlanSettings(expectations=(str(file),)), backends, max_retries=1),
            settings=FlowSettings(),
            max_in_flight=lambda _: 200,
            worker=Worker(transport, topology, {"siem": Siem("siem", NoSettings())}, WorkerSettings(jitter_max=0.1)),
        )

        # accept: the message is stored as operation, execution and one planned check, in one transaction
        message = Message(body=msgspec.json.encode(WHAT_THE_RED_TEAM_DID), message_id="m1")
        (accepted,) = await engine.accept([message])

        # dispatch, execute, gather: the parts run until the check has its verdict
        async with engine.running():
            await engine.settled([accepted.operation_id], wait=True)

        # report: the verdict, with the evidence and the query that prove it
        (line,) = (await report(store, "autumn exercise")).lines
        execution, check = line.execution, line.check
        assert check is not None
        assert (execution.agent_host, execution.technique_id) == ("ws01", "T1003.001")
        assert (check.backend, check.expectation_id, check.status) == ("siem", "lsass-comsvcs", CheckStatus.COMPLETED)
        assert (check.outcome, check.reason, check.met) == (Outcome.MATCHED, Reason.MATCHED_RULE, Met.YES)
        assert [record.id for record in check.evidence] == ["event-1"]

        # the same message again, as every queue delivers one some day: nothing changes
        (repeated,) = await engine.accept([message])
        assert repeated.change is Change.REPEATED
        assert len((await report(store, "autumn exercise")).lines) == 1
    await transport.close()
    assert transport.dead_letters == []
