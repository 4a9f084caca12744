"""the first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "accounts",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("username", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("role", sa.String(length=12), nullable=False),
        sa.Column("password_hash", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("username", name=op.f("uq_accounts_username")),
    )
    op.create_table(
        "case_attempts",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("case_id", sa.String(length=32), nullable=False),
        sa.Column("contact_id", sa.String(length=32), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=True),
        sa.Column("script_version", sa.Integer(), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("dialed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case_attempts")),
    )
    op.create_index(op.f("ix_case_attempts_case_id"), "case_attempts", ["case_id"], unique=False)
    op.create_table(
        "case_history",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("case_id", sa.String(length=32), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=80), nullable=False),
        sa.Column("trigger", sa.String(length=40), nullable=False),
        sa.Column("from_status", sa.String(length=16), nullable=True),
        sa.Column("to_status", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=60), nullable=True),
        sa.Column("note", sa.String(length=1000), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case_history")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_case_history_case_id"), "case_history", ["case_id"], unique=False)
    op.create_table(
        "case_joins",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("case_id", sa.String(length=32), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("operator", sa.String(length=60), nullable=False),
        sa.Column("location", sa.String(length=200), nullable=False),
        sa.Column("situation", sa.String(length=200), nullable=False),
        sa.Column("note", sa.String(length=1000), nullable=False),
        sa.Column("requester_sealed", sa.String(length=200), nullable=False),
        sa.Column("requester_index", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case_joins")),
    )
    op.create_index(op.f("ix_case_joins_case_id"), "case_joins", ["case_id"], unique=False)
    op.create_index(op.f("ix_case_joins_requester_index"), "case_joins", ["requester_index"], unique=False)
    op.create_table(
        "case_numbers",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_case_numbers")),
    )
    op.create_table(
        "cases",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.String(length=20), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("open_key", sa.String(length=32), nullable=True),
        sa.Column("plate_sealed", sa.String(length=200), nullable=False),
        sa.Column("plate_index", sa.String(length=32), nullable=False),
        sa.Column("plate_color", sa.String(length=16), nullable=True),
        sa.Column("location", sa.String(length=200), nullable=False),
        sa.Column("situation", sa.String(length=200), nullable=False),
        sa.Column("note", sa.String(length=1000), nullable=False),
        sa.Column("mode", sa.String(length=10), nullable=False),
        sa.Column("requester_sealed", sa.String(length=200), nullable=False),
        sa.Column("requester_index", sa.String(length=32), nullable=False),
        sa.Column("owner_name_masked", sa.String(length=100), nullable=True),
        sa.Column("owner_phone_masked", sa.String(length=40), nullable=True),
        sa.Column("numbers_sealed", sa.JSON(), nullable=False),
        sa.Column("contact_id", sa.String(length=32), nullable=True),
        sa.Column("contacts", sa.Integer(), nullable=False),
        sa.Column("attention_reason", sa.String(length=40), nullable=True),
        sa.Column("escalation_id", sa.String(length=32), nullable=True),
        sa.Column("escalation_reason", sa.String(length=30), nullable=True),
        sa.Column("escalation_status", sa.String(length=16), nullable=True),
        sa.Column("escalation_seq", sa.BigInteger(), nullable=True),
        sa.Column("operator_id", sa.String(length=32), nullable=False),
        sa.Column("operator", sa.String(length=60), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lookup_started_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cases")),
        sa.UniqueConstraint("number", name=op.f("uq_cases_number")),
        sa.UniqueConstraint("open_key", name=op.f("uq_cases_open_key")),
    )
    op.create_index(op.f("ix_cases_contact_id"), "cases", ["contact_id"], unique=False)
    op.create_index("ix_cases_created", "cases", ["created_at", "id"], unique=False)
    op.create_index(
        "ix_cases_deadline",
        "cases",
        ["deadline_at"],
        unique=False,
        sqlite_where=sa.text("deadline_at IS NOT NULL"),
        postgresql_where=sa.text("deadline_at IS NOT NULL"),
    )
    op.create_index(op.f("ix_cases_escalation_id"), "cases", ["escalation_id"], unique=False)
    op.create_index(op.f("ix_cases_plate_index"), "cases", ["plate_index"], unique=False)
    op.create_index(op.f("ix_cases_requester_index"), "cases", ["requester_index"], unique=False)
    op.create_index("ix_cases_status_created", "cases", ["status", "created_at"], unique=False)
    op.create_table(
        "consumer_cursors",
        sa.Column("consumer", sa.String(length=40), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("consumer", name=op.f("pk_consumer_cursors")),
    )
    op.create_table(
        "dead_letters",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("consumer", sa.String(length=40), nullable=False),
        sa.Column("event_id", sa.String(length=32), nullable=False),
        sa.Column("type", sa.String(length=60), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("replay_requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("replayed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letters")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "ended_sessions",
        sa.Column("service", sa.String(length=20), nullable=False),
        sa.Column("session_id", sa.String(length=32), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("service", "session_id", name=op.f("pk_ended_sessions")),
    )
    op.create_table(
        "escalations",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("case_id", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("details_sealed", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("escalated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("raised_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("acknowledged_by", sa.String(length=64), nullable=True),
        sa.Column("officer_sealed", sa.Text(), nullable=True),
        sa.Column("disposed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disposed_by", sa.String(length=64), nullable=True),
        sa.Column("disposition_code", sa.String(length=40), nullable=True),
        sa.Column("disposition_note_sealed", sa.Text(), nullable=True),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_escalations")),
        sa.UniqueConstraint("seq", name=op.f("uq_escalations_seq")),
    )
    op.create_index(op.f("ix_escalations_case_id"), "escalations", ["case_id"], unique=False)
    op.create_index("ix_escalations_status_seq", "escalations", ["status", "seq"], unique=False)
    op.create_table(
        "feed_counter",
        sa.Column("name", sa.String(length=20), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_feed_counter")),
    )
    op.create_table(
        "feed_items",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("item_id", sa.String(length=32), nullable=False),
        sa.Column("type", sa.String(length=40), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("data_sealed", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_feed_items")),
        sa.UniqueConstraint("item_id", name=op.f("uq_feed_items_item_id")),
    )
    op.create_table(
        "handled_events",
        sa.Column("consumer", sa.String(length=40), nullable=False),
        sa.Column("event_id", sa.String(length=32), nullable=False),
        sa.Column("handled_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("consumer", "event_id", name=op.f("pk_handled_events")),
    )
    op.create_index(op.f("ix_handled_events_handled_at"), "handled_events", ["handled_at"], unique=False)
    op.create_table(
        "kept_answers",
        sa.Column("principal", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("request_digest", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("kept_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("principal", "key", name=op.f("pk_kept_answers")),
    )
    op.create_index(op.f("ix_kept_answers_kept_at"), "kept_answers", ["kept_at"], unique=False)
    op.create_table(
        "log_position",
        sa.Column("name", sa.String(length=20), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_log_position")),
    )
    op.create_table(
        "lookups",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("case_id", sa.String(length=32), nullable=False),
        sa.Column("plate_index", sa.String(length=32), nullable=False),
        sa.Column("operator_id", sa.String(length=32), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("result", sa.String(length=40), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lookups")),
    )
    op.create_index(op.f("ix_lookups_case_id"), "lookups", ["case_id"], unique=False)
    op.create_index(op.f("ix_lookups_plate_index"), "lookups", ["plate_index"], unique=False)
    op.create_table(
        "outbound_contacts",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("case_id", sa.String(length=32), nullable=False),
        sa.Column("plate_sealed", sa.Text(), nullable=False),
        sa.Column("numbers_sealed", sa.JSON(), nullable=False),
        sa.Column("callees", sa.JSON(), nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=True),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("concluded_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbound_contacts")),
    )
    op.create_index(op.f("ix_outbound_contacts_case_id"), "outbound_contacts", ["case_id"], unique=False)
    op.create_table(
        "outbox",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("event_id", sa.String(length=32), nullable=False),
        sa.Column("type", sa.String(length=60), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("emitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sa.UniqueConstraint("event_id", name=op.f("uq_outbox_event_id")),
        sa.UniqueConstraint("position", name=op.f("uq_outbox_position")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_outbox_unpublished",
        "outbox",
        ["id"],
        unique=False,
        sqlite_where=sa.text("position IS NULL"),
        postgresql_where=sa.text("position IS NULL"),
    )
    op.create_table(
        "registry_generations",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("source", sa.String(length=32), nullable=False),
        sa.Column("vehicles", sa.Integer(), nullable=False),
        sa.Column("rejected", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("touched_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("activated_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_registry_generations")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "uq_registry_generations_active",
        "registry_generations",
        ["state"],
        unique=True,
        sqlite_where=sa.text("state = 'active'"),
        postgresql_where=sa.text("state = 'active'"),
    )
    op.create_table(
        "registry_vehicles",
        sa.Column("generation_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("plate_index", sa.LargeBinary(length=16), nullable=False),
        sa.Column("color", sa.String(length=12), nullable=False),
        sa.Column("line", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("generation_id", "plate_index", "color", name=op.f("pk_registry_vehicles")),
    )
    op.create_table(
        "sessions",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("remote", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
    )
    op.create_index(op.f("ix_sessions_account_id"), "sessions", ["account_id"], unique=False)
    op.create_index(op.f("ix_sessions_ended_at"), "sessions", ["ended_at"], unique=False)
    op.create_table(
        "outbound_attempts",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("contact_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("number_index", sa.Integer(), nullable=False),
        sa.Column("callee", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("script_version", sa.Integer(), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claimed_by", sa.String(length=40), nullable=True),
        sa.Column("dialed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("greeting_started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("greeting_ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("greetings_ended", sa.Integer(), nullable=False),
        sa.Column("prompt_failed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("key", sa.String(length=1), nullable=True),
        sa.Column("key_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("hangup_cause", sa.Integer(), nullable=True),
        sa.CheckConstraint(
            "state IN ('queued', 'dialing', 'ringing', 'answered', 'ended')",
            name=op.f("ck_outbound_attempts_state"),
        ),
        sa.CheckConstraint(
            "outcome IS NULL OR dialed_at IS NOT NULL", name=op.f("ck_outbound_attempts_outcome_of_a_call")
        ),
        sa.ForeignKeyConstraint(
            ["contact_id"],
            ["outbound_contacts.id"],
            name=op.f("fk_outbound_attempts_contact_id_outbound_contacts"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbound_attempts")),
        sa.UniqueConstraint("contact_id", "number", name=op.f("uq_outbound_attempts_contact_id_number")),
    )
    op.create_index(op.f("ix_outbound_attempts_callee"), "outbound_attempts", ["callee"], unique=False)
    op.create_index(
        "ix_outbound_attempts_queue",
        "outbound_attempts",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_index(
        "ix_outbound_attempts_up",
        "outbound_attempts",
        ["dialed_at"],
        unique=False,
        sqlite_where=sa.text("state IN ('dialing', 'ringing', 'answered')"),
        postgresql_where=sa.text("state IN ('dialing', 'ringing', 'answered')"),
    )
    op.create_index(
        "uq_outbound_attempts_open",
        "outbound_attempts",
        ["contact_id"],
        unique=True,
        sqlite_where=sa.text("state <> 'ended'"),
        postgresql_where=sa.text("state <> 'ended'"),
    )
    op.create_table(
        "push_deliveries",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_try_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claimed_by", sa.String(length=40), nullable=True),
        sa.Column("last_error", sa.String(length=200), nullable=True),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["seq"], ["feed_items.seq"], name=op.f("fk_push_deliveries_seq_feed_items")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_push_deliveries")),
    )
    op.create_index(
        "ix_push_deliveries_undelivered",
        "push_deliveries",
        ["subject", "seq"],
        unique=False,
        sqlite_where=sa.text("delivered_at IS NULL"),
        postgresql_where=sa.text("delivered_at IS NULL"),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_index(
        "ix_push_deliveries_undelivered",
        table_name="push_deliveries",
        sqlite_where=sa.text("delivered_at IS NULL"),
        postgresql_where=sa.text("delivered_at IS NULL"),
    )
    op.drop_table("push_deliveries")
    op.drop_index(
        "uq_outbound_attempts_open",
        table_name="outbound_attempts",
        sqlite_where=sa.text("state <> 'ended'"),
        postgresql_where=sa.text("state <> 'ended'"),
    )
    op.drop_index(
        "ix_outbound_attempts_up",
        table_name="outbound_attempts",
        sqlite_where=sa.text("state IN ('dialing', 'ringing', 'answered')"),
        postgresql_where=sa.text("state IN ('dialing', 'ringing', 'answered')"),
    )
    op.drop_index(
        "ix_outbound_attempts_queue",
        table_name="outbound_attempts",
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.drop_index(op.f("ix_outbound_attempts_callee"), table_name="outbound_attempts")
    op.drop_table("outbound_attempts")
    op.drop_index(op.f("ix_sessions_ended_at"), table_name="sessions")
    op.drop_index(op.f("ix_sessions_account_id"), table_name="sessions")
    op.drop_table("sessions")
    op.drop_table("registry_vehicles")
    op.drop_index(
        "uq_registry_generations_active",
        table_name="registry_generations",
        sqlite_where=sa.text("state = 'active'"),
        postgresql_where=sa.text("state = 'active'"),
    )
    op.drop_table("registry_generations")
    op.drop_index(
        "ix_outbox_unpublished",
        table_name="outbox",
        sqlite_where=sa.text("position IS NULL"),
        postgresql_where=sa.text("position IS NULL"),
    )
    op.drop_table("outbox")
    op.drop_index(op.f("ix_outbound_contacts_case_id"), table_name="outbound_contacts")
    op.drop_table("outbound_contacts")
    op.drop_index(op.f("ix_lookups_plate_index"), table_name="lookups")
    op.drop_index(op.f("ix_lookups_case_id"), table_name="lookups")
    op.drop_table("lookups")
    op.drop_table("log_position")
    op.drop_index(op.f("ix_kept_answers_kept_at"), table_name="kept_answers")
    op.drop_table("kept_answers")
    op.drop_index(op.f("ix_handled_events_handled_at"), table_name="handled_events")
    op.drop_table("handled_events")
    op.drop_table("feed_items")
    op.drop_table("feed_counter")
    op.drop_index("ix_escalations_status_seq", table_name="escalations")
    op.drop_index(op.f("ix_escalations_case_id"), table_name="escalations")
    op.drop_table("escalations")
    op.drop_table("ended_sessions")
    op.drop_table("dead_letters")
    op.drop_table("consumer_cursors")
    op.drop_index("ix_cases_status_created", table_name="cases")
    op.drop_index(op.f("ix_cases_requester_index"), table_name="cases")
    op.drop_index(op.f("ix_cases_plate_index"), table_name="cases")
    op.drop_index(op.f("ix_cases_escalation_id"), table_name="cases")
    op.drop_index(
        "ix_cases_deadline",
        table_name="cases",
        sqlite_where=sa.text("deadline_at IS NOT NULL"),
        postgresql_where=sa.text("deadline_at IS NOT NULL"),
    )
    op.drop_index("ix_cases_created", table_name="cases")
    op.drop_index(op.f("ix_cases_contact_id"), table_name="cases")
    op.drop_table("cases")
    op.drop_table("case_numbers")
    op.drop_index(op.f("ix_case_joins_requester_index"), table_name="case_joins")
    op.drop_index(op.f("ix_case_joins_case_id"), table_name="case_joins")
    op.drop_table("case_joins")
    op.drop_index(op.f("ix_case_history_case_id"), table_name="case_history")
    op.drop_table("case_history")
    op.drop_index(op.f("ix_case_attempts_case_id"), table_name="case_attempts")
    op.drop_table("case_attempts")
    op.drop_table("accounts")
