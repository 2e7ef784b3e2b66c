"""Arrivals, batches and faults with a clock that stands still until it is moved: no sockets."""

from dataclasses import dataclass

import numpy as np
import pytest

from sim.light.identity import LightIdentity
from sim.load.box import Box, Kit, Sample
from sim.load.connection import Connection, Line
from sim.load.demand import Steady
from sim.load.faults import FaultSettings, Luck
from sim.load.people import People
from sim.load.tally import Latencies, Tally
from sim.load.traffic import Pace, Traffic
from sim.load.transport import Poller, Target
from tests.unit.sim.light.worlds import COHORT, NOW_US, FakeController
from wire import messages as m
from wire.signing import verify
from wire.times import epoch_of_us
from wire.topics import agent_topic

PEOPLE = People(COHORT, np.random.default_rng(1), 20)
STEP_S = 0.05


@dataclass
class Clock:
    """Both clocks of a process, moved together."""

    now_s: float = 0.0

    def seconds(self) -> float:
        return self.now_s

    def us(self) -> int:
        return NOW_US + round(self.now_s * 1e6)


@dataclass
class Street:
    """Boxes that are not connected: what they make stays in their spools, to be looked at."""

    clock: Clock
    kit: Kit
    connections: list[Connection]
    traffic: Traffic

    def pass_time(self, duration_s: float) -> None:
        for _ in range(round(duration_s / STEP_S)):
            self.clock.now_s += STEP_S
            self.traffic.step(self.clock.now_s, STEP_S)
            for connection in self.connections:
                self.traffic.close_stuck(connection, self.clock.now_s)

    def batches(self) -> list[m.SightingBatch]:
        return [
            verify(m.SightingBatch, out.payload, one.box.identity.signing.public_key())
            for one in self.connections
            for out, _ in one.box.due(self.clock.now_s)
        ]


def make_street(
    boxes: int, rate: float, *, pace: Pace | None = None, faults: FaultSettings | None = None,
    keyed: bool = True,
) -> Street:  # fmt: skip
    controller, clock, rng = FakeController(), Clock(), np.random.default_rng(11)
    kit = Kit(controller.settings(), PEOPLE, Tally(), Latencies(), Sample())
    target = Target(2, ("127.0.0.1", 1), "localhost")
    line = Line(target, Poller(), kit.tally, rng, clock.seconds, clock.us)
    connections = [
        Connection(Box(LightIdentity.derive(b"s" * 32, n), kit, NOW_US), line, n, 0.0)
        for n in range(1, boxes + 1)
    ]
    if keyed:
        for one in connections:
            keys = controller.keys_for(one.box.identity, epoch_of_us(NOW_US))
            one.box.receive(agent_topic(one.box.agent_id, "keys"), keys, 0.0, NOW_US)
    traffic = Traffic(
        connections, kit=kit, demand=Steady(rate), luck=Luck(faults or FaultSettings(), rng),
        pace=pace or Pace(1.0), rng=rng, clock_us=clock.us,
    )  # fmt: skip
    return Street(clock, kit, connections, traffic)


def test_nobody_passes_before_go_and_after_drain() -> None:
    street = make_street(5, 100.0)
    street.pass_time(1.0)
    assert street.kit.tally.made == 0
    street.traffic.go(street.clock.now_s)
    street.pass_time(10.0)
    made = street.kit.tally.made
    assert made == pytest.approx(1_000, rel=0.15)
    street.traffic.drain()
    street.pass_time(1.0)
    assert street.kit.tally.made == made
    assert street.traffic.over


def test_people_pass_everywhere_alike_and_each_is_in_exactly_one_batch() -> None:
    street = make_street(4, 100.0, pace=Pace(1.0, batch=16, linger_s=1.0))
    street.traffic.go(0.0)
    street.pass_time(4.0)
    street.traffic.drain()
    street.pass_time(STEP_S)
    batches = street.batches()
    sightings = [one for batch in batches for one in batch.sightings]
    assert len({one.id for one in sightings}) == len(sightings) == street.kit.tally.made
    by_box = [sum(len(b.sightings) for b in batches if b.agent_id == one.box.agent_id)
              for one in street.connections]  # fmt: skip
    assert min(by_box) > 0.6 * max(by_box)
    assert max(len(batch.sightings) for batch in batches) == 16


def test_a_batch_is_closed_when_its_time_has_come() -> None:
    street = make_street(1, 0.0, pace=Pace(1.0, linger_s=0.5))
    street.traffic._arrive(street.connections[0], 3, 0.0, street.clock.us())
    street.pass_time(0.4)
    assert street.traffic.waiting == 1
    street.pass_time(0.2)
    assert street.traffic.waiting == 0
    assert len(street.batches()) == 1


def test_the_first_batches_of_a_fleet_do_not_come_all_together() -> None:
    street = make_street(200, 2_000.0, pace=Pace(1.0, linger_s=1.0))
    street.traffic.go(0.0)
    street.pass_time(0.5)
    assert 30 < len(street.batches()) < 170


def test_late_batches_come_late_and_all_of_them_in_the_end() -> None:
    street = make_street(3, 30.0, faults=FaultSettings(late_share=1.0, late_s=60.0))
    street.traffic.go(0.0)
    street.pass_time(20.0)
    assert street.batches() == []
    assert street.kit.tally.late > 0
    assert street.traffic.waiting == street.kit.tally.made
    street.traffic.drain()
    street.pass_time(STEP_S)
    assert street.traffic.over
    assert sum(len(one.box.spool) for one in street.connections) > 0


def test_without_keys_boxes_fill_up_and_hold_back_and_go_on_once_keys_come() -> None:
    street = make_street(2, 100.0, keyed=False)
    street.traffic.go(0.0)
    street.pass_time(5.0)
    assert street.traffic.waiting == street.kit.tally.made == 2 * 64
    assert street.kit.tally.held_back > 0
    for one in street.connections:
        keys = FakeController()
        one.box._kit.settings = keys.settings()
        payload = keys.keys_for(one.box.identity, epoch_of_us(NOW_US))
        one.box.receive(agent_topic(one.box.agent_id, "keys"), payload, 5.0, NOW_US)
    street.traffic.drain()
    street.pass_time(STEP_S)
    assert street.traffic.over
