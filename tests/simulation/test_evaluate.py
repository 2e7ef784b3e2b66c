"""The evaluation: on a small town whose truth is known, and on the synthetic city."""

import json
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from controller.adapters.calibrations import load_calibration
from sim.cli import app
from sim.errors import SimError
from sim.evaluate.baselines import best_threshold
from sim.evaluate.matching import search, table_of_rows
from sim.evaluate.run import SPACE, evaluate, evaluate_world
from sim.evaluate.score import pooled, trace_score
from sim.evaluate.settings import EvaluateSettings
from tests.simulation.small_town import SmallTown

TOWN = EvaluateSettings(
    seed=7, cameras=60, people=600, days=2, cases=4, candidate_share=0.01
)  # fmt: skip
CITY = EvaluateSettings(seed=3, cameras=40, people=400, days=1, cases=2)


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    town = SmallTown(TOWN)
    return evaluate_world(town, town, TOWN)


def test_the_trace_finds_the_subject_where_simpler_rules_drown(figures: dict[str, Any]) -> None:
    simple = figures["baselines"]
    assert figures["trace"]["idf1"] >= 0.9
    assert simple["threshold_only"]["idf1"] < figures["trace"]["idf1"] - 0.1
    assert simple["greedy_nearest_in_time"]["idf1"] < figures["trace"]["idf1"] - 0.1
    assert figures["trace"]["false_per_case_day"] <= 0.5


def test_asking_finds_more_and_asks_at_most_as_many_others(figures: dict[str, Any]) -> None:
    route = figures["route"]
    assert route["known_with_routing"] >= route["known_without_routing"]
    assert route["recovered_with_routing"] >= 0.9
    assert route["others_per_holder"] <= 1.1
    assert route["holders_asked_share"] >= 0.9


def test_the_same_settings_give_the_same_figures() -> None:
    one, other = (evaluate(CITY) for _ in range(2))
    changing = ("seconds_per_case", "seconds_for_the_city", "memory_mb", "cases")
    assert {k: v for k, v in one.items() if k not in changing} == {
        k: v for k, v in other.items() if k not in changing
    }


def test_scores_count_what_is_right_wrong_and_missed() -> None:
    mine = np.array([True, True, True, False, False])
    one = trace_score(np.array([0, 1, 3]), mine)
    assert (one.true, one.right, one.false) == (3, 2, 1)
    assert (one.precision, one.recall, one.idf1) == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    nothing = trace_score(np.array([], np.int64), np.zeros(5, bool))
    assert nothing.idf1 == 1.0
    assert pooled([one, one]).idf1 == one.idf1


def test_the_best_threshold_in_hindsight_cuts_below_the_weakest_of_the_subject() -> None:
    town = SmallTown(TOWN)
    found = search(town, 0, load_calibration(SPACE), TOWN)
    rows = np.flatnonzero(found.passes)
    table, _ = table_of_rows(town, found, rows)
    perfect = table.llr >= np.sort(table.llr)[-5]
    assert best_threshold(table, perfect, 5) == 1.0


def test_the_command_prints_json_and_a_table() -> None:
    small = ["evaluate", "--seed", "3", "--cameras", "40", "--people", "400", "--days", "1",
             "--cases", "2"]  # fmt: skip
    printed = CliRunner().invoke(app, [*small, "--json"])
    assert printed.exit_code == 0
    figures = json.loads(printed.stdout)
    assert set(figures) >= {"city", "honesty", "trace", "baselines", "route", "cases"}
    assert len(figures["cases"]) == 2
    table = CliRunner().invoke(app, small)
    assert "trace.idf1" in table.stdout


def test_settings_that_cannot_be_are_refused_by_name() -> None:
    with pytest.raises(SimError, match="miss_rate"):
        EvaluateSettings(miss_rate=1.0)
    with pytest.raises(SimError, match="photos"):
        EvaluateSettings(photos=("blurred",))
    wrong = CliRunner().invoke(app, ["evaluate", "--cases", "5", "--people", "3"])
    assert wrong.exit_code == 1
