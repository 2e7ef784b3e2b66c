"""ClickHouse as the gallery's durable truth: in-process (chDB) or a server, by DSN only.

Durable: parts are fsynced before an insert returns. chDB runs one query at a time, so a lock
orders them; every statement here is short or pages, so that an insert never waits for long.
"""

import threading
from collections.abc import Iterator, Sequence
from typing import Any, Final
from uuid import UUID

from controller.adapters.gallery.connect import connect, unavailable
from controller.adapters.gallery.schema import COLUMNS, TABLE, drop_partition, everywhere, migrate
from controller.errors import ControllerError
from controller.services.ports import GalleryRow

PAGE_ROWS: Final = 50_000
COPY_ROWS: Final = 20_000
"""Of a page that leaves while sightings come in: an insert waits for one or two of them."""
_FIELDS: Final = tuple(name for name in COLUMNS if name != "stored_us")
_PAGE: Final = (
    "WHERE epoch = {epoch:UInt32} AND shard = {shard:UInt16} AND stored_us > {after:Int64} "
    "AND (camera_id, start_us, id) > ({c:String}, {s:Int64}, toUUID({i:String})) "
    "ORDER BY camera_id, start_us, id"
)


class SightingStore:
    """All sightings of the retention period, as ClickHouse keeps them."""

    def __init__(self, client: Any, *, cluster: str | None = None) -> None:
        self._client, self._cluster = client, cluster
        self._lock = threading.Lock()
        with self._lock:
            migrate(client, cluster=cluster)

    @classmethod
    def open(cls, dsn: str, *, cluster: str | None = None) -> "SightingStore":
        """Open `chdb:///path` or a ClickHouse DSN; raises `GalleryUnavailable`."""
        client = connect(dsn, cluster=cluster)
        try:
            return cls(client, cluster=cluster)
        except ControllerError:
            client.close()
            raise
        except Exception as error:  # noqa: BLE001 - the driver raises many kinds
            client.close()
            raise unavailable(dsn, error) from None

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._client.close()

    def insert(self, rows: Sequence[GalleryRow], *, stored_us: int) -> None:
        """Write rows durably; a repeated id is one sighting once parts have merged."""
        columns = [_column(rows, name) for name in _FIELDS]
        with self._lock:
            self._client.insert(
                TABLE,
                [*columns, [stored_us] * len(rows)],
                column_names=[*_FIELDS, "stored_us"],
                column_oriented=True,
            )

    def last_stored_us(self) -> int:
        """Return when the newest row was stored, -1 if there is none."""
        found = self._query(f"SELECT count(), max(stored_us) FROM {TABLE}")[0]
        return int(found[1]) if found[0] else -1

    def counts(self) -> dict[tuple[int, int, str], int]:
        """Return the different sightings of each (epoch, shard, space), merges pending or not."""
        rows = self._query(
            f"SELECT epoch, shard, space_id, uniqExact(id) FROM {TABLE} "
            "GROUP BY epoch, shard, space_id"
        )
        return {(int(e), int(s), str(space)): int(n) for e, s, space, n in rows}

    def ids(self, *, stored_after_us: int = -1, limit: int = 0) -> list[UUID]:
        """Return ids stored after a time, newest first; all of them without a limit."""
        cut = f" ORDER BY stored_us DESC LIMIT {int(limit)}" if limit else ""
        return [
            row[0]
            for row in self._query(
                f"SELECT id FROM {TABLE} WHERE stored_us > {{after:Int64}}{cut}",
                {"after": stored_after_us},
            )
        ]

    def sighting(self, sighting_id: UUID, first_epoch: int, last_epoch: int) -> GalleryRow | None:
        """Return one sighting of these epochs, or None; reads their ids, so ask for few days."""
        rows = self._query(
            f"SELECT {', '.join(_FIELDS)} FROM {TABLE} "
            "PREWHERE id = toUUID({i:String}) WHERE epoch BETWEEN {a:UInt32} AND {b:UInt32} "
            "LIMIT 1",
            {"i": str(sighting_id), "a": max(first_epoch, 0), "b": last_epoch},
        )
        return GalleryRow(**dict(zip(_FIELDS, rows[0], strict=True))) if rows else None

    def rows_after(self, stored_us: int) -> Iterator[list[GalleryRow]]:
        """Yield, in pages, every sighting stored after a time, each once."""
        parts = self._query(
            f"SELECT DISTINCT epoch, shard FROM {TABLE} WHERE stored_us > {{after:Int64}} "
            "ORDER BY epoch, shard",
            {"after": stored_us},
        )
        for epoch, shard in parts:
            last: tuple[str, int, UUID] = ("", -1, UUID(int=0))
            while True:
                page = self._page(int(epoch), int(shard), stored_us, last)
                if page:
                    yield page
                if len(page) < PAGE_ROWS:
                    break
                last = (page[-1].camera_id, page[-1].start_us, page[-1].id)

    def drop_before(self, epoch: int) -> int:
        """Drop every epoch before this one with its disk space; return how many were dropped."""
        found = self._query(f"SELECT DISTINCT epoch FROM {TABLE} WHERE epoch < {{e:UInt32}}",
                            {"e": epoch})  # fmt: skip
        for (old,) in found:
            with self._lock:
                self._client.command(drop_partition(old, cluster=self._cluster))
        return len(found)

    def disk_bytes(self) -> int:
        """Return the bytes of the rows on the disks of all machines, by ClickHouse's own count."""
        (database,) = self._query("SELECT currentDatabase()")[0]
        found = self._query(
            f"SELECT sum(bytes_on_disk) FROM {everywhere('system.parts', self._cluster)} "
            "WHERE active AND database = {d:String} AND table = {t:String}",
            {"d": database, "t": TABLE if self._cluster is None else f"{TABLE}_local"},
        )
        return int(found[0][0] or 0)

    def shards(self, epoch: int) -> dict[int, int]:
        """Return the shards of an epoch, each with when its newest row was stored."""
        rows = self._query(
            f"SELECT shard, max(stored_us) FROM {TABLE} WHERE epoch = {{e:UInt32}} GROUP BY shard",
            {"e": epoch},
        )
        return {int(shard): int(newest) for shard, newest in rows}

    def different(self, epoch: int, shard: int) -> int:
        """Return how many different sightings a shard of an epoch has."""
        where = "WHERE epoch = {e:UInt32} AND shard = {s:UInt16}"
        found = self._query(f"SELECT uniqExact(id) FROM {TABLE} {where}", {"e": epoch, "s": shard})
        return int(found[0][0])

    def arrow_pages(self, epoch: int, shard: int, after_us: int) -> Iterator[Any]:
        """Yield what was stored after a time as Arrow tables of all columns, a page at a time.

        Every row that is there at the start is in one page, or a newer version of it.
        """
        last: tuple[str, int, UUID] = ("", -1, UUID(int=0))
        while True:
            with self._lock:
                page = self._client.query_arrow(
                    f"SELECT {', '.join(COLUMNS)} FROM {TABLE} {_PAGE} LIMIT {COPY_ROWS}",
                    parameters=_page_values(epoch, shard, after_us, last),
                )
            if page.num_rows:
                yield page
            if page.num_rows < COPY_ROWS:
                return
            last = tuple(page.column(n)[-1].as_py() for n in ("camera_id", "start_us", "id"))

    def insert_arrow(self, page: Any) -> None:
        """Write back what `arrow_pages` gave, with the times at which it was stored."""
        with self._lock:
            self._client.insert_arrow(TABLE, page)

    def _page(
        self, epoch: int, shard: int, after_us: int, last: tuple[str, int, UUID]
    ) -> list[GalleryRow]:
        rows = self._query(
            f"SELECT {', '.join(_FIELDS)} FROM {TABLE} {_PAGE} LIMIT 1 BY id LIMIT {PAGE_ROWS}",
            _page_values(epoch, shard, after_us, last),
        )
        return [GalleryRow(**dict(zip(_FIELDS, row, strict=True))) for row in rows]

    def _query(self, sql: str, values: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        with self._lock:
            return list(
                self._client.query(
                    sql, parameters=values, query_formats={"FixedString": "bytes"}
                ).result_rows
            )


def _column(rows: Sequence[GalleryRow], name: str) -> list[Any]:
    return [getattr(row, name) for row in rows]


def _page_values(
    epoch: int, shard: int, after_us: int, last: tuple[str, int, UUID]
) -> dict[str, Any]:
    return {
        "epoch": epoch, "shard": shard, "after": after_us,
        "c": last[0], "s": last[1], "i": str(last[2]),
    }  # fmt: skip
