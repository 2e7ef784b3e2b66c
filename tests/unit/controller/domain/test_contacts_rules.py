"""Rules as files, and the days in which a case was infectious."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.domain.contacts_rules import (
    RULES,
    RuleInvalid,
    infectious_window,
    load_rule,
    parse_rule,
)

GOOD = """
schema = 1
name = "ours-1"
distance_m = 1.5
minutes = 10
window_h = 24
days_before_onset = 2
"""
BERLIN = ZoneInfo("Europe/Berlin")


def test_the_packaged_rules_are_what_their_sources_say() -> None:
    cdc, who = load_rule(), load_rule("who-2020-05-10")
    assert (cdc.distance_m, cdc.minutes, cdc.window_h, cdc.days_before_onset) == (1.83, 15, 24, 2)
    assert (who.distance_m, who.minutes, who.days_after_onset) == (1.0, 15, 14)
    assert load_rule("custom").name == "custom"


def test_every_packaged_file_can_be_loaded() -> None:
    assert {load_rule(path.stem).name for path in RULES.glob("*.toml")} >= {"cdc-2020-10-21"}


def test_a_rule_of_ones_own_is_read_with_defaults() -> None:
    rule = parse_rule(GOOD, origin="ours.toml")
    assert (rule.minutes, rule.sure, rule.days_after_onset) == (10.0, 0.85, 10)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("distance_m = 1.5", "distance_m = -1"), "distance_m: is -1; write a number from 0.3"),
        (("distance_m = 1.5", "distance_m = true"), "distance_m: is True"),
        (("distance_m = 1.5", "distance_m = nan"), "distance_m: is nan"),
        (("minutes = 10", 'minutes = "ten"'), "minutes: is 'ten'; write a number"),
        (("minutes = 10", ""), "minutes: missing; add it"),
        (("minutes = 10", "minutes = 10\nfeet = 6"), "feet: unknown; use name"),
        (("schema = 1", "schema = 2"), "schema: must be 1"),
        (("schema = 1", ""), "schema: must be 1"),
        (('name = "ours-1"', "name = 7"), "name: write 1 to 200 characters"),
        (("window_h = 24", "window_h = 0"), "window_h: is 0"),
        (("onset = 2", "onset = 2.5"), "days_before_onset: is 2.5; write whole days"),
        (("onset = 2", "onset = 2\nsure = 0.5"), "sure: is 0.5"),
        (("schema = 1", "schema 1"), "not TOML"),
    ],
)
def test_a_faulty_rule_is_refused_with_the_field_and_the_mend(
    change: tuple[str, str], says: str
) -> None:
    with pytest.raises(RuleInvalid, match=r"^ours.toml: ") as caught:
        parse_rule(GOOD.replace(*change), origin="ours.toml")
    assert says in str(caught.value)


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    with pytest.raises(RuleInvalid, match="custom, who-2020-05-10"):
        load_rule("nothing")


def test_the_window_runs_from_days_before_the_onset_by_the_citys_clock() -> None:
    window = infectious_window(
        load_rule(), onset=date(2026, 3, 30), specimen=date(2026, 4, 2), zone=BERLIN
    )
    assert window is not None
    assert window.basis == "onset"
    assert datetime.fromtimestamp(window.start_us / 1e6, BERLIN).isoformat() == (
        "2026-03-28T00:00:00+01:00"
    )
    assert datetime.fromtimestamp(window.end_us / 1e6, BERLIN).isoformat() == (
        "2026-04-10T00:00:00+02:00"
    )


def test_without_symptoms_the_specimens_day_counts_and_without_both_nothing() -> None:
    rule = load_rule()
    window = infectious_window(rule, onset=None, specimen=date(2026, 4, 2), zone=UTC)
    assert window is not None
    assert window.basis == "specimen"
    assert window.start_us == round(datetime(2026, 3, 31, tzinfo=UTC).timestamp() * 1e6)
    assert infectious_window(rule, onset=None, specimen=None, zone=UTC) is None


@given(st.dates(date(2020, 1, 1), date(2037, 1, 1)))
def test_a_window_holds_its_days_give_or_take_a_clock_change(onset: date) -> None:
    rule = load_rule()
    window = infectious_window(rule, onset=onset, specimen=None, zone=BERLIN)
    assert window is not None
    lasts = timedelta(microseconds=window.end_us - window.start_us)
    days = rule.days_before_onset + rule.days_after_onset + 1
    assert abs(lasts - timedelta(days=days)) <= timedelta(hours=1)
