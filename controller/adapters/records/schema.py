"""The tables of the records; only types that SQLite and PostgreSQL both have."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)

SCHEMA_VERSION: Final = 1
metadata: Final = MetaData()

schema_version = Table("schema_version", metadata, Column("version", Integer, primary_key=True))

users = Table(
    "users",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("role", String(32), nullable=False),
    Column("password_hash", String(256), nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("token_sha256", LargeBinary(32), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("expires_us", BigInteger, nullable=False),
)

agents = Table(
    "agents",
    metadata,
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("agent_id", String(64), nullable=False, unique=True),
    Column("camera_id", String(64), nullable=False, unique=True),
    Column("signing_public", LargeBinary(32), nullable=False, unique=True),
    Column("sealing_public", LargeBinary(32), nullable=False),
    Column("x_m", Float, nullable=False),
    Column("y_m", Float, nullable=False),
    Column("shard", Integer, nullable=False),
    Column("label", String(256), nullable=False),
    Column("coverage_radius_m", Float, nullable=True),
    Column("registered_us", BigInteger, nullable=False),
)

agent_seen = Table(
    "agent_seen",
    metadata,
    Column("agent_id", String(64), primary_key=True),
    Column("online", Boolean, nullable=False),
    Column("bd_seq", BigInteger, nullable=False),
    Column("last_seen_us", BigInteger, nullable=False),
    Column("space_id", String(64), nullable=False),
    Column("variant", String(64), nullable=False),
    Column("state_json", Text, nullable=False),
    Column("health_json", Text, nullable=False),
)

epoch_keys = Table(
    "epoch_keys",
    metadata,
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("wrapped", LargeBinary(128), nullable=False),
    Column("created_us", BigInteger, nullable=False),
)

cases = Table(
    "cases",
    metadata,
    Column("case_id", Uuid, primary_key=True),
    Column("label", String(128), nullable=False),
    Column("legal_basis", String(64), nullable=False),
    Column("onset_date", String(10), nullable=True),
    Column("specimen_date", String(10), nullable=True),
    Column("scope_json", Text, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("opened_by", String(64), nullable=False),
    Column("opened_us", BigInteger, nullable=False),
    Column("wrapped_key", LargeBinary(128), nullable=False),
    Column("reply_public", LargeBinary(32), nullable=False),
    Column("reply_private_sealed", LargeBinary(128), nullable=False),
    Column("state", String(16), nullable=False),
    Column("approved_by", String(64), nullable=True),
    Column("approved_us", BigInteger, nullable=True),
    Column("step", String(256), nullable=False),
    Column("fault", String(512), nullable=False),
)

case_photos = Table(
    "case_photos",
    metadata,
    Column("photo_id", Uuid, primary_key=True),
    Column("case_id", Uuid, nullable=False, index=True),
    Column("photo", LargeBinary, nullable=False),
    Column("probe", LargeBinary, nullable=False),
)

case_results = Table(
    "case_results",
    metadata,
    Column("case_id", Uuid, primary_key=True),
    Column("kind", String(64), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)

queries = Table(
    "queries",
    metadata,
    Column("query_id", Uuid, primary_key=True),
    Column("case_id", Uuid, nullable=False, index=True),
    Column("agent_id", String(64), nullable=False),
    Column("camera_id", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("reason", String(512), nullable=False),
    Column("start_us", BigInteger, nullable=False),
    Column("end_us", BigInteger, nullable=False),
    Column("issued_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("detail", String(512), nullable=False),
)

replies = Table(
    "replies",
    metadata,
    Column("query_id", Uuid, primary_key=True),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("case_id", Uuid, nullable=False, index=True),
    Column("agent_id", String(64), nullable=False),
    Column("received_us", BigInteger, nullable=False),
    Column("message", LargeBinary, nullable=False),
)

upload_grants = Table(
    "upload_grants",
    metadata,
    Column("token_sha256", LargeBinary(32), primary_key=True),
    Column("case_id", Uuid, nullable=False, index=True),
    Column("query_id", Uuid, nullable=False),
    Column("camera_id", String(64), nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("max_pictures", Integer, nullable=False),
)

evidence = Table(
    "evidence",
    metadata,
    Column("evidence_id", Uuid, primary_key=True),
    Column("case_id", Uuid, nullable=False, index=True),
    Column("query_id", Uuid, nullable=False),
    Column("camera_id", String(64), nullable=False),
    Column("sha256", LargeBinary(32), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("received_us", BigInteger, nullable=False),
    Column("accepted", Boolean, nullable=False),
    Column("captured_us", BigInteger, nullable=True),
    Column("tracklet_id", Uuid, nullable=True),
    Column("similarity", Float, nullable=True),
)

# What is erased with a case; the case row itself, with the wrapped key, goes first.
CASE_TABLES: Final = (cases, case_photos, case_results, queries, replies, upload_grants, evidence)

tombstones = Table(
    "tombstones",
    metadata,
    Column("case_id", Uuid, primary_key=True),
    Column("state", String(16), nullable=False),
    Column("ended_us", BigInteger, nullable=False),
    Column("counts_json", Text, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at_us", BigInteger, nullable=False),
    Column("actor", String(64), nullable=False),
    Column("action", String(64), nullable=False),
    Column("subject", String(128), nullable=False),
    Column("detail", Text, nullable=False),
    Column("prev_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)

cursors = Table(
    "cursors",
    metadata,
    Column("agent_id", String(64), primary_key=True),
    Column("stream", String(16), primary_key=True),
    Column("spool_id", Uuid, primary_key=True),
    Column("acked_seq", BigInteger, nullable=False),
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("at_us", BigInteger, nullable=False),
    Column("topic", String(256), nullable=False),
    Column("reason", String(512), nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
)

counters = Table(
    "counters",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

Index("ix_queries_case_issued", queries.c.case_id, queries.c.issued_us)
UniqueConstraint(audit.c.hash)
