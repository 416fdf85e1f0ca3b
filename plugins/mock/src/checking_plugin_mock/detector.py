"""The detector: a few attributes that tell core what it is, and ``detect``."""

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from checking_core import Answer, Ask, BaseWorker, DetectionConfig, DetectionTask, Evidence, EvidenceKind, Finding
from checking_core.contracts import NearMiss, Prevention
from checking_core.errors import BackendAuthFailedError, BackendUnreachableError
from checking_plugin_mock.settings import MockSettings, Scene

YES, NO, BLOCKED, NOT_BLOCKED = Answer.YES, Answer.NO, Prevention.BLOCKED, Prevention.NOT_BLOCKED
FINDINGS = {
    "blocked": Finding(prevention=BLOCKED, alert=YES, rule=NO, telemetry=NO, alive=YES),
    "alerted": Finding(prevention=NOT_BLOCKED, alert=YES, rule=YES, telemetry=YES, alive=YES),
    "matched": Finding(prevention=NOT_BLOCKED, alert=NO, rule=YES, telemetry=YES, alive=YES),
    "logged": Finding(prevention=NOT_BLOCKED, alert=NO, rule=NO, telemetry=YES, alive=YES),
    "no_alert": Finding(prevention=NOT_BLOCKED, alert=NO, rule=NO, alive=YES),
    "none": Finding(prevention=NOT_BLOCKED, alert=NO, rule=NO, telemetry=NO, alive=YES),
    "silent": Finding(alert=NO, rule=NO, telemetry=NO, alive=NO),
}


class MockConfig(DetectionConfig):
    """The common keys, and ``mock``: a reply to this check that comes before the scenario's."""

    mock: Scene | None = None


class MockDetector(BaseWorker):
    """Replies what the scenario says."""

    platform = "mock"
    answers = frozenset(Ask)
    Settings, Config = MockSettings, MockConfig
    settings: MockSettings

    async def start(self) -> None:
        """Before the first attempt. A real detector opens its client here, and closes it in ``close``."""
        self._failed: Counter[UUID] = Counter()

    async def detect(self, task: DetectionTask) -> Finding:
        """One attempt: find the scene, go wrong as it says, or answer."""
        step, check = task.execution_context, task.detection_execution_id
        fitting = (scene for scene in self.settings.scenario if scene.fits(step))
        scene = MockConfig.model_validate(task.detection_config).mock or next(fitting, Scene())
        if self._failed[check] < scene.errors:
            self._failed[check] += 1
            raise BackendUnreachableError("connection refused, says the scenario")
        if scene.answer == "fatal":
            raise BackendAuthFailedError("wrong password, says the scenario")
        if scene.answer == "hang":
            await asyncio.Event().wait()
        seen_at = (step.finished_at or task.created_at) + timedelta(seconds=scene.after_seconds)
        too_early = task.look <= scene.after_looks or (scene.after_seconds > 0 and self.clock() < seen_at)
        return _answer(FINDINGS["none" if too_early else scene.answer], scene, task, seen_at)


def _answer(finding: Finding, scene: Scene, task: DetectionTask, seen_at: datetime) -> Finding:
    """With a record for each yes, whose id and times come from the task: the same task finds the same records."""
    step, check = task.execution_context, task.detection_execution_id
    title = f"{step.plaintext_command or step.command} on {step.agent_host}"
    kinds = {EvidenceKind.ALERT: finding.alert, EvidenceKind.MATCH: finding.rule, EvidenceKind.EVENT: finding.telemetry}
    evidence = tuple(
        Evidence(kind=kind, id=f"mock-{kind}-{check}", title=title, host=step.agent_host, event_at=step.started_at)
        for kind, answer in kinds.items()
        if answer is YES
    )
    return msgspec.structs.replace(
        finding,
        complete=not scene.partial,
        evidence=evidence,
        near_misses=_near_misses(scene, task),
        reason=next((near.reason for near in scene.near_misses), None),
        alert_at=seen_at if finding.alert is YES else None,
        raw_response={"records": [record.id for record in evidence], "padding": "x" * scene.padding},
        query_sent=f"mock: {scene.answer}",
    )


def _near_misses(scene: Scene, task: DetectionTask) -> tuple[NearMiss, ...]:
    step = task.execution_context
    return tuple(
        NearMiss(
            kind=EvidenceKind.ALERT,
            id=f"mock-near-{number}-{task.detection_execution_id}",
            reason=near.reason,
            title=near.title,
            host=near.host or step.agent_host,
            event_at=step.started_at and step.started_at + timedelta(seconds=near.after_seconds),
        )
        for number, near in enumerate(scene.near_misses, start=1)
    )
