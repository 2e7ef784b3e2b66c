"""The gallery's tables and how an older gallery becomes a newer one.

Partitioned and ordered by what never changes of a sighting, so that one that comes twice is one
row. With a cluster name the same tables are replicated and spread over its machines by camera.
"""

from typing import Any, Final

from controller.errors import ControllerError

SCHEMA_VERSION: Final = 2
TABLE: Final = "sightings"
# Measured on 300,000 rows: 205 bytes each, of which the template takes 180.
COLUMNS: Final = {
    "epoch": "UInt32 CODEC(ZSTD(1))",
    "shard": "UInt16 CODEC(ZSTD(1))",
    "camera_id": "LowCardinality(String) CODEC(ZSTD(1))",
    "start_us": "Int64 CODEC(Delta, ZSTD(1))",
    "id": "UUID CODEC(ZSTD(1))",
    "end_us": "Int64 CODEC(Delta, ZSTD(1))",
    "time_uncertainty_s": "Float32 CODEC(ZSTD(1))",
    "clock_offset_s": "Float32 CODEC(ZSTD(1))",
    "agent_id": "LowCardinality(String) CODEC(ZSTD(1))",
    "space_id": "LowCardinality(String) CODEC(ZSTD(1))",
    "variant": "LowCardinality(String) CODEC(ZSTD(1))",
    "template": "FixedString(192) CODEC(ZSTD(1))",
    "mask_state": "LowCardinality(String) CODEC(ZSTD(1))",
    "mask_probability": "Float32 CODEC(ZSTD(1))",
    "quality": "Float32 CODEC(ZSTD(1))",
    "face_count": "UInt32 CODEC(T64, ZSTD(1))",
    "stored_us": "Int64 CODEC(Delta, ZSTD(1))",
}
_ORDER: Final = "(epoch, shard, camera_id, start_us, id)"
_DURABLE: Final = "fsync_after_insert = 1, fsync_part_directory = 1"
_WATERMARK: Final = "INDEX stored_us_range stored_us TYPE minmax GRANULARITY 4"


class SchemaTooNew(ControllerError):
    """The gallery was written by a newer program."""


class SchemaTooOld(ControllerError):
    """The gallery's tables are older than this program can bring up to date."""


def create_table(name: str, *, cluster: str | None = None) -> list[str]:
    """Return the statements that make the table; several for a cluster.

    On a cluster each machine holds the rows of its cameras in `<name>_local`, replicated, and
    `<name>` is what everybody reads and writes.
    """
    columns = ", ".join(f"{column} {kind}" for column, kind in COLUMNS.items())
    body = f"({columns}, {_WATERMARK})"
    layout = f"PARTITION BY epoch ORDER BY {_ORDER} SETTINGS {_DURABLE}"
    if cluster is None:
        return [f"CREATE TABLE IF NOT EXISTS {name} {body} "
                f"ENGINE = ReplacingMergeTree(stored_us) {layout}"]  # fmt: skip
    path = f"/clickhouse/tables/{{shard}}/{{database}}/{name}"
    replicated = f"ReplicatedReplacingMergeTree('{path}', '{{replica}}', stored_us)"
    return [
        f"CREATE TABLE IF NOT EXISTS {name}_local ON CLUSTER '{cluster}' {body} "
        f"ENGINE = {replicated} {layout}",
        f"CREATE TABLE IF NOT EXISTS {name} ON CLUSTER '{cluster}' AS {name}_local "
        f"ENGINE = Distributed('{cluster}', currentDatabase(), {name}_local, "
        "cityHash64(camera_id))",
    ]


def drop_partition(epoch: int, *, cluster: str | None = None) -> str:
    """Return the statement that erases one epoch and gives its disk back."""
    table = TABLE if cluster is None else f"{TABLE}_local ON CLUSTER '{cluster}'"
    return f"ALTER TABLE {table} DROP PARTITION {int(epoch)}"


def everywhere(table: str, cluster: str | None) -> str:
    """Return what to read a table from that each machine of a cluster keeps for itself."""
    return table if cluster is None else f"clusterAllReplicas('{cluster}', {table})"


def migrate(client: Any, *, cluster: str | None = None) -> None:
    """Bring the gallery to this program's schema; raises `SchemaTooNew` or `SchemaTooOld`.

    Every step can be interrupted and done again.
    """
    on_cluster = "" if cluster is None else f" ON CLUSTER '{cluster}'"
    client.command(
        f"CREATE TABLE IF NOT EXISTS schema_version{on_cluster} (version UInt32, at DateTime) "
        "ENGINE = MergeTree ORDER BY version"
    )
    versions = (
        "schema_version"
        if cluster is None
        else everywhere("currentDatabase(), schema_version", cluster)
    )
    found = int(client.query(f"SELECT max(version) FROM {versions}").result_rows[0][0] or 0)
    if found > SCHEMA_VERSION:
        raise SchemaTooNew(
            f"gallery: schema {found} is newer than this program's {SCHEMA_VERSION}; "
            "install a newer sightline"
        )
    if found == SCHEMA_VERSION:
        return
    if found == 1 and cluster is not None:
        raise SchemaTooOld(
            "gallery: schema 1 on a cluster cannot be migrated; name a new, empty database in "
            "gallery.dsn and let the old one end with its retention"
        )
    if found == 1:
        _from_1(client)
    for statement in create_table(TABLE, cluster=cluster):
        client.command(statement)
    client.command(f"INSERT INTO schema_version VALUES ({SCHEMA_VERSION}, now())")


def _from_1(client: Any) -> None:
    """Order by shard before camera, compress, and tell when a row was stored.

    The copy has a name of its own until it is whole, epoch by epoch; then one RENAME swaps.
    """
    newer = client.query(f"DESCRIBE TABLE {TABLE}").result_rows
    if "stored_us" not in {row[0] for row in newer}:
        for statement in create_table("sightings_2"):
            client.command(statement)
        epochs = client.query(f"SELECT DISTINCT epoch FROM {TABLE} ORDER BY epoch").result_rows
        old = {"clock_offset_s": "0", "stored_us": "received_us"}
        values = ", ".join(f"{old.get(name, name)} AS {name}" for name in COLUMNS)
        for (epoch,) in epochs:
            client.command(f"ALTER TABLE sightings_2 DROP PARTITION {int(epoch)}")
            client.command(
                f"INSERT INTO sightings_2 ({', '.join(COLUMNS)}) SELECT {values} FROM {TABLE} "
                f"WHERE epoch = {int(epoch)}"
            )
        client.command(f"RENAME TABLE {TABLE} TO sightings_1, sightings_2 TO {TABLE}")
    client.command("DROP TABLE IF EXISTS sightings_1 SYNC")
