"""The tables of a ledger.

`events` is the history, of which every entry vouches for the one before; the others say how things stand now, and
follow from it. `leases` alone is no evidence: it says who is at work.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Float, Index, Integer, MetaData, String, Table, Text

METADATA: Final = MetaData()
Number: Final = BigInteger().with_variant(Integer(), "sqlite")  # which SQLite takes for the number of a row

STATES: Final = ("pending", "running", "done", "failed")

head: Final = Table(
    "head",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("events", Number, nullable=False),
    Column("requests", Number, nullable=False),
    Column("batches", Number, nullable=False),
    Column("time", Float(53), nullable=False),
    Column("sha256", String(64), nullable=False),
)
"""The end of the chain, and how many requests and batches there are; one row, which writers take in turn."""

events: Final = Table(
    "events",
    METADATA,
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("time", Float(53), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("request", Number),
    Column("batch", Number),
    Column("facts", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Index("events_by_request", "request", "number"),
    Index("events_by_batch", "batch", "number"),
)

requests: Final = Table(
    "requests",
    METADATA,
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("key", String(64), nullable=False, unique=True),
    Column("state", String(8), nullable=False),
    Column("kind", String(8), nullable=False),
    Column("content", String(64), nullable=False),
    Column("sealed", Text),
    Column("counts", Text, nullable=False),
    Column("submitted", Float(53), nullable=False),
    Column("due", Float(53), nullable=False),
    Column("batch", Number),
    Index("requests_by_state", "state", "number"),
    Index("requests_by_due", "state", "due"),
    Index("requests_by_batch", "batch"),
)

asked: Final = Table(
    "asked",
    METADATA,
    Column("request", Number, primary_key=True, autoincrement=False),
    Column("kind", String(8), primary_key=True),
    Column("pseudonym", String(64), primary_key=True),
    Index("asked_by_pseudonym", "pseudonym"),
)
"""The samples and the owners that a request is for."""

samples: Final = Table(
    "samples",
    METADATA,
    Column("sample", String(64), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("spelled", String(64), nullable=False),
    Column("owner", String(64), nullable=False),
    Column("owner_spelled", String(64), nullable=False),
    Column("part", String(8), nullable=False),
    Column("batch", Number),
    Index("samples_by_name", "spelled"),
    Index("samples_by_owner", "owner_spelled"),
)
"""Every sample by its pseudonym, under those of its name and its owner; `batch` is the one that forgot it."""

batches: Final = Table(
    "batches",
    METADATA,
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("state", String(8), nullable=False),
    Column("attempts", Integer, nullable=False),
    Index("batches_by_state", "state"),
)
"""Requests that one unlearning is for."""

promotions: Final = Table(
    "promotions",
    METADATA,
    Column("event", Number, primary_key=True, autoincrement=False),
    Column("model", Text, nullable=False),
    Column("file", Text, nullable=False),
    Column("file_sha256", String(64), nullable=False),
    Column("weights_sha256", String(64), nullable=False),
    Column("batch", Number, nullable=False),
)
"""The models that served, the last of which does; `batch` is the last one that it has forgotten, 0 for none."""

leases: Final = Table(
    "leases",
    METADATA,
    Column("batch", Number, primary_key=True, autoincrement=False),
    Column("worker", Text, nullable=False),
    Column("token", String(32), nullable=False),
    Column("granted", Float(53), nullable=False),
    Column("seconds", Float(53), nullable=False),
)

totals: Final = Table(
    "totals",
    METADATA,
    Column("state", String(8), primary_key=True),
    Column("requests", Number, nullable=False),
)
"""How many requests are in each state, so that nobody counts a million of them to tell."""
