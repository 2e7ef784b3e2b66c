"""The cluster's statements as the engine reads them, and what a client of a cluster asks for."""

from pathlib import Path

import pytest

from controller.adapters.gallery import Gallery
from controller.adapters.gallery.connect import connect
from controller.adapters.gallery.schema import SchemaTooOld, create_table, drop_partition
from tests.integration.gallery.conftest import new_database
from tests.integration.gallery.places import CLUSTER, Endpoint


def test_the_engine_can_read_every_statement_for_a_cluster(endpoint: Endpoint) -> None:
    client = connect(endpoint.dsn())
    local, spread = create_table("sightings", cluster=CLUSTER)
    # The endpoint takes replication and ON CLUSTER out; as a string the whole text is parsed.
    for statement in (local, spread, drop_partition(20_400, cluster=CLUSTER)):
        text = client.query(
            "SELECT formatQuery({s:String})", parameters={"s": statement}
        ).result_rows[0][0]
        assert f"ON CLUSTER {CLUSTER}" in text.replace("`", "").replace("'", "")
    with pytest.raises(Exception, match="Syntax error"):
        client.query("SELECT formatQuery({s:String})", parameters={"s": f"{local} NONSENSE ("})
    client.close()


def test_a_cluster_is_asked_to_answer_only_once_rows_are_stored(endpoint: Endpoint) -> None:
    names = ("distributed_foreground_insert", "insert_quorum", "select_sequential_consistency")
    question = f"SELECT {', '.join(f'getSetting({name!r})' for name in names)}"
    for dsn, cluster, expected in (
        (endpoint.dsn(), CLUSTER, (True, "auto", 1)),
        (f"{endpoint.dsn()}?ch_insert_quorum=0", CLUSTER, (True, 0, 1)),
        (endpoint.dsn(), None, (False, 0, 0)),
    ):
        client = connect(dsn, cluster=cluster)
        assert client.query(question).result_rows[0] == expected
        client.close()


def test_a_cluster_with_the_first_schema_is_left_alone(endpoint: Endpoint, tmp_path: Path) -> None:
    for place in new_database(endpoint.dsn(), tmp_path, CLUSTER):
        client = connect(place.dsn)
        client.command("CREATE TABLE schema_version (version UInt32, at DateTime) "
                       "ENGINE = MergeTree ORDER BY version")  # fmt: skip
        client.command("INSERT INTO schema_version VALUES (1, now())")
        with pytest.raises(SchemaTooOld, match="new, empty database"):
            Gallery.open(place.dsn, place.search_dir, cluster=CLUSTER)
        client.close()
