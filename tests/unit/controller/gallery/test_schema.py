"""The statements that make the tables: one for a machine, two for a cluster."""

from controller.adapters.gallery.schema import COLUMNS, TABLE, create_table, drop_partition


def test_one_machine_has_one_durable_table_ordered_by_what_never_changes() -> None:
    (statement,) = create_table(TABLE)
    assert "ENGINE = ReplacingMergeTree(stored_us)" in statement
    assert "PARTITION BY epoch ORDER BY (epoch, shard, camera_id, start_us, id)" in statement
    assert "fsync_after_insert = 1" in statement
    assert all(f"{name} " in statement for name in COLUMNS)


def test_a_cluster_has_replicas_of_local_tables_and_one_spread_by_camera() -> None:
    local, spread = create_table(TABLE, cluster="city")
    assert local.startswith("CREATE TABLE IF NOT EXISTS sightings_local ON CLUSTER 'city'")
    assert "ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/sightings'" in local
    assert (
        "Distributed('city', currentDatabase(), sightings_local, cityHash64(camera_id))" in spread
    )


def test_a_day_is_dropped_where_its_rows_lie() -> None:
    assert drop_partition(20_400) == "ALTER TABLE sightings DROP PARTITION 20400"
    assert "sightings_local ON CLUSTER 'city'" in drop_partition(20_400, cluster="city")
