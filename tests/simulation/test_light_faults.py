"""Broker and controller die in the middle of a run; afterwards every sighting is there once."""

import time
from pathlib import Path

from sim.broker import BrokerSettings
from tests.simulation.towns import assert_exactly_once, desk, running_town, wait_until

QUEUE_LIMIT = 50


def test_kill_9_of_the_broker_loses_nothing(tmp_path: Path) -> None:
    with running_town(tmp_path, light_agents=40) as town:
        for share in (0.2, 0.6):
            wait_until(lambda s=share: town.light_share("produced") >= s, f"{share:.0%} made")
            town.broker.kill()
            time.sleep(1.0)
            town.broker.start()
        town.wait_until_done(120.0)
        assert_exactly_once(town)


def test_a_controller_away_beyond_the_brokers_queue_loses_nothing(tmp_path: Path) -> None:
    broker = BrokerSettings(max_queued_messages=QUEUE_LIMIT)
    with running_town(tmp_path, light_agents=40, broker=broker, spread_s=4.0) as town:
        wait_until(lambda: town.light_share("acked") > 0, "the first acknowledgement")
        town.office.stop()
        wait_until(lambda: town.light_share("produced") == 1.0, "everything made")
        time.sleep(2.0)
        progress = town.progress()
        waiting = (progress.light_total - progress.acknowledged) / 4
        assert waiting > 2 * QUEUE_LIMIT
        town.office.start()
        town.wait_until_done(120.0)
        assert_exactly_once(town)


def test_kill_9_of_the_controller_in_the_middle_of_ingest_loses_nothing(tmp_path: Path) -> None:
    with running_town(tmp_path, light_agents=40) as town:
        for share in (0.1, 0.3, 0.6):
            wait_until(lambda s=share: town.light_share("acked") >= s, f"{share:.0%} acknowledged")
            town.office.kill()
            town.office.start()
        progress = town.wait_until_done(120.0)
        assert desk(town).stats()["gallery_sightings"] == progress.light_total
        assert_exactly_once(town)
