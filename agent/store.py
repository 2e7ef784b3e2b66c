"""The box's one database: tracklets, spool, keys and seen queries, in SQLite with WAL.

A tracklet and its place in the spool are written in one transaction, so neither a crash nor a
power cut can lose a sighting between them. Everything but ids and times is encrypted.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

import cbor2

from agent.crypt import RowCipher
from agent.records import StoredTracklet, from_bytes, to_bytes
from wire.ids import uuid7

SCHEMA_VERSION: Final = 1
MAX_LOOKBACK_TRACKLETS: Final = 2000
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS tracklets (
  id BLOB PRIMARY KEY, start_us INTEGER NOT NULL, end_us INTEGER NOT NULL, epoch INTEGER NOT NULL,
  state TEXT NOT NULL, sealed BLOB NOT NULL, size INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS tracklets_by_time ON tracklets (start_us);
CREATE INDEX IF NOT EXISTS tracklets_by_state ON tracklets (state, start_us);
CREATE TABLE IF NOT EXISTS spool (
  stream TEXT NOT NULL, seq INTEGER NOT NULL, topic TEXT NOT NULL, sealed BLOB NOT NULL,
  size INTEGER NOT NULL, PRIMARY KEY (stream, seq));
CREATE TABLE IF NOT EXISTS queries (query_id BLOB PRIMARY KEY, nonce BLOB NOT NULL UNIQUE,
  expires_us INTEGER NOT NULL);
"""
# States of a tracklet: no key yet -> ready to be batched -> batched; or kept locally only.
NO_KEY: Final = "no_key"
READY: Final = "ready"
SPOOLED: Final = "spooled"
LOCAL: Final = "local"


@dataclass(frozen=True, slots=True)
class SpoolEntry:
    """One spooled message, as it will be published."""

    stream: str
    seq: int
    topic: str
    payload: bytes


class Store:
    """All that a box remembers; safe for several threads."""

    def __init__(self, path: Path, store_key: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._cipher = RowCipher(store_key)
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_TABLES)
        self.spool_ids = {s: self._spool_id(s) for s in ("sightings", "replies")}

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._db.close()

    # -- tracklets ---------------------------------------------------------------------------

    def add_tracklet(self, stored: StoredTracklet, state: str) -> bool:
        """Keep a tracklet; False if it was already there (a recording read again)."""
        data = self._cipher.seal(to_bytes(stored), stored.id.bytes)
        with self._transaction():
            cursor = self._db.execute(
                "INSERT OR IGNORE INTO tracklets VALUES (?,?,?,?,?,?,?)",
                (stored.id.bytes, stored.start_us, stored.end_us, stored.epoch, state, data,
                 len(data)),
            )  # fmt: skip
            return cursor.rowcount == 1

    def update_tracklet(self, stored: StoredTracklet, state: str) -> None:
        """Replace a tracklet's content and state, as when its key has come."""
        data = self._cipher.seal(to_bytes(stored), stored.id.bytes)
        with self._transaction():
            self._db.execute(
                "UPDATE tracklets SET state=?, sealed=?, size=? WHERE id=?",
                (state, data, len(data), stored.id.bytes),
            )

    def in_state(self, state: str, limit: int) -> list[StoredTracklet]:
        """Return the oldest tracklets of a state."""
        return self._tracklets("state=? ORDER BY start_us, id LIMIT ?", (state, limit))

    def overlapping(self, start_us: int, end_us: int) -> list[StoredTracklet]:
        """Return the tracklets that overlap an interval, oldest first (at most 2,000)."""
        return self._tracklets(
            "start_us<=? AND end_us>=? ORDER BY start_us, id LIMIT ?",
            (end_us, start_us, MAX_LOOKBACK_TRACKLETS),
        )

    def tracklet_ids(self) -> list[UUID]:
        """Return the ids of all tracklets kept."""
        with self._lock:
            rows = self._db.execute("SELECT id FROM tracklets").fetchall()
        return [UUID(bytes=row[0]) for row in rows]

    def purge(self, *, before_us: int, max_bytes: int) -> int:
        """Drop tracklets that ended before a time, then the oldest beyond the size; count them.

        Tracklets that are not yet delivered to the spool are never dropped.
        """
        with self._transaction():
            done = self._db.execute(
                "DELETE FROM tracklets WHERE end_us<? AND state IN (?,?)",
                (before_us, SPOOLED, LOCAL),
            ).rowcount
            excess = self._sum("tracklets") - max_bytes
            if excess <= 0:
                return done
            rows = self._db.execute(
                "SELECT id, size FROM tracklets WHERE state IN (?,?) ORDER BY start_us",
                (SPOOLED, LOCAL),
            )
            victims = []
            for key, size in rows:
                if excess <= 0:
                    break
                victims.append((key,))
                excess -= size
            self._db.executemany("DELETE FROM tracklets WHERE id=?", victims)
            return done + len(victims)

    def _tracklets(self, where: str, values: tuple[object, ...]) -> list[StoredTracklet]:
        with self._lock:
            rows = self._db.execute(
                f"SELECT id, sealed FROM tracklets WHERE {where}",
                values,
            ).fetchall()
        return [from_bytes(self._cipher.open(sealed, key)) for key, sealed in rows]

    # -- spool -------------------------------------------------------------------------------

    def spool(
        self, stream: str, topic: str, make: Callable[[int], bytes], spooled: tuple[UUID, ...] = ()
    ) -> int:
        """Append a message and mark its tracklets as spooled, in one transaction.

        `make` gets the sequence number and returns the payload. Returns the number.
        """
        with self._transaction():
            seq = int.from_bytes(self._meta(f"next_{stream}", b"\x01"), "big")
            payload = make(seq)
            sealed = self._cipher.seal(payload, f"{stream}|{seq}".encode())
            self._db.execute(
                "INSERT INTO spool VALUES (?,?,?,?,?)", (stream, seq, topic, sealed, len(sealed))
            )
            self._set_meta(f"next_{stream}", (seq + 1).to_bytes(8, "big"))
            self._db.executemany(
                "UPDATE tracklets SET state=? WHERE id=?", [(SPOOLED, i.bytes) for i in spooled]
            )
            return seq

    def pending(self, stream: str, after_seq: int, limit: int) -> list[SpoolEntry]:
        """Return unacknowledged messages with a number above `after_seq`, in order."""
        with self._lock:
            rows = self._db.execute(
                "SELECT seq, topic, sealed FROM spool WHERE stream=? AND seq>? ORDER BY seq "
                "LIMIT ?",
                (stream, after_seq, limit),
            ).fetchall()
        return [
            SpoolEntry(stream, seq, topic, self._cipher.open(sealed, f"{stream}|{seq}".encode()))
            for seq, topic, sealed in rows
        ]

    def acknowledge(self, stream: str, acked_seq: int) -> int:
        """Drop the messages up to a number that the controller has signed for; count them."""
        with self._transaction():
            return self._db.execute(
                "DELETE FROM spool WHERE stream=? AND seq<=?", (stream, acked_seq)
            ).rowcount

    def spool_size(self) -> tuple[int, int]:
        """Return how many messages wait for acknowledgement, and their bytes."""
        with self._lock:
            count, size = self._db.execute(
                "SELECT COUNT(*), COALESCE(SUM(size), 0) FROM spool"
            ).fetchone()
        return count, size

    def store_bytes(self) -> int:
        """Return the bytes of all tracklets kept."""
        with self._lock:
            return self._sum("tracklets")

    # -- keys, queries, births ---------------------------------------------------------------

    def load_keys(self) -> dict[tuple[int, int], bytes]:
        """Return the shard keys of the last delivery."""
        with self._lock:
            sealed = self._meta("keys", b"")
        if not sealed:
            return {}
        rows = cbor2.loads(self._cipher.open(sealed, b"keys"))
        return {(epoch, shard): key for epoch, shard, key in rows}

    def replace_keys(self, keys: Mapping[tuple[int, int], bytes]) -> None:
        """Keep these shard keys (encrypted) and no others."""
        rows = [[epoch, shard, key] for (epoch, shard), key in keys.items()]
        with self._transaction():
            self._set_meta("keys", self._cipher.seal(cbor2.dumps(rows), b"keys"))

    def load_cohort(self) -> bytes:
        """Return the statistics of the faces seen; empty if there are none."""
        with self._lock:
            sealed = self._meta("cohort", b"")
        return self._cipher.open(sealed, b"cohort") if sealed else b""

    def save_cohort(self, data: bytes) -> None:
        """Keep the statistics of the faces seen, encrypted."""
        with self._transaction():
            self._set_meta("cohort", self._cipher.seal(data, b"cohort"))

    def remember_query(self, query_id: UUID, nonce: bytes, expires_us: int, now_us: int) -> bool:
        """Remember a query until it expires; False if it, or its nonce, was seen before."""
        with self._transaction():
            self._db.execute("DELETE FROM queries WHERE expires_us<?", (now_us,))
            cursor = self._db.execute(
                "INSERT OR IGNORE INTO queries VALUES (?,?,?)", (query_id.bytes, nonce, expires_us)
            )
            return cursor.rowcount == 1

    def next_birth(self) -> int:
        """Return a new `bd_seq`, one higher than the last."""
        with self._transaction():
            value = int.from_bytes(self._meta("bd_seq", b"\x00"), "big") + 1
            self._set_meta("bd_seq", value.to_bytes(8, "big"))
            return value

    # -- plumbing ----------------------------------------------------------------------------

    def _spool_id(self, stream: str) -> UUID:
        with self._transaction():
            found = self._meta(f"spool_{stream}", b"")
            if not found:
                found = uuid7(unix_ms=0).bytes
                self._set_meta(f"spool_{stream}", found)
            return UUID(bytes=found)

    def _meta(self, name: str, default: bytes) -> bytes:
        row = self._db.execute("SELECT value FROM meta WHERE name=?", (name,)).fetchone()
        return default if row is None else bytes(row[0])

    def _set_meta(self, name: str, value: bytes) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?,?)", (name, value))

    def _sum(self, table: str) -> int:
        query = f"SELECT COALESCE(SUM(size), 0) FROM {table}"
        return int(self._db.execute(query).fetchone()[0])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            if self._db.in_transaction:
                yield
                return
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
