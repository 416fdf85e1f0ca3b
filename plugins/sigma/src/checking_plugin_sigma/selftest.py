"""Proof that verdicts follow the telemetry: the same question about events that were changed on purpose.

For each rule that hits, one of its events becomes the whole telemetry of an execution. Asked through the detector, it
has to be matched; left out, changed, moved to another host or another day, it must not be.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import msgspec

from checking_core.contracts import DetectionTask, ExecutionContext, Outcome, Reason, TaskMetadata, task_id_of
from checking_core.settings import WorkerSettings
from checking_core.worker.run_task import run_task
from checking_plugin_sigma.detector import SigmaDetector
from checking_plugin_sigma.evaluate.scan import Hit, Scanner
from checking_plugin_sigma.events.instant import collected_of, utc_of
from checking_plugin_sigma.rules.model import Rule, RuleSet
from checking_plugin_sigma.settings import SigmaSettings

__all__ = ["Trial", "selftest"]

_SPACE = UUID("6e1f2b52-7d0c-4b0e-9a39-3f0b8f0d6c11")
_UNTOLD = datetime(2026, 1, 1, 12, tzinfo=UTC)
"""When an event happened that does not tell."""
_HOST = "selftest-host"


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One verdict: of which rule, after which change, and whether it is what it has to be."""

    rule: str
    change: str
    outcome: Outcome
    reason: Reason | None
    passed: bool


async def selftest(rules: RuleSet, files: Sequence[Path], zone: tzinfo | None) -> list[Trial]:
    """Try every rule that hits. Leaves nothing behind.

    Args:
        rules: those to try.
        files: telemetry that some of them hit.
        zone: of times that are written without one.
    """
    scanner = Scanner(rules.rules)
    first: dict[str, Hit] = {}
    for path in files:
        for hit in scanner.scan(path):
            first.setdefault(f"{hit.rule.id} {hit.rule.digest}", hit)
    trials: list[Trial] = []
    with tempfile.TemporaryDirectory(prefix="checking-sigma-") as folder:
        for number, hit in enumerate(first.values()):
            trials += [await _tried(*trial, Path(folder) / str(number)) for trial in _trials(hit, zone)]
    return trials


_Trial = tuple[Rule, str, datetime, list[dict[str, Any]]]


def _trials(hit: Hit, zone: tzinfo | None) -> Iterator[_Trial]:
    """The changes, with the telemetry that each leaves."""
    rule, event = hit.rule, hit.event
    moment = utc_of(event.fields) or collected_of(event.fields, zone) or _UNTOLD
    product, category, service = rule.logsource
    whole: dict[str, Any] = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in event.fields.items()
        if name not in _TIMES
    }
    whole |= {"Computer": _HOST, "UtcTime": _written(moment)}
    whole["logsource"] = {"product": product, "category": category, "service": service}
    bystander = {name: whole[name] for name in ("Computer", "UtcTime", "logsource")} | {"Channel": "selftest"}
    named = {name: "changed by the self-test" for name in rule.fields if name in whole}
    changed = whole | named if named else bystander
    yield rule, _UNCHANGED, moment, [bystander, whole]
    yield rule, "left out", moment, [bystander]
    yield rule, "with other values in every field that the rule names", moment, [bystander, changed]
    yield rule, "on another host", moment, [bystander, whole | {"Computer": "another-host"}]
    yield rule, "on another day", moment, [bystander, whole | {"UtcTime": _written(moment - timedelta(days=1))}]


_UNCHANGED = "unchanged"
_TIMES = ("UtcTime", "SystemTime", "@timestamp", "logsource")


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="milliseconds")


async def _tried(rule: Rule, change: str, moment: datetime, events: Sequence[dict[str, Any]], folder: Path) -> Trial:
    detector = _Single("sigma", _settings(events, folder), rule=rule)
    detector.clock = lambda: moment + timedelta(hours=1)
    at_once = WorkerSettings(jitter_min=0, jitter_max=0, max_retries=0, retry_delay=0)
    try:
        result = await run_task(detector, _task(rule, moment), at_once)
    finally:
        await detector.close()
    outcome = result.outcome or Outcome.INCONCLUSIVE
    passed = (outcome is Outcome.MATCHED) == (change == _UNCHANGED)
    return Trial(rule=rule.title, change=change, outcome=outcome, reason=result.reason, passed=passed)


def _settings(events: Sequence[dict[str, Any]], folder: Path) -> SigmaSettings:
    folder.mkdir(exist_ok=True)
    log = folder / "telemetry.jsonl"
    log.write_bytes(b"".join(msgspec.json.encode(event) + b"\n" for event in events))
    return SigmaSettings(events=(str(log),), cache=folder / "cache")


class _Single(SigmaDetector):
    """A detector with one rule that is compiled already."""

    def __init__(self, *args: Any, rule: Rule, **options: Any) -> None:
        super().__init__(*args, **options)
        self._rule = rule

    def _asked(self, query: str | None) -> tuple[RuleSet, str]:  # noqa: ARG002
        return RuleSet(rules=(self._rule,)), self._rule.title


def _task(rule: Rule, moment: datetime) -> DetectionTask:
    check = uuid5(_SPACE, f"{rule.id} {rule.digest}")
    return DetectionTask(
        task_id=task_id_of(check, 1),
        detection_execution_id=check,
        operation_id=_SPACE,
        detection_type="api",
        detection_platform="sigma",
        backend="sigma",
        detection_config={"sigma": rule.id, "control": False},
        created_at=moment + timedelta(hours=1),
        execution_context=ExecutionContext(agent_host=_HOST, started_at=moment, finished_at=moment),
        metadata=TaskMetadata(),
        look=1,
        deadline=moment + timedelta(minutes=30),
        deadline_passed=True,
    )
