"""The words of a verdict: axes, headline outcome, reason. Closed enums, the same on the wire and in rows."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec


class Ask(StrEnum):
    """A question that a check may put to a backend."""

    ALERT = "alert"
    RULE = "rule"
    TELEMETRY = "telemetry"
    ALIVE = "alive"
    PREVENTION = "prevention"


class Answer(StrEnum):
    """What one question brought: unknown is an incomplete answer, never a no."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"
    NOT_ASKED = "not_asked"


class Prevention(StrEnum):
    """Whether the product stopped the action."""

    BLOCKED = "blocked"
    TERMINATED = "terminated"
    NOT_BLOCKED = "not_blocked"
    UNKNOWN = "unknown"
    NOT_ASKED = "not_asked"


class Outcome(StrEnum):
    """The headline of a check."""

    PENDING = "pending"
    BLOCKED = "blocked"
    ALERTED = "alerted"
    MATCHED = "matched"
    LOGGED = "logged"
    NO_ALERT = "no_alert"
    NONE = "none"
    NOT_APPLICABLE = "not_applicable"
    NOT_RUN = "not_run"
    INCONCLUSIVE = "inconclusive"


class CheckStatus(StrEnum):
    """Where a check stands in its life. ``running`` is written by original-style workers only."""

    PENDING = "pending"
    DISPATCHED = "dispatched"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Expect(StrEnum):
    """What the author of an expectation wants to see."""

    BLOCKED = "blocked"
    ALERTED = "alerted"
    MATCHED = "matched"
    LOGGED = "logged"
    SILENT = "silent"
    OBSERVE = "observe"


class Met(StrEnum):
    """The outcome measured against ``Expect``."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class MatchTier(StrEnum):
    """How firmly a record belongs to the execution, best first."""

    MARKER = "marker"
    PROCESS = "process"
    ARTEFACT = "artefact"
    NAMED_RULE = "named_rule"
    TECHNIQUE = "technique"
    HOST = "host"


class Reason(StrEnum):
    """Why the headline is what it is."""

    MATCHED_ALERT = "matched_alert"
    MATCHED_RULE = "matched_rule"
    TELEMETRY_ONLY = "telemetry_only"
    NO_TELEMETRY = "no_telemetry"
    SOURCE_SILENT = "source_silent"
    TELEMETRY_WITHOUT_ALERT = "telemetry_without_alert"
    PREVENTED = "prevented"
    PREEMPTED = "preempted"
    RULE_MISSING = "rule_missing"
    RULE_DISABLED = "rule_disabled"
    ALERT_OTHER_HOST = "alert_other_host"
    ALERT_OTHER_RULE = "alert_other_rule"
    ALERT_OTHER_SEVERITY = "alert_other_severity"
    ALERT_OUTSIDE_WINDOW = "alert_outside_window"
    ALERT_FIELDS_INCOMPLETE = "alert_fields_incomplete"
    SUPPRESSED = "suppressed"
    TOOLING = "tooling"
    IN_CONTROL_WINDOW = "in_control_window"
    CLOCK_ASTRAY = "clock_astray"
    EXECUTION_FAILED = "execution_failed"
    EXECUTION_SKIPPED = "execution_skipped"
    BACKEND_UNREACHABLE = "backend_unreachable"
    BACKEND_AUTH_FAILED = "backend_auth_failed"
    BACKEND_RATE_LIMITED = "backend_rate_limited"
    BACKEND_PARTIAL_ANSWER = "backend_partial_answer"
    QUERY_INVALID = "query_invalid"
    NOT_CONVERTIBLE = "not_convertible"
    CAPABILITY_MISSING = "capability_missing"
    UNSUPPORTED_PLATFORM = "unsupported_platform"
    OTHER_OS = "other_os"
    DEADLINE_NOT_REACHED = "deadline_not_reached"
    DEADLINE_PASSED = "deadline_passed"
    PLUGIN_ERROR = "plugin_error"
    WORKER_LOST = "worker_lost"
    CANCELLED = "cancelled"
    OVERRIDDEN = "overridden"


class EvidenceKind(StrEnum):
    """Raw telemetry record, a hit of our own rule run, or a record raised by a product rule."""

    EVENT = "event"
    MATCH = "match"
    ALERT = "alert"


class Axes(msgspec.Struct, frozen=True, kw_only=True):
    """The five stored answers of a check."""

    prevention: Prevention = Prevention.NOT_ASKED
    alert: Answer = Answer.NOT_ASKED
    rule: Answer = Answer.NOT_ASKED
    telemetry: Answer = Answer.NOT_ASKED
    alive: Answer = Answer.NOT_ASKED


class Evidence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A record that proves a verdict. ``id`` is unique within the backend; ``fields`` come from it unchanged.

    ``tier`` and ``matched`` say what ties it to the execution. ``sha256`` is that of the whole record as the backend
    gave it, of which ``fields`` may be a part.
    """

    kind: EvidenceKind
    id: str
    title: str = ""
    rule: str | None = None
    severity: str | None = None
    host: str | None = None
    event_at: datetime | None = None
    indexed_at: datetime | None = None
    alert_at: datetime | None = None
    url: str | None = None
    fields: dict[str, Any] = {}
    tier: MatchTier | None = None
    matched: tuple[str, ...] = ()
    sha256: str | None = None


class NearMiss(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A candidate that was rejected, and the one reason why."""

    kind: EvidenceKind
    id: str
    reason: Reason
    title: str = ""
    host: str | None = None
    event_at: datetime | None = None
