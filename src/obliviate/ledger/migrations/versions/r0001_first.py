"""The first tables: history, queue, pseudonyms of samples, promotions, leases."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _number(name: str, *, primary_key: bool = False, nullable: bool = True) -> sa.Column[int]:
    nullable = nullable and not primary_key
    return sa.Column(name, NUMBER, autoincrement=False, primary_key=primary_key, nullable=nullable)


def _hash(name: str, *, primary_key: bool = False, unique: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(64), nullable=False, primary_key=primary_key, unique=unique or None)


def _time(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Float(53), nullable=False)


def upgrade() -> None:
    """Make them, and the beginning of the chain."""
    head = op.create_table(
        "head",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        _number("events", nullable=False),
        _number("requests", nullable=False),
        _number("batches", nullable=False),
        _time("time"),
        _hash("sha256"),
    )
    op.create_table(
        "events",
        _number("number", primary_key=True),
        _time("time"),
        sa.Column("kind", sa.String(16), nullable=False),
        _number("request"),
        _number("batch"),
        sa.Column("facts", sa.Text, nullable=False),
        _hash("sha256"),
    )
    op.create_table(
        "requests",
        _number("number", primary_key=True),
        _hash("key", unique=True),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        _hash("content"),
        sa.Column("sealed", sa.Text),
        sa.Column("counts", sa.Text, nullable=False),
        _time("submitted"),
        _time("due"),
        _number("batch"),
    )
    op.create_table(
        "asked",
        _number("request", primary_key=True),
        sa.Column("kind", sa.String(8), primary_key=True),
        _hash("pseudonym", primary_key=True),
    )
    op.create_table(
        "samples",
        _hash("sample", primary_key=True),
        _hash("name"),
        _hash("spelled"),
        _hash("owner"),
        _hash("owner_spelled"),
        sa.Column("part", sa.String(8), nullable=False),
        _number("batch"),
    )
    op.create_table(
        "batches",
        _number("number", primary_key=True),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
    )
    op.create_table(
        "promotions",
        _number("event", primary_key=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("file", sa.Text, nullable=False),
        _hash("file_sha256"),
        _hash("weights_sha256"),
        _number("batch", nullable=False),
    )
    op.create_table(
        "leases",
        _number("batch", primary_key=True),
        sa.Column("worker", sa.Text, nullable=False),
        sa.Column("token", sa.String(32), nullable=False),
        _time("granted"),
        _time("seconds"),
    )
    totals = op.create_table(
        "totals",
        sa.Column("state", sa.String(8), primary_key=True),
        _number("requests", nullable=False),
    )
    for name, table, columns in (
        ("events_by_request", "events", ["request", "number"]),
        ("events_by_batch", "events", ["batch", "number"]),
        ("requests_by_state", "requests", ["state", "number"]),
        ("requests_by_due", "requests", ["state", "due"]),
        ("requests_by_batch", "requests", ["batch"]),
        ("asked_by_pseudonym", "asked", ["pseudonym"]),
        ("samples_by_name", "samples", ["spelled"]),
        ("samples_by_owner", "samples", ["owner_spelled"]),
        ("batches_by_state", "batches", ["state"]),
    ):
        op.create_index(name, table, columns)
    op.bulk_insert(head, [{"id": 1, "events": 0, "requests": 0, "batches": 0, "time": 0.0, "sha256": ""}])
    op.bulk_insert(totals, [{"state": state, "requests": 0} for state in ("pending", "running", "done", "failed")])
