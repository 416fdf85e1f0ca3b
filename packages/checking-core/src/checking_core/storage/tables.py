"""The tables. Every column is named in docs/explanation/architecture.md; migrations alone create them.

Schema ``checking_engine`` on PostgreSQL, none on SQLite (the engine translates it away).
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from checking_core.contracts import (
    AccessRole,
    Answer,
    CheckStatus,
    Clock,
    Expect,
    LinkState,
    MatchTier,
    Met,
    Outcome,
    Prevention,
    Reason,
    RunState,
)
from checking_core.storage.types import Json, UtcDateTime, enum_column

__all__ = [
    "SCHEMA",
    "api_keys",
    "audit_log",
    "dead_letters",
    "detection_executions",
    "detection_results",
    "evidence_claims",
    "execution_results",
    "idempotency_keys",
    "metadata",
    "operations",
]

SCHEMA = "checking_engine"

metadata = sa.MetaData(
    schema=SCHEMA,
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    },
)


def _time(name: str, *, nullable: bool = True) -> sa.Column[Any]:
    return sa.Column(name, UtcDateTime, nullable=nullable)


operations = sa.Table(
    "operations",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("operation_id", sa.Uuid, nullable=False, unique=True),
    sa.Column("source", sa.String(255), nullable=False),
    sa.Column("source_id", sa.Text),
    sa.Column("name", sa.String(1000), nullable=False),
    _time("operation_start"),
    sa.Column("state", sa.String(1000)),
    _time("state_at"),  # a state told by an older message must not replace a newer one
    sa.Column("attack_version", sa.String(20)),
    sa.Column("metadata", Json),
    _time("created_at", nullable=False),
    _time("updated_at", nullable=False),
    sa.Index(None, "created_at"),
)

execution_results = sa.Table(
    "execution_results",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("operation_id", sa.ForeignKey(operations.c.operation_id, ondelete="CASCADE"), nullable=False),
    sa.Column("link_id", sa.Uuid, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("source_id", sa.Text),
    sa.Column("agent_host", sa.String(255), nullable=False),
    sa.Column("agent_paw", sa.String(255), nullable=False),
    sa.Column("agent", Json),
    sa.Column("command", sa.Text, nullable=False),
    sa.Column("plaintext_command", sa.Text),
    sa.Column("executor", sa.String(1000)),
    sa.Column("platform", sa.String(255)),
    sa.Column("pid", sa.BigInteger),
    sa.Column("status", sa.BigInteger),
    enum_column("link_state", LinkState, nullable=False),
    enum_column("run_state", RunState, nullable=False),
    sa.Column("cleanup", sa.Boolean, nullable=False),
    sa.Column("procedure_id", sa.String(1000)),
    sa.Column("procedure_name", sa.String(1000), nullable=False),
    sa.Column("tactic", sa.String(1000)),
    sa.Column("technique_id", sa.String(255)),
    sa.Column("technique_name", sa.String(1000)),
    sa.Column("procedure_fingerprint", sa.String(64), nullable=False),
    _time("started_at", nullable=False),
    _time("finished_at"),
    _time("started_at_least"),
    _time("agent_reported_time"),
    enum_column("clock", Clock, nullable=False),
    sa.Column("result_data", Json),
    sa.Column("raw_message", sa.Text),
    _time("reported_at", nullable=False),  # the message's own time: decides which of two revisions is later
    _time("created_at", nullable=False),
    sa.UniqueConstraint("link_id", "operation_id"),  # in this order it finds a link without its operation as well
    sa.Index(None, "operation_id", "started_at"),
    sa.Index(None, "started_at"),
    sa.Index(None, "agent_host", "started_at"),
    sa.Index(None, "technique_id", "started_at"),
)

detection_executions = sa.Table(
    "detection_executions",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("execution_result_id", sa.ForeignKey(execution_results.c.id, ondelete="CASCADE"), nullable=False),
    sa.Column("operation_id", sa.ForeignKey(operations.c.operation_id, ondelete="CASCADE"), nullable=False),
    sa.Column("expectation_id", sa.String(1000)),
    sa.Column("detection_type", sa.String(20), nullable=False),
    sa.Column("detection_platform", sa.String(40), nullable=False),
    sa.Column("detection_config", Json, nullable=False),
    enum_column("expect", Expect, nullable=False),
    enum_column("status", CheckStatus, nullable=False),
    enum_column("outcome", Outcome, nullable=False),
    sa.Column("look", sa.Integer, nullable=False),
    sa.Column("dispatches", sa.Integer, nullable=False),
    _time("available_at", nullable=False),
    _time("deadline", nullable=False),
    _time("lease_until"),
    sa.Column("task_id", sa.Uuid, nullable=False),
    sa.Column("retry_count", sa.Integer, nullable=False),
    sa.Column("max_retries", sa.Integer, nullable=False),
    _time("started_at"),
    _time("completed_at"),
    sa.Column("execution_metadata", Json, nullable=False),
    _time("created_at", nullable=False),
    sa.CheckConstraint("detection_type IN ('api', 'windows', 'linux', 'darwin')", name="detection_type_known"),
    sa.CheckConstraint("look >= 1 AND dispatches >= 0", name="counts_positive"),
    sa.Index(None, "execution_result_id"),
    sa.Index(None, "operation_id", "status"),
    sa.Index(None, "created_at"),
    sa.Index("ix_detection_executions_counted", "outcome", "created_at", "detection_platform", "status"),
    sa.Index(
        "ix_detection_executions_due",
        "detection_platform",
        "available_at",
        postgresql_where=sa.text("status = 'pending'"),
        sqlite_where=sa.text("status = 'pending'"),
    ),
    sa.Index(
        "ix_detection_executions_leased",
        "lease_until",
        "detection_platform",
        postgresql_where=sa.text("status = 'dispatched'"),
        sqlite_where=sa.text("status = 'dispatched'"),
    ),
)

detection_results = sa.Table(
    "detection_results",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("task_id", sa.Uuid),
    sa.Column("detection_execution_id", sa.ForeignKey(detection_executions.c.id, ondelete="CASCADE"), nullable=False),
    sa.Column("look", sa.Integer, nullable=False),
    sa.Column("detected", sa.Boolean),
    enum_column("prevention", Prevention, nullable=False),
    enum_column("alert", Answer, nullable=False),
    enum_column("rule", Answer, nullable=False),
    enum_column("telemetry", Answer, nullable=False),
    enum_column("alive", Answer, nullable=False),
    enum_column("outcome", Outcome, nullable=False),
    enum_column("reason", Reason),
    enum_column("met", Met, nullable=False),
    enum_column("match_tier", MatchTier),
    sa.Column("late", sa.Boolean, nullable=False),
    sa.Column("ambiguous", sa.Boolean, nullable=False),
    sa.Column("in_control_window", sa.Boolean, nullable=False),
    sa.Column("tooling", sa.Boolean, nullable=False),
    sa.Column("overridden", sa.Boolean, nullable=False),
    sa.Column("lift", sa.Float),
    _time("event_at"),
    _time("indexed_at"),
    _time("alert_at"),
    _time("seen_at"),
    sa.Column("time_to_detect_s", sa.Float),
    sa.Column("censored", sa.Boolean, nullable=False),
    sa.Column("query_sent", sa.Text),
    _time("searched_from"),
    _time("searched_to"),
    _time("result_timestamp", nullable=False),
    sa.Column("result_source", sa.String(255), nullable=False),
    sa.Column("raw_response", Json),
    sa.Column("parsed_results", Json),
    sa.Column("metadata", Json),
    _time("created_at", nullable=False),
    sa.Index(None, "detection_execution_id", "created_at"),
    sa.Index(None, "created_at"),
    sa.Index("ix_detection_results_counted", "outcome", "created_at", "reason", "detected", "met"),
    sa.Index(None, "detected", "created_at"),
)

evidence_claims = sa.Table(
    "evidence_claims",
    metadata,
    sa.Column("backend", sa.String(40), primary_key=True),
    sa.Column("record_id", sa.String(512), primary_key=True),
    sa.Column("check_id", sa.ForeignKey(detection_executions.c.id, ondelete="CASCADE"), primary_key=True),
    enum_column("tier", MatchTier, nullable=False),
    sa.Column("shared", sa.Boolean, nullable=False),
    sa.Column("decisive", sa.Boolean, nullable=False),
    sa.Index(None, "check_id"),
)

dead_letters = sa.Table(
    "dead_letters",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("queue", sa.String(255), nullable=False),
    sa.Column("message_id", sa.String(255)),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("origin", sa.Text),
    sa.Column("headers", Json),
    sa.Column("body", sa.LargeBinary, nullable=False),
    _time("created_at", nullable=False),
    sa.Index(None, "created_at"),
)

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("prefix", sa.String(20), nullable=False, unique=True),
    sa.Column("secret_sha256", sa.String(64), nullable=False),
    sa.Column("name", sa.String(255), nullable=False),
    enum_column("role", AccessRole, nullable=False),
    sa.Column("scopes", Json, nullable=False),
    _time("expires_at"),
    _time("last_used_at"),
    _time("revoked_at"),
    _time("created_at", nullable=False),
)

audit_log = sa.Table(
    "audit_log",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("author", sa.String(255), nullable=False),
    sa.Column("key_id", sa.Uuid),  # no reference: the entry outlives the key
    sa.Column("address", sa.String(255)),
    sa.Column("request_id", sa.String(255)),
    sa.Column("action", sa.String(100), nullable=False),
    sa.Column("subject", sa.String(255), nullable=False),
    sa.Column("before", Json),
    sa.Column("after", Json),
    _time("created_at", nullable=False),
    sa.Index(None, "created_at"),
    sa.Index(None, "subject", "created_at"),
)

idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("status", sa.Integer),  # none while the request is under way
    sa.Column("media_type", sa.String(255)),
    sa.Column("body", sa.LargeBinary),
    _time("created_at", nullable=False),
    sa.Index(None, "created_at"),
)
