"""The first schema: operations, executions, checks, results, and what stands beside them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
TIME = sa.DateTime(timezone=True)


def _enum(name: str, *values: str, length: int = 20) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=length)


def _target(schema: str | None, column: str) -> str:
    return f"{schema}.{column}" if schema else column


def upgrade() -> None:
    """Create every table in the order of their references."""
    schema = None if op.get_bind().dialect.name == "sqlite" else "checking_engine"
    _operations(schema)
    _execution_results(schema)
    _detection_executions(schema)
    _detection_results(schema)
    _evidence_claims(schema)
    _dead_letters(schema)
    _api_keys(schema)
    _audit_log(schema)
    _idempotency_keys(schema)


def _operations(schema: str | None) -> None:
    op.create_table(
        "operations",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("operation_id", sa.Uuid, nullable=False),
        sa.Column("source", sa.String(length=255), nullable=False),
        sa.Column("source_id", sa.Text()),
        sa.Column("name", sa.String(length=1000), nullable=False),
        sa.Column("operation_start", TIME),
        sa.Column("state", sa.String(length=1000)),
        sa.Column("state_at", TIME),
        sa.Column("attack_version", sa.String(length=20)),
        sa.Column("metadata", JSON),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operations")),
        sa.UniqueConstraint("operation_id", name=op.f("uq_operations_operation_id")),
        schema=schema,
    )
    op.create_index(op.f("ix_operations_created_at"), "operations", ["created_at"], unique=False, schema=schema)


def _execution_results(schema: str | None) -> None:
    op.create_table(
        "execution_results",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("operation_id", sa.Uuid, nullable=False),
        sa.Column("link_id", sa.Uuid, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("source_id", sa.Text()),
        sa.Column("agent_host", sa.String(length=255), nullable=False),
        sa.Column("agent_paw", sa.String(length=255), nullable=False),
        sa.Column("agent", JSON),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("plaintext_command", sa.Text()),
        sa.Column("executor", sa.String(length=1000)),
        sa.Column("platform", sa.String(length=255)),
        sa.Column("pid", sa.BigInteger()),
        sa.Column("status", sa.BigInteger()),
        sa.Column(
            "link_state",
            _enum(
                "link_state_known",
                "SUCCESS",
                "ERROR",
                "TIMEOUT",
                "EXECUTE",
                "PAUSE",
                "DISCARD",
                "UNTRUSTED",
                "HIGH_VIZ",
            ),
            nullable=False,
        ),
        sa.Column(
            "run_state", _enum("run_state_known", "ran", "failed", "timed_out", "lost", "never_ran"), nullable=False
        ),
        sa.Column("cleanup", sa.Boolean(), nullable=False),
        sa.Column("procedure_id", sa.String(length=1000)),
        sa.Column("procedure_name", sa.String(length=1000), nullable=False),
        sa.Column("tactic", sa.String(length=1000)),
        sa.Column("technique_id", sa.String(length=255)),
        sa.Column("technique_name", sa.String(length=1000)),
        sa.Column("procedure_fingerprint", sa.String(length=64), nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("finished_at", TIME),
        sa.Column("started_at_least", TIME),
        sa.Column("agent_reported_time", TIME),
        sa.Column("clock", _enum("clock_known", "server", "agent", "message"), nullable=False),
        sa.Column("result_data", JSON),
        sa.Column("raw_message", sa.Text()),
        sa.Column("reported_at", TIME, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["operation_id"],
            [_target(schema, "operations.operation_id")],
            name=op.f("fk_execution_results_operation_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_execution_results")),
        sa.UniqueConstraint("link_id", "operation_id", name=op.f("uq_execution_results_link_id_operation_id")),
        schema=schema,
    )
    op.create_index(
        op.f("ix_execution_results_agent_host_started_at"),
        "execution_results",
        ["agent_host", "started_at"],
        unique=False,
        schema=schema,
    )
    op.create_index(
        op.f("ix_execution_results_operation_id_started_at"),
        "execution_results",
        ["operation_id", "started_at"],
        unique=False,
        schema=schema,
    )
    op.create_index(
        op.f("ix_execution_results_started_at"),
        "execution_results",
        ["started_at"],
        unique=False,
        schema=schema,
    )
    op.create_index(
        op.f("ix_execution_results_technique_id_started_at"),
        "execution_results",
        ["technique_id", "started_at"],
        unique=False,
        schema=schema,
    )


def _detection_executions(schema: str | None) -> None:
    op.create_table(
        "detection_executions",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("execution_result_id", sa.Uuid, nullable=False),
        sa.Column("operation_id", sa.Uuid, nullable=False),
        sa.Column("expectation_id", sa.String(length=1000)),
        sa.Column("detection_type", sa.String(length=20), nullable=False),
        sa.Column("detection_platform", sa.String(length=40), nullable=False),
        sa.Column("detection_config", JSON, nullable=False),
        sa.Column(
            "expect",
            _enum("expect_known", "blocked", "alerted", "matched", "logged", "silent", "observe"),
            nullable=False,
        ),
        sa.Column(
            "status",
            _enum("status_known", "pending", "dispatched", "running", "completed", "failed", "cancelled"),
            nullable=False,
        ),
        sa.Column(
            "outcome",
            _enum(
                "outcome_known",
                "pending",
                "blocked",
                "alerted",
                "matched",
                "logged",
                "no_alert",
                "none",
                "not_applicable",
                "not_run",
                "inconclusive",
            ),
            nullable=False,
        ),
        sa.Column("look", sa.Integer(), nullable=False),
        sa.Column("dispatches", sa.Integer(), nullable=False),
        sa.Column("available_at", TIME, nullable=False),
        sa.Column("deadline", TIME, nullable=False),
        sa.Column("lease_until", TIME),
        sa.Column("task_id", sa.Uuid, nullable=False),
        sa.Column("retry_count", sa.Integer(), nullable=False),
        sa.Column("max_retries", sa.Integer(), nullable=False),
        sa.Column("started_at", TIME),
        sa.Column("completed_at", TIME),
        sa.Column("execution_metadata", JSON, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.CheckConstraint(
            "detection_type IN ('api', 'windows', 'linux', 'darwin')",
            name=op.f("ck_detection_executions_detection_type_known"),
        ),
        sa.CheckConstraint("look >= 1 AND dispatches >= 0", name=op.f("ck_detection_executions_counts_positive")),
        sa.ForeignKeyConstraint(
            ["execution_result_id"],
            [_target(schema, "execution_results.id")],
            name=op.f("fk_detection_executions_execution_result_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["operation_id"],
            [_target(schema, "operations.operation_id")],
            name=op.f("fk_detection_executions_operation_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_detection_executions")),
        schema=schema,
    )
    op.create_index(
        "ix_detection_executions_counted",
        "detection_executions",
        ["outcome", "created_at", "detection_platform", "status"],
        unique=False,
        schema=schema,
    )
    op.create_index(
        op.f("ix_detection_executions_created_at"),
        "detection_executions",
        ["created_at"],
        unique=False,
        schema=schema,
    )
    op.create_index(
        "ix_detection_executions_due",
        "detection_executions",
        ["detection_platform", "available_at"],
        unique=False,
        schema=schema,
        postgresql_where=sa.text("status = 'pending'"),
        sqlite_where=sa.text("status = 'pending'"),
    )
    op.create_index(
        op.f("ix_detection_executions_execution_result_id"),
        "detection_executions",
        ["execution_result_id"],
        unique=False,
        schema=schema,
    )
    op.create_index(
        "ix_detection_executions_leased",
        "detection_executions",
        ["lease_until", "detection_platform"],
        unique=False,
        schema=schema,
        postgresql_where=sa.text("status = 'dispatched'"),
        sqlite_where=sa.text("status = 'dispatched'"),
    )
    op.create_index(
        op.f("ix_detection_executions_operation_id_status"),
        "detection_executions",
        ["operation_id", "status"],
        unique=False,
        schema=schema,
    )


def _detection_results(schema: str | None) -> None:
    op.create_table(
        "detection_results",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("task_id", sa.Uuid),
        sa.Column("detection_execution_id", sa.Uuid, nullable=False),
        sa.Column("look", sa.Integer(), nullable=False),
        sa.Column("detected", sa.Boolean()),
        sa.Column(
            "prevention",
            _enum("prevention_known", "blocked", "terminated", "not_blocked", "unknown", "not_asked"),
            nullable=False,
        ),
        sa.Column("alert", _enum("alert_known", "yes", "no", "unknown", "not_asked"), nullable=False),
        sa.Column("rule", _enum("rule_known", "yes", "no", "unknown", "not_asked"), nullable=False),
        sa.Column("telemetry", _enum("telemetry_known", "yes", "no", "unknown", "not_asked"), nullable=False),
        sa.Column("alive", _enum("alive_known", "yes", "no", "unknown", "not_asked"), nullable=False),
        sa.Column(
            "outcome",
            _enum(
                "outcome_known",
                "pending",
                "blocked",
                "alerted",
                "matched",
                "logged",
                "no_alert",
                "none",
                "not_applicable",
                "not_run",
                "inconclusive",
            ),
            nullable=False,
        ),
        sa.Column(
            "reason",
            _enum(
                "reason_known",
                "matched_alert",
                "matched_rule",
                "telemetry_only",
                "no_telemetry",
                "source_silent",
                "telemetry_without_alert",
                "prevented",
                "preempted",
                "rule_missing",
                "rule_disabled",
                "alert_other_host",
                "alert_other_rule",
                "alert_other_severity",
                "alert_outside_window",
                "alert_fields_incomplete",
                "suppressed",
                "tooling",
                "in_control_window",
                "clock_astray",
                "execution_failed",
                "execution_skipped",
                "backend_unreachable",
                "backend_auth_failed",
                "backend_rate_limited",
                "backend_partial_answer",
                "query_invalid",
                "not_convertible",
                "capability_missing",
                "unsupported_platform",
                "other_os",
                "deadline_not_reached",
                "deadline_passed",
                "plugin_error",
                "worker_lost",
                "cancelled",
                "overridden",
                length=40,
            ),
        ),
        sa.Column("met", _enum("met_known", "yes", "no", "unknown"), nullable=False),
        sa.Column(
            "match_tier", _enum("match_tier_known", "marker", "process", "artefact", "named_rule", "technique", "host")
        ),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("ambiguous", sa.Boolean(), nullable=False),
        sa.Column("in_control_window", sa.Boolean(), nullable=False),
        sa.Column("tooling", sa.Boolean(), nullable=False),
        sa.Column("overridden", sa.Boolean(), nullable=False),
        sa.Column("lift", sa.Float()),
        sa.Column("event_at", TIME),
        sa.Column("indexed_at", TIME),
        sa.Column("alert_at", TIME),
        sa.Column("seen_at", TIME),
        sa.Column("time_to_detect_s", sa.Float()),
        sa.Column("censored", sa.Boolean(), nullable=False),
        sa.Column("query_sent", sa.Text()),
        sa.Column("searched_from", TIME),
        sa.Column("searched_to", TIME),
        sa.Column("result_timestamp", TIME, nullable=False),
        sa.Column("result_source", sa.String(length=255), nullable=False),
        sa.Column("raw_response", JSON),
        sa.Column("parsed_results", JSON),
        sa.Column("metadata", JSON),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["detection_execution_id"],
            [_target(schema, "detection_executions.id")],
            name=op.f("fk_detection_results_detection_execution_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_detection_results")),
        schema=schema,
    )
    op.create_index(
        op.f("ix_detection_results_created_at"), "detection_results", ["created_at"], unique=False, schema=schema
    )
    op.create_index(
        op.f("ix_detection_results_detected_created_at"),
        "detection_results",
        ["detected", "created_at"],
        unique=False,
        schema=schema,
    )
    op.create_index(
        op.f("ix_detection_results_detection_execution_id_created_at"),
        "detection_results",
        ["detection_execution_id", "created_at"],
        unique=False,
        schema=schema,
    )
    op.create_index(
        "ix_detection_results_counted",
        "detection_results",
        ["outcome", "created_at", "reason", "detected", "met"],
        unique=False,
        schema=schema,
    )


def _evidence_claims(schema: str | None) -> None:
    op.create_table(
        "evidence_claims",
        sa.Column("backend", sa.String(length=40), nullable=False),
        sa.Column("record_id", sa.String(length=512), nullable=False),
        sa.Column("check_id", sa.Uuid, nullable=False),
        sa.Column(
            "tier",
            _enum("tier_known", "marker", "process", "artefact", "named_rule", "technique", "host"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["check_id"],
            [_target(schema, "detection_executions.id")],
            name=op.f("fk_evidence_claims_check_id"),
            ondelete="CASCADE",
        ),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.Column("decisive", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("backend", "record_id", "check_id", name=op.f("pk_evidence_claims")),
        schema=schema,
    )
    op.create_index(op.f("ix_evidence_claims_check_id"), "evidence_claims", ["check_id"], unique=False, schema=schema)


def _dead_letters(schema: str | None) -> None:
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("queue", sa.String(length=255), nullable=False),
        sa.Column("message_id", sa.String(length=255)),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text()),
        sa.Column("headers", JSON),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letters")),
        schema=schema,
    )
    op.create_index(op.f("ix_dead_letters_created_at"), "dead_letters", ["created_at"], unique=False, schema=schema)


def _api_keys(schema: str | None) -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("prefix", sa.String(length=20), nullable=False),
        sa.Column("secret_sha256", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("role", _enum("role_known", "viewer", "analyst", "operator", "admin"), nullable=False),
        sa.Column("scopes", JSON, nullable=False),
        sa.Column("expires_at", TIME),
        sa.Column("last_used_at", TIME),
        sa.Column("revoked_at", TIME),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("prefix", name=op.f("uq_api_keys_prefix")),
        schema=schema,
    )


def _audit_log(schema: str | None) -> None:
    op.create_table(
        "audit_log",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("author", sa.String(length=255), nullable=False),
        sa.Column("key_id", sa.Uuid),
        sa.Column("address", sa.String(length=255)),
        sa.Column("request_id", sa.String(length=255)),
        sa.Column("action", sa.String(length=100), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("before", JSON),
        sa.Column("after", JSON),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
        schema=schema,
    )
    op.create_index(op.f("ix_audit_log_created_at"), "audit_log", ["created_at"], unique=False, schema=schema)
    op.create_index(
        op.f("ix_audit_log_subject_created_at"), "audit_log", ["subject", "created_at"], unique=False, schema=schema
    )


def _idempotency_keys(schema: str | None) -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("media_type", sa.String(length=255)),
        sa.Column("body", sa.LargeBinary),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_idempotency_keys")),
        schema=schema,
    )
    op.create_index(
        op.f("ix_idempotency_keys_created_at"), "idempotency_keys", ["created_at"], unique=False, schema=schema
    )


def downgrade() -> None:
    """Remove every table."""
    schema = None if op.get_bind().dialect.name == "sqlite" else "checking_engine"
    for table in (
        "idempotency_keys",
        "audit_log",
        "api_keys",
        "dead_letters",
        "evidence_claims",
        "detection_results",
        "detection_executions",
        "execution_results",
        "operations",
    ):
        op.drop_table(table, schema=schema)
