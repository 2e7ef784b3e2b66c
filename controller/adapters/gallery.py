"""The gallery on ClickHouse: in-process (chDB) or a server, by DSN only.

Idempotent: a sighting that comes twice is one row (ReplacingMergeTree over immutable fields), and
every read removes duplicates that are not merged yet. Durable: parts are fsynced before an insert
returns. chDB runs one query at a time, so a lock orders them.
"""

import threading
from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import clickhouse_connect
import numpy as np

from controller.errors import ControllerError
from controller.services.ports import GalleryRow, GalleryScope, GallerySlice

SCHEMA_VERSION: Final = 1
SLICE_ROWS: Final = 50_000
_COLUMNS: Final = (
    "epoch", "shard", "camera_id", "start_us", "id", "end_us", "time_uncertainty_s", "agent_id",
    "space_id", "variant", "template", "mask_state", "mask_probability", "quality", "face_count",
    "received_us",
)  # fmt: skip
_TYPES: Final = (
    "UInt32", "UInt16", "LowCardinality(String)", "Int64", "UUID", "Int64", "Float32",
    "LowCardinality(String)", "LowCardinality(String)", "LowCardinality(String)",
    "FixedString(192)", "LowCardinality(String)", "Float32", "Float32", "UInt32", "Int64",
)  # fmt: skip
_CREATE: Final = f"""
CREATE TABLE IF NOT EXISTS sightings (
  {", ".join(f"{n} {t}" for n, t in zip(_COLUMNS, _TYPES, strict=True))}
) ENGINE = ReplacingMergeTree(received_us) PARTITION BY epoch
ORDER BY (epoch, camera_id, start_us, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"""


class GalleryUnavailable(ControllerError):
    """The gallery cannot be opened, read or written."""


class Gallery:
    """All sightings of the retention period."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._migrate()

    @classmethod
    def open(cls, dsn: str) -> "Gallery":
        """Open `chdb:///path` or a ClickHouse DSN; raises `GalleryUnavailable`."""
        try:
            return cls(clickhouse_connect.get_client(dsn=dsn))
        except Exception as error:  # noqa: BLE001 - the driver raises many kinds
            where = urlsplit(dsn).scheme
            reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            raise GalleryUnavailable(
                f"gallery.dsn ({where}): cannot be opened ({reason}); is another controller "
                "process using it?"
            ) from None

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._client.close()

    def insert(self, rows: Sequence[GalleryRow]) -> None:
        """Write rows durably; repeated ids stay one sighting."""
        if not rows:
            return
        values = [
            [r.epoch, r.shard, r.camera_id, r.start_us, r.id, r.end_us, r.time_uncertainty_s,
             r.agent_id, r.space_id, r.variant, r.template, r.mask_state, r.mask_probability,
             r.quality, r.face_count, r.received_us]
            for r in rows
        ]  # fmt: skip
        with self._lock:
            self._client.insert("sightings", values, column_names=list(_COLUMNS))

    def count(self) -> int:
        """Return the number of different sightings, merges pending or not."""
        return int(self._query("SELECT uniqExact(id) FROM sightings")[0][0])

    def ids(self) -> set[UUID]:
        """Return the ids of all sightings (for verification at small scale)."""
        return {row[0] for row in self._query("SELECT DISTINCT id FROM sightings")}

    def days(self, scope: GalleryScope) -> list[tuple[int, int, int]]:
        """Return (epoch, shard, sightings) of what a scope holds."""
        where, values = _where(scope)
        rows = self._query(
            f"SELECT epoch, shard, uniqExact(id) FROM sightings WHERE {where} "
            "GROUP BY epoch, shard ORDER BY epoch, shard",
            values,
        )
        return [(int(e), int(s), int(n)) for e, s, n in rows]

    def scan(self, scope: GalleryScope) -> Iterator[GallerySlice]:
        """Yield the scope's sightings in slices of one epoch and shard, each sighting once."""
        for epoch, shard, _ in self.days(scope):
            last: tuple[str, int, UUID] = ("", -1, UUID(int=0))
            while True:
                rows = self._page(scope, epoch, shard, last)
                if rows:
                    yield _slice(epoch, shard, rows)
                if len(rows) < SLICE_ROWS:
                    break
                last = (rows[-1][1], int(rows[-1][2]), rows[-1][0])

    def purge_before(self, epoch: int) -> int:
        """Drop every epoch before this one with its disk space; return how many were dropped."""
        found = self._query("SELECT DISTINCT epoch FROM sightings WHERE epoch < {e:UInt32}",
                            {"e": epoch})  # fmt: skip
        with self._lock:
            for (old,) in found:
                self._client.command(f"ALTER TABLE sightings DROP PARTITION {int(old)}")
        return len(found)

    def _page(
        self, scope: GalleryScope, epoch: int, shard: int, last: tuple[str, int, UUID]
    ) -> list[tuple[Any, ...]]:
        where, values = _where(scope)
        values |= {"epoch": epoch, "shard": shard, "c": last[0], "s": last[1], "i": str(last[2])}
        return self._query(
            "SELECT id, camera_id, start_us, end_us, time_uncertainty_s, template, mask_state, "
            f"mask_probability, quality FROM sightings WHERE {where} AND epoch = {{epoch:UInt32}} "
            "AND shard = {shard:UInt16} "
            "AND (camera_id, start_us, id) > ({c:String}, {s:Int64}, toUUID({i:String})) "
            f"ORDER BY camera_id, start_us, id LIMIT 1 BY id LIMIT {SLICE_ROWS}",
            values,
        )

    def _migrate(self) -> None:
        with self._lock:
            self._client.command(
                "CREATE TABLE IF NOT EXISTS schema_version (version UInt32, at DateTime) "
                "ENGINE = MergeTree ORDER BY version"
            )
            found = self._client.query("SELECT max(version) FROM schema_version").result_rows[0][0]
            if int(found or 0) > SCHEMA_VERSION:
                raise GalleryUnavailable(
                    f"gallery: schema {found} is newer than this program's {SCHEMA_VERSION}; "
                    "install a newer sightline"
                )
            if not found:
                self._client.command(_CREATE)
                self._client.command(f"INSERT INTO schema_version VALUES ({SCHEMA_VERSION}, now())")

    def _query(self, sql: str, values: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        with self._lock:
            return list(
                self._client.query(
                    sql, parameters=values, query_formats={"FixedString": "bytes"}
                ).result_rows
            )


def _where(scope: GalleryScope) -> tuple[str, dict[str, Any]]:
    where = (
        "start_us <= {to:Int64} AND end_us >= {from:Int64} AND space_id = {space:String} "
        "AND epoch BETWEEN {first:UInt32} AND {last_epoch:UInt32}"
    )
    day_us = 86_400_000_000
    values: dict[str, Any] = {
        "from": scope.start_us, "to": scope.end_us, "space": scope.space_id,
        # A sighting belongs to the day it began in, so the day before may reach into the scope.
        "first": max(0, scope.start_us // day_us - 1), "last_epoch": scope.end_us // day_us,
    }  # fmt: skip
    if scope.camera_ids is not None:
        where += " AND camera_id IN {cameras:Array(String)}"
        values["cameras"] = list(scope.camera_ids)
    return where, values


def _slice(epoch: int, shard: int, rows: Sequence[tuple[Any, ...]]) -> GallerySlice:
    columns = list(zip(*rows, strict=True))
    raw = b"".join(bytes(t) for t in columns[5])
    return GallerySlice(
        epoch=epoch,
        shard=shard,
        ids=tuple(columns[0]),
        camera_ids=tuple(columns[1]),
        start_us=np.array(columns[2], np.int64),
        end_us=np.array(columns[3], np.int64),
        time_uncertainty_s=np.array(columns[4], float),
        templates=np.frombuffer(raw, np.int8).reshape(len(rows), -1),
        mask_states=tuple(columns[6]),
        mask_probability=np.array(columns[7], float),
        quality=np.array(columns[8], float),
    )
