"""What the expectations plan for an operation, without running anything: from the store, or from a file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from checking_core.contracts import ExecutionContext, LinkMessage, PlannedCheck, decode_link_message, execution_id_of
from checking_core.errors import RejectedMessageError
from checking_core.expectations import LintMessage, load, reach
from checking_core.plugin import BaseWorker, PluginHost
from checking_core.plugin.forecast import Asked, Load, forecast
from checking_core.report import ReportedExecution
from checking_core.settings import (
    BackendSettings,
    BackendsSettings,
    DatabaseSettings,
    PlanSettings,
    WorkerSettings,
    read,
)
from checking_core.storage.executions import told_order
from checking_server.bootstrap import open_store, planner
from checking_server.flow.report import find_operation
from checking_server.readers.files import RawMessage, read_messages

__all__ = ["PlannedOperation", "PlannedStep", "loads_of", "plan_file", "plan_stored"]


class PlannedStep(msgspec.Struct, frozen=True):
    """An execution and the checks it gets, none for a cleanup or when nothing is expected of it."""

    execution: ReportedExecution
    checks: tuple[PlannedCheck, ...]
    context: ExecutionContext


class PlannedOperation(msgspec.Struct, frozen=True, kw_only=True):
    """Steps in the order of their starts, the backends that are configured, and what a person should look at.

    ``detectors`` serve the backends, as far as they are installed; ``odd`` is told of expectations that speak of
    nothing here or of too much, ``rejected`` of messages that cannot be read.
    """

    title: str
    steps: tuple[PlannedStep, ...]
    backends: Mapping[str, BackendSettings]
    detectors: Mapping[str, type[BaseWorker]]
    odd: tuple[LintMessage, ...]
    rejected: tuple[str, ...]


async def loads_of(planned: PlannedOperation) -> dict[str, Load]:
    """How much each backend will be asked, as far as its detector is installed."""
    asked: dict[str, list[Asked]] = defaultdict(list)
    for step in planned.steps:
        for check in step.checks:
            if check.closed is None and check.backend in planned.detectors:
                asked[check.backend].append(Asked(check, step.context))
    return {name: await forecast(planned.detectors[name], asked[name]) for name in sorted(asked)}


async def plan_stored(key: str, expectations: Sequence[Path]) -> PlannedOperation:
    """Plan an operation of the store.

    Args:
        key: as for a report.
        expectations: in place of those that are configured, if any.

    Raises:
        NotFoundError: there is no such operation.
        ConfigurationError: a setting or an expectations file is wrong.
        StoreUnavailableError: the database does not answer.
    """
    async with open_store(read(DatabaseSettings)) as store, store.read() as uow:
        operation, remark = await find_operation(uow, key)
        bodies = await uow.executions.raw_of_operation(operation["operation_id"])
    title = " ".join(filter(None, (operation["name"], remark)))
    return _planned(title, (RawMessage(body.encode(), key) for body in bodies), expectations)


def plan_file(name: str, expectations: Sequence[Path]) -> PlannedOperation:
    """Plan the operations of a file that could be ingested, ``-`` for standard input.

    Args:
        name: of the file.
        expectations: in place of those that are configured, if any.

    Raises:
        ConfigurationError: the file, a setting or an expectations file is wrong.
    """
    return _planned(name, read_messages(name), expectations)


def _planned(title: str, messages: Iterable[RawMessage], expectations: Sequence[Path]) -> PlannedOperation:
    settings = read(PlanSettings)
    if expectations:
        settings = settings.model_copy(update={"expectations": tuple(map(str, expectations))})
    host = PluginHost.load()
    backends = host.backends(read(BackendsSettings))
    retries = read(WorkerSettings).max_retries
    plan = planner(settings, backends, max_retries=retries, plugin_keys=host.config_keys)
    links, rejected = _read(messages)
    told = [(link.execution, link.operation) for link in links if link.execution is not None]
    steps = []
    for number, link in enumerate(links, start=1):
        assert link.execution is not None  # noqa: S101 - _read keeps no others
        checks = tuple(plan(link.execution, link.operation))
        steps.append(PlannedStep(_execution(number, link), checks, _context(link)))
    written = load([Path(path) for path in settings.expectations], plugin_keys=host.config_keys)
    return PlannedOperation(
        title=title,
        steps=tuple(steps),
        backends=backends,
        detectors={name: host.detectors[one.plugin] for name, one in backends.items() if one.plugin in host.detectors},
        odd=tuple(reach(written, told)),
        rejected=tuple(rejected),
    )


def _read(messages: Iterable[RawMessage]) -> tuple[list[LinkMessage], list[str]]:
    """The last message of each execution, in the order of the starts."""
    now = datetime.now(UTC)
    last: dict[object, LinkMessage] = {}
    rejected = []
    for raw in messages:
        try:
            link = decode_link_message(raw.body, received_at=now)
        except RejectedMessageError as error:
            rejected.append(f"{raw.origin}: {error}")
            continue
        if link.execution is not None:
            key = (link.operation.operation_id, link.execution.link_id)
            last[key] = max(last.get(key, link), link, key=told_order)
    return sorted(last.values(), key=_started_at), rejected


def _started_at(link: LinkMessage) -> datetime:
    assert link.execution is not None  # noqa: S101 - callers have looked
    return link.execution.started_at


def _execution(step: int, link: LinkMessage) -> ReportedExecution:
    told = link.execution
    assert told is not None  # noqa: S101 - callers have looked
    return ReportedExecution(
        id=execution_id_of(link.operation.operation_id, told.link_id),
        step=step,
        agent_host=told.agent_host,
        agent_paw=told.agent_paw,
        procedure_name=told.procedure.name,
        technique_id=told.procedure.technique_id,
        technique_name=told.procedure.technique_name,
        tactic=told.procedure.tactic,
        command=told.plaintext_command or told.command,
        run_state=told.run_state,
        started_at=told.started_at,
        finished_at=told.finished_at,
    )


def _context(link: LinkMessage) -> ExecutionContext:
    """What a worker would be told."""
    told = link.execution
    assert told is not None  # noqa: S101 - callers have looked
    same = {name: getattr(told, name) for name in ExecutionContext.__struct_fields__ if hasattr(told, name)}
    return ExecutionContext(
        **same,
        user=told.agent.user,
        addresses=told.agent.ips,
        agent_pid=told.agent.pid,
        technique_id=told.procedure.technique_id,
        tactic=told.procedure.tactic,
        operation_started_at=link.operation.operation_start,
    )
