"""The gallery on every kind of store, each test in a process of its own: chDB opens one path."""

import subprocess
import sys

import pytest

from tests.integration.gallery.places import Place, run, started


def test_a_sighting_that_comes_three_times_is_one_and_is_found_once(place: Place) -> None:
    facts = run(place, """
rows = [row(i) for i in range(300)]
for _ in range(3): gallery.insert(rows)
done(count=gallery.count(), found=found(template(7)) == [str(rows[7].id)],
     shards=[(s.shard, s.rows) for s in gallery.segments(scope())], differences=gallery.verify(),
     one_camera=sum(s.rows for s in gallery.segments(scope(("cam-1",)))))
""")  # fmt: skip
    assert facts == {"count": 300, "found": True, "shards": [[0, 150], [1, 150]],
                     "one_camera": 100, "differences": []}  # fmt: skip


def test_what_is_found_is_what_was_stored(place: Place) -> None:
    facts = run(place, """
import dataclasses
one = dataclasses.replace(row(5), clock_offset_s=-2.5)
gallery.insert([row(i) for i in range(5)] + [one])
(segment,) = [s for s in gallery.segments(scope()) if s.shard == one.shard]
vector = template(5).astype(np.float32)[None]; vector /= np.linalg.norm(vector)
hits = gallery.search(segment, vector, np.full((1, 4), 0.99, np.float32))
done(id=hits.ids[0].tobytes() == one.id.bytes, camera=hits.cameras[hits.camera[0]],
     variant=hits.variants[hits.variant[0]],
     start_off_us=abs(int(hits.start_us[0]) - (one.start_us - 2_500_000)) <= 1_000,
     uncertainty=0.5 <= float(hits.time_uncertainty_s[0]) < 0.6, mask=int(hits.masks[0]),
     quality=round(float(hits.quality[0]), 2), cosine=round(float(hits.similarity[0, 0]), 5))
""")  # fmt: skip
    assert facts == {"id": True, "camera": "cam-2", "variant": "float", "start_off_us": True,
                     "uncertainty": True, "mask": 1, "quality": 0.5, "cosine": 1.0}  # fmt: skip


def test_purging_drops_whole_days_and_nothing_else(place: Place) -> None:
    facts = run(place, """
gallery.insert([row(i, day) for day in range(3) for i in range(10)])
before = gallery.stats()["search_bytes"]
dropped = gallery.purge_before(row(0, 2).epoch)
done(dropped=dropped, left=gallery.count(), smaller=gallery.stats()["search_bytes"] < before,
     differences=gallery.verify())
""")  # fmt: skip
    assert facts == {"dropped": 2, "left": 10, "smaller": True, "differences": []}


def test_what_insert_returned_for_survives_kill_9_and_is_found(place: Place) -> None:
    killed = started(place, """
import os, signal
gallery.insert([row(i) for i in range(50)])
gallery._checkpoint_due_s = 0.0
gallery.maintain()
gallery.insert([row(i) for i in range(50, 100)])
print("inserted", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
""")  # fmt: skip
    assert "inserted" in killed.communicate(timeout=120)[0]
    facts = run(place, """
again = gallery.count()
gallery.insert([row(i) for i in range(90, 110)])  # the agent sends what it got no word of
done(count=again, then=gallery.count(), found=len(found(template(77))) == 1,
     differences=gallery.verify())
""")  # fmt: skip
    assert facts == {"count": 100, "then": 110, "found": True, "differences": []}


def test_lost_search_files_are_made_again_from_the_table(place: Place) -> None:
    run(place, "gallery.insert([row(i) for i in range(3000)]); done()")
    for damaged in place.search_dir.rglob("rest"):
        damaged.write_bytes(b"")
    facts = run(place, "done(count=gallery.count(), found=len(found(template(2999))))")
    assert facts == {"count": 3000, "found": 1}


FIRST_SCHEMA = """
import sys, clickhouse_connect
client = clickhouse_connect.get_client(dsn=sys.argv[1])
for statement in (
    "CREATE TABLE schema_version (version UInt32, at DateTime) ENGINE = MergeTree ORDER BY version",
    "INSERT INTO schema_version VALUES (1, now())",
    "CREATE TABLE sightings (epoch UInt32, shard UInt16, camera_id LowCardinality(String), "
    "start_us Int64, id UUID, end_us Int64, time_uncertainty_s Float32, "
    "agent_id LowCardinality(String), space_id LowCardinality(String), "
    "variant LowCardinality(String), template FixedString(192), "
    "mask_state LowCardinality(String), mask_probability Float32, quality Float32, "
    "face_count UInt32, received_us Int64) ENGINE = ReplacingMergeTree(received_us) "
    "PARTITION BY epoch ORDER BY (epoch, camera_id, start_us, id)",
    "INSERT INTO sightings SELECT 20000 + number % 3, number % 2, 'cam', 1000 + number, "
    "generateUUIDv4(number), 2000 + number, 0.5, 'box', 'space', 'float', randomFixedString(192), "
    "'masked', 0.9, 0.5, 2, 5000 + number FROM numbers(600)",
):
    client.command(statement)
client.close()
"""


def test_a_gallery_of_the_first_schema_is_migrated_whole(place: Place) -> None:
    if place.cluster:
        pytest.skip("no gallery of the first schema was ever on a cluster; it says so when opened")
    subprocess.run([sys.executable, "-c", FIRST_SCHEMA, place.dsn], check=True, timeout=120)
    for _ in range(2):
        facts = run(place, "done(count=gallery.count(), differences=gallery.verify())")
        assert facts == {"count": 600, "differences": []}
