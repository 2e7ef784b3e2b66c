"""A real camera box is killed in the middle of its clip, twice; every sighting is there once."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from sim.clips import make_clips
from sim.clips.encode import encode
from sim.demo.town import Town
from sim.demo.truth import Truth, TruthCamera
from sim.photos import fetch_photos
from tests.simulation.towns import assert_exactly_once, ids_in_store, running_town, wait_until

CACHE = Path(__file__).parents[2] / "build"
SEED = 7


@pytest.fixture(scope="module")
def truth() -> Truth:
    day = (datetime.now(UTC) - timedelta(days=1)).date()
    photos, out = CACHE / "photos", CACHE / "clips" / f"{day}-{SEED}"
    fetch_photos(photos)
    make_clips(SEED, day, photos, out)
    return Truth.read(out)


def beginning_of(camera: TruthCamera, frames: int, path: Path) -> TruthCamera:
    """Return the camera with only the first frames of its clip."""

    def pictures() -> Iterator[tuple[int, NDArray[np.uint8]]]:
        with av.open(str(camera.clip)) as clip:
            for frame in islice(clip.decode(video=0), frames):
                assert frame.time is not None
                yield round(frame.time), frame.to_ndarray(format="rgb24")

    encode(path, pictures(), (1280, 720))
    return replace(camera, clip=path, frames=frames)


def frames_read(town: Town) -> int:
    return town.progress().frames


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_kill_9_of_a_box_in_the_middle_of_its_clip_loses_nothing(
    truth: Truth, tmp_path: Path
) -> None:
    crowded = {span.camera_id for span in truth.episodes}
    whole = next(camera for camera in truth.cameras if camera.camera_id in crowded)
    camera = beginning_of(whole, 100, tmp_path / "short.mp4")
    with running_town(tmp_path, cameras=(camera,)) as town:
        (box,) = town.boxes
        store = box.data_dir / "store.sqlite"
        wait_until(lambda: frames_read(town) >= camera.frames // 5, "a fifth of the clip")
        assert frames_read(town) < camera.frames
        town.processes.kill(box.agent_id)
        town.start_box(box)
        wait_until(lambda: bool(ids_in_store(store)), "the first sighting in the spool")
        town.processes.kill(box.agent_id)
        before = ids_in_store(store)
        town.start_box(box)
        # The last health before the kill may say that the clip had ended: wait for a new one.
        restarted_us = int(datetime.now(UTC).timestamp() * 1e6)
        wait_until(lambda: born_after(town, restarted_us), "a health of the new process")
        town.wait_until_done(120.0)
        people = {span.person for span in truth.presence if span.camera_id == camera.camera_id}
        assert len(ids_in_store(store)) == len(people)
        assert before <= ids_in_store(store)
        assert_exactly_once(town)


def born_after(town: Town, moment_us: int) -> bool:
    assert town.watch is not None
    return any(one.started_us >= moment_us for one in town.watch.latest().values())
